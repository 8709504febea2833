//! Whatever is traded, no asset appears or vanishes: what an account has is what it was given, plus
//! and minus what its trades say. The exchange's own records are the only oracle used.

use proptest::prelude::*;

use super::exchange::{Exchange, Market};
use super::records::{AccountId, NewOrder, OrderType, Tif};
use super::symbols::Symbol;
use crate::core::payload::Quote;
use crate::core::{Event, EventKind, InstrumentId, Money, Nanos, Payload, Price, Qty, Side};

const ID: InstrumentId = InstrumentId(0);

fn exchange(market: Market) -> (Exchange, AccountId) {
    let (symbol, _) = Symbol::synthetic("BTCUSDT").unwrap();
    let mut exchange = Exchange::new(market, vec![symbol], (Price::whole(8), Price::whole(10))).unwrap();
    let account = exchange.account("desk");
    let usdt = exchange.asset("USDT").unwrap();
    exchange.deposit(account, usdt, Money::whole(50_000), Nanos(1)).unwrap();
    exchange.on_market(&quote(6_000_000, 100), Nanos(1));
    (exchange, account)
}

/// In ticks of 0.01 and steps of 0.00001.
fn quote(bid: i64, size: i64) -> Event {
    let tick = 1_000_000;
    let quote = Quote {
        bid: Price::from_units(bid * tick),
        ask: Price::from_units((bid + 1) * tick),
        bid_qty: Qty::from_units(size * 1_000),
        ask_qty: Qty::from_units(size * 1_000),
    };
    quote.event(EventKind::Quote, ID, Nanos(1), Nanos(1))
}

#[derive(Clone, Debug)]
enum Step {
    Quote(i64, i64),
    Order { buy: bool, kind: u8, price: i64, qty: i64, reduce: bool },
    Cancel(usize),
    Amend(usize, i64),
    Deposit(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (5_990_000i64..6_010_000, 1i64..100_000).prop_map(|(bid, size)| Step::Quote(bid, size)),
        (any::<bool>(), 0u8..6, 5_985_000i64..6_015_000, 1i64..60_000, any::<bool>())
            .prop_map(|(buy, kind, price, qty, reduce)| Step::Order { buy, kind, price, qty, reduce }),
        any::<usize>().prop_map(Step::Cancel),
        (any::<usize>(), 1i64..60_000).prop_map(|(which, qty)| Step::Amend(which, qty)),
        (-100_000i64..100_000).prop_map(Step::Deposit),
    ]
}

fn order(number: usize, buy: bool, kind: u8, price: i64, qty: i64, reduce_only: bool) -> NewOrder {
    let (order_type, tif) = match kind {
        0 => (OrderType::Limit, Tif::Gtc),
        1 => (OrderType::Limit, Tif::Ioc),
        2 => (OrderType::Limit, Tif::Fok),
        3 => (OrderType::LimitMaker, Tif::Gtc),
        _ => (OrderType::Market, Tif::Gtc),
    };
    let by_value = kind == 5;
    NewOrder {
        symbol: ID,
        client_id: format!("n{number}"),
        side: if buy { Side::Buy } else { Side::Sell },
        order_type,
        tif,
        price: if order_type == OrderType::Market { Price::ZERO } else { Price::from_units(price * 1_000_000) },
        qty: if by_value { Qty::ZERO } else { Qty::from_units(qty * 1_000) },
        quote_qty: if by_value { Money::from_units(qty * 10_000_000) } else { Money::ZERO },
        reduce_only,
        prevention: "NONE",
    }
}

fn play(exchange: &mut Exchange, account: AccountId, number: usize, step: &Step, futures: bool) {
    let open: Vec<u64> = exchange.open_orders(account, None).map(|order| order.id).collect();
    let pick = |which: usize| open.get(which % open.len().max(1)).copied();
    let now = Nanos(number as u64 + 2);
    // A refusal is an answer like any other: nothing may have changed, which the sums below show.
    match *step {
        Step::Quote(bid, size) => exchange.on_market(&quote(bid, size), now),
        Step::Order { buy, kind, price, qty, reduce } => {
            drop(exchange.place(account, order(number, buy, kind, price, qty, futures && reduce), now));
        }
        Step::Cancel(which) => drop(pick(which).map(|id| exchange.cancel(account, id, "c", now))),
        Step::Amend(which, qty) => {
            drop(pick(which).map(|id| exchange.amend(account, id, Qty::from_units(qty * 1_000), now)));
        }
        Step::Deposit(cents) => {
            let usdt = exchange.asset("USDT").unwrap();
            drop(exchange.deposit(account, usdt, Money::from_units(cents * 1_000_000), now));
        }
    }
}

/// Order totals are the sums of their trades.
fn orders_agree_with_trades(exchange: &Exchange) -> Result<(), TestCaseError> {
    for order in &exchange.orders {
        let trades: Vec<_> = order.trades.iter().map(|index| &exchange.trades[*index]).collect();
        prop_assert!(trades.iter().all(|trade| trade.order == order.id));
        prop_assert_eq!(trades.iter().map(|trade| trade.qty.units()).sum::<i64>(), order.filled.units());
        prop_assert_eq!(trades.iter().map(|trade| trade.quote.units()).sum::<i64>(), order.traded.units());
        prop_assert!(order.filled <= order.order.qty);
        prop_assert!(order.status.is_open() || order.locked.is_zero(), "a finished order reserves nothing");
    }
    Ok(())
}

proptest! {
    #[test]
    fn spot_assets_are_conserved(steps in proptest::collection::vec(any_step(), 1..80)) {
        let (mut exchange, account) = exchange(Market::Spot);
        let (base, quote_asset) = exchange.assets_of(ID);
        for (number, step) in steps.iter().enumerate() {
            play(&mut exchange, account, number, step, false);
            let holder = &exchange.accounts[account.0];
            let (mut coins, mut cash) =
                (holder.balances[base].granted.units(), holder.balances[quote_asset].granted.units());
            for trade in &exchange.trades {
                coins += trade.side.sign() * trade.qty.units();
                cash -= trade.side.sign() * trade.quote.units();
                *(if trade.commission_asset == base { &mut coins } else { &mut cash }) -= trade.commission.units();
            }
            prop_assert_eq!(holder.balances[base].total().units(), coins);
            prop_assert_eq!(holder.balances[quote_asset].total().units(), cash);
            let open = exchange.open_orders(account, None);
            let mut locked = [0i64; 2];
            for order in open {
                locked[usize::from(order.order.side == Side::Buy)] += order.locked.units();
            }
            prop_assert_eq!([holder.balances[base].locked.units(), holder.balances[quote_asset].locked.units()], locked);
            prop_assert!(holder.balances.iter().all(|b| b.free >= Money::ZERO && b.locked >= Money::ZERO), "{:?}", holder);
            orders_agree_with_trades(&exchange)?;
        }
    }

    #[test]
    fn a_futures_wallet_changes_by_profit_and_commission_only(steps in proptest::collection::vec(any_step(), 1..80)) {
        let (mut exchange, account) = exchange(Market::Futures);
        let (base, quote_asset) = exchange.assets_of(ID);
        for (number, step) in steps.iter().enumerate() {
            let before = exchange.accounts[account.0].positions[0].units;
            let known = exchange.trades.len();
            play(&mut exchange, account, number, step, true);
            let holder = &exchange.accounts[account.0];
            let profit: i64 = exchange.trades.iter().map(|t| t.realised.units() - t.commission.units()).sum();
            let wallet = &holder.balances[quote_asset];
            prop_assert_eq!(wallet.total().units(), wallet.granted.units() + profit);
            prop_assert_eq!(holder.balances[base].total(), Money::ZERO, "no coins change hands");
            let position: i64 = exchange.trades.iter().map(|t| t.side.sign() * t.qty.units()).sum();
            prop_assert_eq!(holder.positions[0].units, position);
            if let Step::Order { reduce: true, .. } = step {
                let taken = exchange.trades[known..].iter().all(|trade| !trade.maker);
                prop_assert!(!taken || holder.positions[0].units.abs() <= before.abs(), "reduce-only only reduces");
            }
            orders_agree_with_trades(&exchange)?;
        }
    }
}
