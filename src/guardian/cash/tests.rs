use super::*;

const SECOND: u64 = 1_000_000_000;

fn at(seconds: u64) -> Nanos {
    Nanos(1_000 * SECOND + seconds * SECOND)
}

fn book(market: Market, total: Money) -> CashBook {
    CashBook::new(market, "USDT", vec!["BTC".into()], total)
}

fn trade(id: u64, buyer: bool, price: &str, qty: &str, commission: &str, asset: &str) -> TradeState {
    TradeState {
        symbol: "BTCUSDT".into(),
        id,
        order_id: 1,
        price: price.parse().unwrap(),
        qty: qty.parse().unwrap(),
        commission: commission.parse().unwrap(),
        commission_asset: asset.into(),
        time: 0,
        realized_pnl: Money::ZERO,
        buyer,
    }
}

/// A look at the account and the executions; answers the total.
fn see(book: &mut CashBook, cash: &str, held: &str, trades: &[TradeState], now: Nanos) -> String {
    book.explain(cash.parse().unwrap(), &[held.parse().unwrap()], &[trades.to_vec()], 500, now);
    book.total().to_string()
}

/// The same, and the looks that follow of themselves while something is unexplained.
fn settled(book: &mut CashBook, cash: &str, held: &str, trades: &[TradeState], from: u64) -> String {
    for seconds in from..from + 8 {
        if book.needs_look(cash.parse().unwrap(), &[held.parse().unwrap()], at(seconds)) {
            see(book, cash, held, trades, at(seconds));
        }
    }
    book.total().to_string()
}

#[test]
fn what_no_execution_explains_came_from_outside() {
    let mut book = book(Market::Spot, Money::ZERO);
    let mut trades = vec![trade(7, true, "1", "1", "0", "USDT")];
    assert_eq!(settled(&mut book, "1000", "5", &trades, 0), "0", "what was before is not judged");
    trades.push(trade(8, true, "50000.5", "0.01", "0.00001", "BTC"));
    assert_eq!(settled(&mut book, "499.995", "5.00999", &trades, 10), "0", "bought, commission in what was bought");
    trades.push(trade(9, false, "51000", "0.01", "0.51", "USDT"));
    let cost = settled(&mut book, "1009.485", "4.99999", &trades, 20);
    assert_eq!(cost, "0", "sold, commission in cash is a cost, not a withdrawal");
    assert_eq!(settled(&mut book, "909.485", "4.99999", &trades, 30), "-100", "withdrawn");
    trades.push(trade(10, false, "51000", "0.01", "0", "BNB"));
    assert_eq!(settled(&mut book, "1669.485", "4.98999", &trades, 40), "150", "sold and deposited 250 at once");
    trades.push(trade(11, false, "0.33333333", "0.1", "0", "BNB"));
    assert_eq!(see(&mut book, "1669.51833334", "4.88999", &trades, at(50)), "150", "a rounding is no deposit");
    assert!(!book.is_open());
}

#[test]
fn a_purchase_whose_execution_comes_late_is_no_withdrawal_and_then_no_deposit() {
    // However late: the list may be behind for as long as the market is busy.
    for late in [1, 4, 30] {
        let mut book = book(Market::Spot, Money::ZERO);
        let mut trades = vec![trade(7, true, "1", "1", "0", "USDT")];
        see(&mut book, "1000", "0", &trades, at(0));
        for seconds in 1..=late {
            if book.needs_look("499.5".parse().unwrap(), &["0.01".parse().unwrap()], at(seconds)) {
                assert_eq!(see(&mut book, "499.5", "0.01", &trades, at(seconds)), "0", "after {seconds} s");
            }
            assert!(book.is_open() && book.mark(&["BTCUSDT".to_owned()]).is_none());
            assert_eq!(book.pending(at(seconds)), Money::ZERO, "what was bought is there: nothing is added or taken");
        }
        trades.push(trade(8, true, "50000", "0.01", "0.5", "USDT"));
        assert_eq!(settled(&mut book, "499.5", "0.01", &trades, late + 1), "0");
        assert!(!book.is_open() && book.mark(&["BTCUSDT".to_owned()]).is_some());
    }
}

#[test]
fn a_round_trip_whose_executions_come_late_is_a_loss_and_no_withdrawal() {
    let mut book = book(Market::Spot, Money::ZERO);
    let mut trades: Vec<TradeState> = vec![];
    see(&mut book, "1000", "0", &trades, at(0));
    // Bought and sold again between two reads: nothing more is owned, and 40 are gone.
    assert_eq!(see(&mut book, "960", "0", &trades, at(1)), "0");
    assert_eq!(book.pending(at(1)), Money::whole(-40), "it may be a withdrawal");
    trades.extend([trade(1, true, "50000", "0.02", "0", "BNB"), trade(2, false, "48000", "0.02", "0", "BNB")]);
    assert_eq!(settled(&mut book, "960", "0", &trades, 3), "0");
    assert_eq!((book.pending(at(11)), book.is_open()), (Money::ZERO, false));
}

#[test]
fn a_withdrawal_is_held_for_one_until_it_is_certain_and_counted_once() {
    let mut book = book(Market::Spot, Money::ZERO);
    see(&mut book, "1000", "1", &[], at(0));
    assert_eq!(see(&mut book, "400", "1", &[], at(1)), "0");
    assert!(book.is_open() && book.pending(at(1)) == Money::whole(-600));
    assert!(!book.needs_look(Money::whole(400), &[Qty::whole(1)], at(2)), "not looked at at every read");
    assert_eq!(settled(&mut book, "400", "1", &[], 2), "-600");
    assert_eq!((book.pending(at(10)), book.is_open()), (Money::ZERO, false));
    assert_eq!(settled(&mut book, "400", "1", &[], 70), "-600");
}

#[test]
fn what_is_swapped_without_an_execution_is_no_deposit() {
    let mut book = book(Market::Spot, Money::ZERO);
    see(&mut book, "1000", "1", &[], at(0));
    // The venue's converter: one bitcoin became cash, and no execution says so.
    for seconds in 1..70 {
        if book.needs_look(Money::whole(51_000), &[Qty::ZERO], at(seconds)) {
            see(&mut book, "51000", "0", &[], at(seconds));
        }
    }
    assert_eq!((book.total(), book.is_open()), (Money::ZERO, false));
    // What came and went beside it before does not hide a withdrawal.
    assert!(!book.needs_look(Money::whole(51_000), &[Qty::whole(3)], at(80)));
    assert_eq!(settled(&mut book, "50900", "3", &[], 81), "-100");
}

#[test]
fn a_book_that_goes_on_finds_what_moved_in_between_and_nothing_twice() {
    let symbols = ["BTCUSDT".to_owned()];
    let resumed = |mark: &CashMark, symbols: &[String]| {
        let bytes = serde_json::to_vec(mark).unwrap();
        let mut book = book(Market::Spot, Money::whole(7));
        book.go_on(serde_json::from_slice(&bytes).unwrap(), symbols);
        book
    };
    let mut trades = vec![trade(7, true, "1", "1", "0", "USDT")];
    let mut book = book(Market::Spot, Money::whole(7));
    assert_eq!(book.mark(&symbols), None, "nothing is known yet");
    see(&mut book, "1000", "0", &trades, at(0));
    assert_eq!(settled(&mut book, "1100", "0", &trades, 1), "107", "it goes on from what was counted before");
    let mark = book.mark(&symbols).unwrap();
    // While nobody looked: one bought for 500, 50 withdrawn.
    trades.push(trade(8, true, "50000", "0.01", "0", "BTC"));
    for _ in 0..2 {
        let mut book = resumed(&mark, &symbols);
        assert!(!book.needs_look(Money::whole(1100), &[Qty::ZERO], at(100)));
        assert_eq!(settled(&mut book, "550", "0.01", &trades, 100), "57", "the same from the same mark, however often");
    }
    let mut other = resumed(&mark, &["ETHUSDT".to_owned()]);
    assert_eq!(settled(&mut other, "550", "0.01", &trades, 100), "7", "other symbols: it begins with what it finds");
    // A file of an earlier version does not say what was owned.
    let mut old: serde_json::Value = serde_json::to_value(&mark).unwrap();
    old.as_object_mut().unwrap().remove("held");
    let mut book = super::tests::book(Market::Spot, Money::whole(7));
    book.go_on(serde_json::from_value(old).unwrap(), &symbols);
    assert_eq!(settled(&mut book, "550", "0.01", &trades, 100), "57");
}

#[test]
fn a_venue_that_begins_anew_is_not_judged_by_its_old_executions() {
    let symbols = ["BTCUSDT".to_owned()];
    let mut before = book(Market::Spot, Money::ZERO);
    see(&mut before, "1000", "0", &[trade(500, true, "1", "1", "0", "USDT")], at(0));
    let mut book = book(Market::Spot, Money::ZERO);
    book.go_on(before.mark(&symbols).unwrap(), &symbols);
    let mut trades: Vec<TradeState> = vec![];
    settled(&mut book, "10000", "0", &trades, 10);
    trades.push(trade(1, true, "50000", "0.01", "0", "BTC"));
    let total = settled(&mut book, "9500", "0.01", &trades, 20);
    assert_eq!(total, "0", "neither the new balance nor the first purchase");
    assert_eq!(settled(&mut book, "9400", "0.01", &trades, 30), "-100", "from there on it accounts again");
}

#[test]
fn an_answer_that_may_hide_executions_says_nothing() {
    let mut book = book(Market::Spot, Money::ZERO);
    let look = |book: &mut CashBook, cash, trades: &[TradeState], seconds| {
        book.explain(Money::whole(cash), &[Qty::ZERO], &[trades.to_vec()], 2, at(seconds));
        book.total()
    };
    look(&mut book, 1000, &[], 0);
    let trades = vec![trade(8, true, "10", "1", "0", "USDT"), trade(9, false, "10", "1", "0", "USDT")];
    assert_eq!(look(&mut book, 900, &trades, 1), Money::ZERO);
    assert!(!book.is_open());
    look(&mut book, 950, &trades, 2);
    assert_eq!(look(&mut book, 950, &trades, 8), Money::whole(50), "from there on it accounts again");
}

fn income(kind: &str, number: u64, amount: &str) -> IncomeState {
    IncomeState {
        income_type: kind.into(),
        income: amount.parse().unwrap(),
        asset: "USDT".into(),
        time: 0,
        tran_id: number.to_string(),
    }
}

#[test]
fn on_futures_only_what_the_venue_calls_a_transfer_is_one() {
    let mut book = book(Market::UsdMFutures, Money::ZERO);
    let mut trades = vec![trade(7, true, "1", "1", "0", "USDT")];
    let see = |book: &mut CashBook, cash: &str, trades: &[TradeState], now| {
        book.explain(cash.parse().unwrap(), &[], &[trades.to_vec()], 500, now);
        book.question(now)
    };
    assert_eq!(see(&mut book, "1000", &trades, at(0)), None, "what was before is not judged");
    trades.push(TradeState { realized_pnl: "-30".parse().unwrap(), ..trade(8, false, "50000", "0.01", "0.5", "USDT") });
    assert_eq!(see(&mut book, "969.5", &trades, at(1)), None, "a loss and its commission explain themselves");
    // Funding, and a withdrawal that the list does not show yet.
    assert_eq!(see(&mut book, "868.5", &trades, at(2)), Some(Nanos(at(1).0 - OVERLAP.0)));
    let funding = income("FUNDING_FEE", 1, "-1");
    book.learn(std::slice::from_ref(&funding));
    assert_eq!((book.total(), book.question(at(3))), (Money::ZERO, None), "not asked again at once");
    assert!(book.question(at(4)).is_some());
    assert_eq!(book.pending(at(6)), Money::whole(-100), "held for a withdrawal");
    assert_eq!((book.pending(at(7)), book.is_open()), (Money::ZERO, true), "but not for ever");
    let list = [funding, income("COMMISSION", 9, "-0.5"), income("TRANSFER", 1, "-100")];
    book.learn(&list);
    assert_eq!((book.total(), book.is_open()), (Money::whole(-100), false));
    assert_eq!(see(&mut book, "768.5", &trades, at(8)), Some(Nanos(at(2).0 - OVERLAP.0)));
    book.learn(&list);
    assert_eq!(book.total(), Money::whole(-100), "counted once");
    assert_eq!(book.question(at(69)), None, "what is not found for a minute is a loss");
    book.learn(&[income("TRANSFER", 2, "-100")]);
    assert_eq!((book.total(), book.is_open()), (Money::whole(-100), false));
}

#[test]
fn a_transfer_from_before_the_book_explains_nothing() {
    let mut book = book(Market::UsdMFutures, Money::ZERO);
    book.explain(Money::whole(1000), &[], &[vec![]], 500, Nanos(100 * SECOND));
    book.explain(Money::whole(1500), &[], &[vec![]], 500, Nanos(101 * SECOND));
    assert!(book.question(Nanos(101 * SECOND)).is_some());
    book.learn(&[income("TRANSFER", 1, "-4000"), income("TRANSFER", 2, "500")]);
    assert_eq!(book.total(), Money::whole(500));
}

#[test]
fn transfers_in_both_directions_are_found_by_their_sum() {
    let mut book = book(Market::UsdMFutures, Money::ZERO);
    let late = |row: IncomeState| IncomeState { time: 100_500, ..row };
    book.explain(Money::whole(1000), &[], &[vec![]], 500, Nanos(100 * SECOND));
    book.explain(Money::whole(1099), &[], &[vec![]], 500, Nanos(101 * SECOND));
    let list = [
        IncomeState { time: 99_000, ..income("TRANSFER", 1, "-4000") },
        late(income("TRANSFER", 2, "500")),
        late(income("FUNDING_FEE", 3, "-1")),
        late(income("TRANSFER", 4, "-400")),
    ];
    // The last one is not listed yet: nothing is made of the others.
    book.learn(&list[..2]);
    assert_eq!((book.total(), book.is_open()), (Money::ZERO, true));
    book.learn(&list);
    assert_eq!((book.total(), book.is_open()), (Money::whole(100), false), "and the funding is a cost");
    // None of them explains anything a second time.
    book.explain(Money::whole(1599), &[], &[vec![]], 500, Nanos(102 * SECOND));
    book.learn(&list);
    assert_eq!(book.total(), Money::whole(100));
}

#[test]
fn an_execution_that_comes_late_explains_what_was_wanted() {
    let mut book = book(Market::UsdMFutures, Money::ZERO);
    book.explain(Money::whole(1000), &[], &[vec![]], 500, at(0));
    book.explain(Money::whole(970), &[], &[vec![]], 500, at(1));
    assert!(book.is_open());
    let late = TradeState { realized_pnl: Money::whole(-30), ..trade(1, false, "50000", "0.01", "0", "BNB") };
    // The next movement brings it: 20 won, and 30 lost before.
    let won = TradeState { realized_pnl: Money::whole(20), ..trade(2, false, "50000", "0.01", "0", "BNB") };
    book.explain(Money::whole(990), &[], &[vec![late, won]], 500, at(2));
    assert_eq!((book.total(), book.is_open()), (Money::ZERO, false));
}

#[test]
fn what_keeps_moving_does_not_pass_for_a_transfer_without_end() {
    for (market, longest) in [(Market::UsdMFutures, PATIENCE), (Market::Spot, ASK_FOR)] {
        let mut book = book(market, Money::ZERO);
        see(&mut book, "100000", "5", &[], at(0));
        let mut passed = 0;
        for second in 1..=200 {
            see(&mut book, &(100_000 - 10 * second).to_string(), "5", &[], at(second));
            passed += u64::from(!book.pending(at(second)).is_zero());
        }
        assert!((1..=longest.0 / SECOND + 1).contains(&passed), "{market:?}: {passed} s");
    }
}
