//! The exchange behind the sockets: accounts, orders and trades around the one [`Matcher`].
//!
//! Every change of a balance happens here, in [`Exchange::on_verdict`] and the few methods that an
//! operator calls; whoever was affected finds it in the list of [`UserEvent`]s. Spot moves assets
//! between balances; futures keeps one wallet and a signed position per symbol. Own orders never
//! trade with each other: everybody trades with the market that is fed in. No I/O, no clock.

use crate::core::payload::RejectCode;
use crate::core::{Event, InstrumentId, InstrumentTable, Money, Nanos, OrderId, Price, Qty, Side};
use crate::venue::paper::{Matcher, Order, Verdict};

use super::error::ApiError;
use super::records::{
    Account, AccountId, AssetId, Balance, Happened, NewOrder, OrderRecord, OrderType, Position, Status, TradeRecord,
    TransferRecord, UserEvent, difference, sum, worth,
};
use super::symbols::Symbol;

/// Which rules money follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Market {
    /// Assets change hands; nothing is sold that is not owned.
    #[default]
    Spot,
    /// Linear perpetuals: one wallet, signed positions, margin.
    Futures,
}

/// First order number, so that it is never mistaken for an index.
pub(super) const FIRST_ORDER: u64 = 1_000_001;
/// Most orders resting in the whole venue.
const MOST_RESTING: usize = 4_096;
/// Most open orders of an account on a symbol.
pub(super) const MOST_OPEN: usize = 200;
/// Futures: initial margin is the notional divided by this.
pub(super) const LEVERAGE: i64 = 20;

/// The venue's books.
pub(super) struct Exchange {
    /// Spot or futures.
    pub market: Market,
    /// What is listed, by instrument id.
    pub symbols: Vec<Symbol>,
    /// Names of the assets, by [`AssetId`].
    pub assets: Vec<String>,
    /// Who trades.
    pub accounts: Vec<Account>,
    /// Every order ever taken; number − [`FIRST_ORDER`] is the index.
    pub orders: Vec<OrderRecord>,
    /// Every trade.
    pub trades: Vec<TradeRecord>,
    /// Every deposit and withdrawal since the start.
    pub transfers: Vec<TransferRecord>,
    /// Commission in basis points, for makers and for takers.
    pub fees: (Price, Price),
    pub(super) matcher: Matcher,
    /// Indexes of the open orders, oldest first.
    pub(super) open: Vec<usize>,
    pub(super) verdicts: Vec<(InstrumentId, Verdict)>,
    pub(super) events: Vec<(AccountId, UserEvent)>,
    pub(super) touched: Vec<(AccountId, AssetId)>,
    pub(super) moved: Vec<(AccountId, InstrumentId)>,
    pub(super) executions: u64,
}

impl Exchange {
    /// No accounts, no market yet.
    ///
    /// # Errors
    /// The symbols cannot be instruments.
    pub(super) fn new(
        market: Market,
        symbols: Vec<Symbol>,
        fees: (Price, Price),
    ) -> Result<Self, crate::core::InstrumentError> {
        let table = InstrumentTable::new(symbols.iter().map(|symbol| symbol.spec.clone()))?;
        let mut assets: Vec<String> = Vec::new();
        for asset in symbols.iter().flat_map(|symbol| [&symbol.base, &symbol.quote]) {
            if !assets.contains(asset) {
                assets.push(asset.clone());
            }
        }
        Ok(Self {
            market,
            assets,
            accounts: Vec::new(),
            orders: Vec::new(),
            trades: Vec::new(),
            transfers: Vec::new(),
            fees,
            matcher: Matcher::new(&table, 0, MOST_RESTING),
            open: Vec::new(),
            verdicts: Vec::new(),
            events: Vec::new(),
            touched: Vec::new(),
            moved: Vec::new(),
            executions: 0,
            symbols,
        })
    }

    /// The account of this name, created with nothing if there is none.
    pub(super) fn account(&mut self, name: &str) -> AccountId {
        if let Some(index) = self.accounts.iter().position(|account| account.name == name) {
            return AccountId(index);
        }
        self.accounts.push(Account {
            name: name.to_owned(),
            balances: vec![Balance::default(); self.assets.len()],
            positions: vec![Position::default(); self.symbols.len()],
            updated: Nanos::NONE,
        });
        AccountId(self.accounts.len() - 1)
    }

    /// The asset of this name.
    pub(super) fn asset(&self, name: &str) -> Option<AssetId> {
        self.assets.iter().position(|asset| asset == name)
    }

    /// The symbol of this name.
    pub(super) fn symbol(&self, name: &str) -> Option<InstrumentId> {
        let index = self.symbols.iter().position(|symbol| symbol.name() == name)?;
        u16::try_from(index).ok().map(InstrumentId)
    }

    /// The best bid and ask.
    pub(super) fn touch(&self, symbol: InstrumentId) -> Option<crate::core::payload::Quote> {
        self.matcher.touch(symbol)
    }

    /// Base and quote asset of a symbol.
    pub(super) fn assets_of(&self, symbol: InstrumentId) -> (AssetId, AssetId) {
        let of = |name: &str| self.asset(name).unwrap_or_default();
        let symbol = &self.symbols[symbol.index()];
        (of(&symbol.base), of(&symbol.quote))
    }

    /// A deposit, or a withdrawal when below zero.
    ///
    /// # Errors
    /// More than is free.
    pub(super) fn deposit(
        &mut self,
        account: AccountId,
        asset: AssetId,
        amount: Money,
        now: Nanos,
    ) -> Result<(), ApiError> {
        let balance = &mut self.accounts[account.0].balances[asset];
        let free = balance.free.checked_add(amount).filter(|free| *free >= Money::ZERO);
        balance.free = free.ok_or(ApiError::INSUFFICIENT_BALANCE)?;
        balance.granted = sum(balance.granted, amount);
        // What an account begins with comes before all time.
        if now != Nanos::NONE {
            self.transfers.push(TransferRecord { account, asset, amount, time: now });
        }
        self.touch_balance(account, asset);
        self.events.push((account, UserEvent::Deposit(asset, amount)));
        self.finish_batch(now);
        Ok(())
    }

    /// A quote or a public trade; resting orders may fill.
    pub(super) fn on_market(&mut self, event: &Event, now: Nanos) {
        self.matcher.on_market(event, &mut self.verdicts);
        self.settle(now);
    }

    /// What happened since this was last asked, by account, in order.
    pub(super) fn take_events(&mut self) -> Vec<(AccountId, UserEvent)> {
        std::mem::take(&mut self.events)
    }

    /// An order of this account by number.
    pub(super) fn order(&self, account: AccountId, id: u64) -> Option<&OrderRecord> {
        let index = usize::try_from(id.checked_sub(FIRST_ORDER)?).ok()?;
        self.orders.get(index).filter(|order| order.account == account)
    }

    /// The latest order of this account with this client id.
    pub(super) fn order_by_client_id(&self, account: AccountId, client_id: &str) -> Option<&OrderRecord> {
        self.orders.iter().rev().find(|order| order.account == account && order.order.client_id == client_id)
    }

    /// Open orders of an account, oldest first, of one symbol or of all.
    pub(super) fn open_orders(
        &self,
        account: AccountId,
        symbol: Option<InstrumentId>,
    ) -> impl Iterator<Item = &OrderRecord> {
        let open = self.open.iter().map(|index| &self.orders[*index]);
        open.filter(move |order| order.account == account && symbol.is_none_or(|symbol| symbol == order.order.symbol))
    }

    /// Takes an order: filters, balance, matching. Answers its index in [`Exchange::orders`].
    ///
    /// # Errors
    /// The venue's refusal; nothing has changed then.
    pub(super) fn place(&mut self, account: AccountId, mut new: NewOrder, now: Nanos) -> Result<usize, ApiError> {
        let touch = self.touch(new.symbol).ok_or(ApiError::MARKET_CLOSED)?;
        let far = if new.side == Side::Buy { touch.ask } else { touch.bid };
        self.size_by_quote(&mut new, far)?;
        super::filters::check(&self.symbols[new.symbol.index()], &new, far)?;
        if self.open_orders(account, Some(new.symbol)).count() >= MOST_OPEN {
            return Err(ApiError::filter("MAX_NUM_ORDERS"));
        }
        if self.open_orders(account, None).any(|order| order.order.client_id == new.client_id) {
            return Err(ApiError::DUPLICATE_ORDER);
        }
        let price = if new.order_type == OrderType::Market { far } else { new.price };
        let locked = match self.market {
            Market::Spot => self.reserve(account, &new, price)?,
            Market::Futures => {
                self.check_margin(account, &mut new, price)?;
                Money::ZERO
            }
        };
        let index = self.orders.len();
        self.orders.push(OrderRecord {
            id: FIRST_ORDER + index as u64,
            account,
            order: new,
            status: Status::New,
            filled: Qty::ZERO,
            traded: Money::ZERO,
            locked,
            created: now,
            updated: now,
            expiry: None,
            cancel_id: None,
            trades: Vec::new(),
        });
        self.open.push(index);
        self.match_order(index, now)
    }

    fn match_order(&mut self, index: usize, now: Nanos) -> Result<usize, ApiError> {
        let record = &self.orders[index];
        let order = Order {
            instrument: record.order.symbol,
            order: OrderId(record.id),
            side: record.order.side,
            price: record.order.price,
            qty: record.order.qty,
            kind: record.kind(),
            closing: false,
        };
        self.matcher.place(&order, &mut self.verdicts);
        if let Some((_, Verdict::Rejected { code, .. })) = self.verdicts.first() {
            let error = match code {
                RejectCode::NoMarket => ApiError::MARKET_CLOSED,
                RejectCode::Other if self.market == Market::Futures => ApiError::POST_ONLY,
                RejectCode::Other => ApiError::WOULD_MATCH,
                _ => ApiError::filter("LOT_SIZE"),
            };
            self.verdicts.clear();
            self.release(index);
            self.touched.clear();
            self.orders.truncate(index);
            self.open.pop();
            return Err(error);
        }
        self.settle(now);
        Ok(index)
    }

    /// A market order by value: the quantity that it buys or sells at the touch.
    fn size_by_quote(&self, new: &mut NewOrder, far: Price) -> Result<(), ApiError> {
        if new.quote_qty.is_zero() {
            return Ok(());
        }
        let step = self.symbols[new.symbol.index()].spec.lot_step;
        let units = i128::from(new.quote_qty.units()) * i128::from(crate::core::SCALE) / i128::from(far.units().max(1));
        let qty = i64::try_from(units).ok().and_then(|units| Qty::from_units(units).floor_to(step));
        new.qty = qty.filter(|qty| qty.is_positive()).ok_or(ApiError::BOOK_TOO_THIN)?;
        Ok(())
    }

    /// Spot: locks what the order may spend.
    fn reserve(&mut self, account: AccountId, new: &NewOrder, price: Price) -> Result<Money, ApiError> {
        let (base, quote) = self.assets_of(new.symbol);
        let (asset, amount) = match new.side {
            Side::Buy => (quote, worth(price, new.qty, true)),
            Side::Sell => (base, Money::from_units(new.qty.units())),
        };
        let balance = &mut self.accounts[account.0].balances[asset];
        if balance.free < amount {
            return Err(ApiError::INSUFFICIENT_BALANCE);
        }
        balance.free = difference(balance.free, amount);
        balance.locked = sum(balance.locked, amount);
        self.touch_balance(account, asset);
        Ok(amount)
    }

    /// Spot: gives back what a finished order still reserves.
    pub(super) fn release(&mut self, index: usize) {
        let order = &mut self.orders[index];
        let amount = std::mem::take(&mut order.locked);
        let (account, symbol, side) = (order.account, order.order.symbol, order.order.side);
        let (base, quote) = self.assets_of(symbol);
        let asset = if side == Side::Buy { quote } else { base };
        let balance = &mut self.accounts[account.0].balances[asset];
        balance.locked = difference(balance.locked, amount);
        balance.free = sum(balance.free, amount);
        if !amount.is_zero() {
            self.touch_balance(account, asset);
        }
    }

    /// Cancels an open order; its index.
    ///
    /// # Errors
    /// It is not open.
    pub(super) fn cancel(
        &mut self,
        account: AccountId,
        id: u64,
        cancel_id: &str,
        now: Nanos,
    ) -> Result<usize, ApiError> {
        let order = self.order(account, id).filter(|order| order.status.is_open()).ok_or(ApiError::CANCEL_UNKNOWN)?;
        let (index, symbol) = ((order.id - FIRST_ORDER) as usize, order.order.symbol);
        self.orders[index].cancel_id = Some(cancel_id.to_owned());
        self.matcher.cancel(symbol, OrderId(id), &mut self.verdicts);
        self.settle(now);
        Ok(index)
    }

    /// Makes an open order smaller; it keeps its place.
    ///
    /// # Errors
    /// It is not open, or the quantity is no reduction above what has traded.
    pub(super) fn amend(&mut self, account: AccountId, id: u64, qty: Qty, now: Nanos) -> Result<usize, ApiError> {
        let order = self.order(account, id).filter(|order| order.status.is_open()).ok_or(ApiError::NO_SUCH_ORDER)?;
        let spec = &self.symbols[order.order.symbol.index()].spec;
        if qty < spec.min_lot || qty.units() % spec.lot_step.units() != 0 {
            return Err(ApiError::filter("LOT_SIZE"));
        }
        let (index, old_left) = ((order.id - FIRST_ORDER) as usize, order.left());
        let left = qty.checked_sub(order.filled).filter(|left| left.is_positive() && *left < old_left);
        let left = left.ok_or(ApiError::AMEND_REFUSED)?;
        if !self.matcher.reduce(OrderId(id), left) {
            return Err(ApiError::AMEND_REFUSED);
        }
        let order = &mut self.orders[index];
        (order.order.qty, order.updated) = (qty, now);
        if self.market == Market::Spot {
            let keep = self.reserved_for(index, left);
            let surplus = difference(self.orders[index].locked, keep);
            self.orders[index].locked = surplus;
            self.release(index);
            self.orders[index].locked = keep;
        }
        self.report(index, Happened::Replaced);
        self.finish_batch(now);
        Ok(index)
    }

    /// What an order with this much left must reserve.
    pub(super) fn reserved_for(&self, index: usize, left: Qty) -> Money {
        let order = &self.orders[index].order;
        match (order.side, order.order_type) {
            (Side::Sell, _) => Money::from_units(left.units()),
            (Side::Buy, OrderType::Market) => Money::ZERO,
            (Side::Buy, _) => worth(order.price, left, true),
        }
    }
}
