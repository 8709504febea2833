//! The operator's paths, `/admin/...`, on loopback only: the truth that tests compare with, faults,
//! orders "from elsewhere", deposits, price jumps, cutting a key off. Errors are plain: these clients
//! are people and tests, not trading programs.

use serde::Deserialize;

use crate::core::{Money, Price, Qty, Side};

use super::endpoints::Venue;
use super::exchange::{Exchange, Market};
use super::faults::FaultPlan;
use super::hub::{Door, Hub};
use super::json::{Object, array, string};
use super::records::{AccountId, NewOrder, OrderRecord, OrderType, Tif, TradeRecord};
use super::trading::side_name;
use super::wire::Request;

/// `POST /admin/order`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderWish {
    account: Option<String>,
    symbol: String,
    side: String,
    quantity: Qty,
    price: Option<Price>,
    client_id: Option<String>,
}

/// `POST /admin/balance`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BalanceWish {
    account: Option<String>,
    asset: String,
    amount: Money,
}

/// `POST /admin/price`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceWish {
    symbol: Option<String>,
    percent: f64,
}

/// `POST /admin/key`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyWish {
    key: String,
    enabled: bool,
}

/// `POST /admin/disconnect`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct DisconnectWish {
    /// `streams`, `api`, `http`, `user`; all when missing.
    kind: Option<String>,
}

type Reply = Result<String, String>;

fn body<'a, T: Deserialize<'a>>(request: &'a Request) -> Result<T, String> {
    let text = if request.body.is_empty() { "{}" } else { &request.body };
    serde_json::from_str(text).map_err(|error| format!("expected a JSON body: {error}"))
}

impl Hub {
    /// Serves an operator: status and JSON.
    pub(super) fn admin(&mut self, request: &Request) -> (u16, String) {
        let reply = match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/admin/truth") => Ok(truth(&self.venue)),
            ("GET", "/admin/faults") => Ok(self.faults_json()),
            ("POST", "/admin/faults") => self.set_faults(request),
            ("GET", "/admin/clients") => Ok(self.clients_json()),
            ("POST", "/admin/order") => self.admin_order(request),
            ("POST", "/admin/balance") => self.admin_balance(request),
            ("POST", "/admin/price") => self.admin_price(request),
            ("POST", "/admin/key") => self.admin_key(request),
            ("POST", "/admin/disconnect") => self.admin_disconnect(request),
            ("POST", "/admin/shutdown") => {
                self.announce_shutdown();
                self.stopping = true;
                Ok("{}".to_owned())
            }
            _ => {
                let paths = "GET truth, faults, clients; POST faults, order, balance, price, key, disconnect, shutdown";
                return (404, error_json(&format!("expected one of /admin/: {paths}")));
            }
        };
        match reply {
            Ok(text) => (200, text),
            Err(why) => (400, error_json(&why)),
        }
    }

    fn set_faults(&mut self, request: &Request) -> Reply {
        let plan: FaultPlan = body(request)?;
        plan.check()?;
        let seed_changed = plan.seed != self.faults.plan.seed;
        if seed_changed {
            self.faults = super::faults::Faults::new(plan);
        } else {
            self.faults.plan = plan;
        }
        Ok(self.faults_json())
    }

    fn faults_json(&self) -> String {
        let plan = serde_json::to_string(&self.faults.plan).unwrap_or_else(|_| "null".to_owned());
        let struck = self.faults.counters().fold(Object::new(), |object, (fault, count)| {
            let name = serde_json::to_string(&fault).unwrap_or_default();
            object.raw(name.trim_matches('"'), count)
        });
        Object::new().raw("plan", plan).raw("struck", struck.end()).end()
    }

    fn clients_json(&self) -> String {
        let mut counts = [("http", 0), ("streams", 0), ("api", 0), ("user", 0)];
        for client in self.clients.values() {
            counts[kind_of(&client.door)].1 += 1;
        }
        counts.into_iter().fold(Object::new(), |object, (name, count)| object.raw(name, count)).end()
    }

    fn admin_account(&self, name: Option<&str>) -> Result<AccountId, String> {
        let accounts = &self.venue.exchange.accounts;
        let found = match name {
            None => (!accounts.is_empty()).then_some(0),
            Some(name) => accounts.iter().position(|account| account.name == name),
        };
        let names: Vec<&str> = accounts.iter().map(|account| account.name.as_str()).collect();
        found.map(AccountId).ok_or_else(|| format!("expected an account of {names:?}, found {name:?}"))
    }

    fn admin_order(&mut self, request: &Request) -> Reply {
        let wish: OrderWish = body(request)?;
        let account = self.admin_account(wish.account.as_deref())?;
        let symbol = self.venue.exchange.symbol(&wish.symbol).ok_or_else(|| format!("no symbol {}", wish.symbol))?;
        let side = match wish.side.as_str() {
            "BUY" => Side::Buy,
            "SELL" => Side::Sell,
            other => return Err(format!("expected side BUY or SELL, found {other:?}")),
        };
        let order_type = if wish.price.is_some() { OrderType::Limit } else { OrderType::Market };
        let new = NewOrder {
            symbol,
            client_id: wish.client_id.unwrap_or_else(|| self.venue.make_id()),
            side,
            order_type,
            tif: Tif::Gtc,
            price: wish.price.unwrap_or(Price::ZERO),
            qty: wish.quantity,
            quote_qty: Money::ZERO,
            reduce_only: false,
            prevention: "NONE",
        };
        let now = self.now();
        let index = self.venue.exchange.place(account, new, now).map_err(|error| error.json())?;
        Ok(order_json(&self.venue.exchange, &self.venue.exchange.orders[index]))
    }

    fn admin_balance(&mut self, request: &Request) -> Reply {
        let wish: BalanceWish = body(request)?;
        let account = self.admin_account(wish.account.as_deref())?;
        let asset = self.venue.exchange.asset(&wish.asset);
        let asset = asset
            .ok_or_else(|| format!("expected an asset of {:?}, found {:?}", self.venue.exchange.assets, wish.asset))?;
        let now = self.now();
        self.venue.exchange.deposit(account, asset, wish.amount, now).map_err(|error| error.json())?;
        Ok("{}".to_owned())
    }

    fn admin_price(&mut self, request: &Request) -> Reply {
        let wish: PriceWish = body(request)?;
        if !(-99.0..=1_000.0).contains(&wish.percent) {
            return Err(format!("expected percent between -99 and 1000, found {}", wish.percent));
        }
        let symbol = match &wish.symbol {
            None => None,
            Some(name) => Some(self.venue.exchange.symbol(name).ok_or_else(|| format!("no symbol {name}"))?),
        };
        self.jumps.push((symbol, wish.percent));
        Ok("{}".to_owned())
    }

    fn admin_key(&mut self, request: &Request) -> Reply {
        let wish: KeyWish = body(request)?;
        if self.venue.keys.enable(&wish.key, wish.enabled) {
            Ok("{}".to_owned())
        } else {
            Err(format!("no key {:?}", wish.key))
        }
    }

    fn admin_disconnect(&mut self, request: &Request) -> Reply {
        let wish: DisconnectWish = body(request)?;
        let kinds = ["http", "streams", "api", "user"];
        if let Some(kind) = wish.kind.as_deref().filter(|kind| !kinds.contains(kind)) {
            return Err(format!("expected a kind of {kinds:?}, found {kind:?}"));
        }
        let chosen: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, client)| match &wish.kind {
                // The operator's own connection is HTTP and stays, unless asked for.
                None => !matches!(client.door, Door::Http),
                Some(kind) => kinds[kind_of(&client.door)] == kind,
            })
            .map(|(id, _)| *id)
            .collect();
        let count = chosen.len();
        for id in chosen {
            self.close(id);
        }
        Ok(Object::new().raw("closed", count).end())
    }
}

const fn kind_of(door: &Door) -> usize {
    match door {
        Door::Http => 0,
        Door::Streams(_) => 1,
        Door::Api(_) => 2,
        Door::User(_) => 3,
    }
}

fn error_json(text: &str) -> String {
    format!("{{\"error\":{}}}", string(text))
}

fn order_json(exchange: &Exchange, record: &OrderRecord) -> String {
    Object::new()
        .raw("orderId", record.id)
        .text("account", &exchange.accounts[record.account.0].name)
        .text("symbol", exchange.symbols[record.order.symbol.index()].name())
        .text("clientOrderId", &record.order.client_id)
        .text("side", side_name(record.order.side))
        .text("type", record.order.order_type.name())
        .text("timeInForce", record.order.tif.name())
        .decimal("price", record.order.price)
        .decimal("quantity", record.order.qty)
        .decimal("executed", record.filled)
        .decimal("quote", record.traded)
        .text("status", record.status.name())
        .raw("created", record.created.0)
        .raw("updated", record.updated.0)
        .end()
}

fn trade_json(exchange: &Exchange, trade: &TradeRecord) -> String {
    Object::new()
        .raw("tradeId", trade.id)
        .raw("orderId", trade.order)
        .text("symbol", exchange.symbols[trade.symbol.index()].name())
        .text("side", side_name(trade.side))
        .decimal("price", trade.price)
        .decimal("quantity", trade.qty)
        .decimal("quote", trade.quote)
        .decimal("commission", trade.commission)
        .text("commissionAsset", &exchange.assets[trade.commission_asset])
        .decimal("realised", trade.realised)
        .raw("maker", trade.maker)
        .raw("time", trade.time.0)
        .end()
}

/// Everything the venue knows, times in nanoseconds. The oracle of tests.
fn truth(venue: &Venue) -> String {
    let exchange = &venue.exchange;
    let accounts = (0..exchange.accounts.len()).map(|index| account_json(venue, AccountId(index)));
    let symbols = exchange.symbols.iter().zip(0u16..).map(|(symbol, id)| {
        let touch = exchange.touch(crate::core::InstrumentId(id)).unwrap_or_default();
        Object::new().text("symbol", symbol.name()).decimal("bid", touch.bid).decimal("ask", touch.ask).end()
    });
    Object::new()
        .text("market", if exchange.market == Market::Spot { "spot" } else { "futures" })
        .raw("symbols", array(symbols))
        .raw("accounts", array(accounts))
        .end()
}

fn account_json(venue: &Venue, id: AccountId) -> String {
    let exchange = &venue.exchange;
    let account = &exchange.accounts[id.0];
    let balances = account.balances.iter().zip(&exchange.assets).map(|(balance, asset)| {
        Object::new()
            .text("asset", asset)
            .decimal("free", balance.free)
            .decimal("locked", balance.locked)
            .decimal("granted", balance.granted)
            .end()
    });
    // Spot: what is held beyond what was granted. Futures: the position itself.
    let positions = exchange.symbols.iter().zip(0u16..).map(|(symbol, number)| {
        let symbol_id = crate::core::InstrumentId(number);
        let (base, _) = exchange.assets_of(symbol_id);
        let (units, entry) = match exchange.market {
            Market::Spot => {
                (account.balances[base].total().units() - account.balances[base].granted.units(), Price::ZERO)
            }
            Market::Futures => {
                let position = &account.positions[symbol_id.index()];
                (position.units, position.entry())
            }
        };
        Object::new()
            .text("symbol", symbol.name())
            .decimal("quantity", Qty::from_units(units))
            .decimal("entry", entry)
            .end()
    });
    // Every quote asset gives a figure; most venues have one.
    let mut quotes: Vec<usize> = Vec::new();
    for number in 0..exchange.symbols.len() as u16 {
        let (_, quote) = exchange.assets_of(crate::core::InstrumentId(number));
        if !quotes.contains(&quote) {
            quotes.push(quote);
        }
    }
    let equity = quotes
        .iter()
        .fold(Object::new(), |object, quote| object.decimal(&exchange.assets[*quote], exchange.equity(id, *quote)));
    let orders = exchange.orders.iter().filter(|order| order.account == id);
    let trades = exchange.trades.iter().filter(|trade| trade.account == id);
    let countdowns = venue.countdowns.iter().filter(|(owner, ..)| *owner == id).map(|(_, symbol, at)| {
        Object::new().text("symbol", exchange.symbols[symbol.index()].name()).raw("at", at.0).end()
    });
    Object::new()
        .text("account", &account.name)
        .raw("equity", equity.end())
        .raw("balances", array(balances))
        .raw("positions", array(positions))
        .raw("orders", array(orders.map(|order| order_json(exchange, order))))
        .raw("countdowns", array(countdowns))
        .raw("fills", array(trades.map(|trade| trade_json(exchange, trade))))
        .end()
}
