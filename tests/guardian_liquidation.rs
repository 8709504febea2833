//! The liquidation against a desk that misbehaves in every way a venue can: partial fills, refusals, rate
//! limits, lost requests, lost replies, requests that arrive late, entries that keep coming, a guardian
//! that dies in between. However it goes: the account ends where it must, nothing is closed twice, and no
//! position is ever opened.

use std::collections::BTreeMap;

use pawl::core::{ContractKind, InstrumentSpec, InstrumentTable, Money, Price, Qty, Side, Span};
use pawl::guardian::Goal;
use pawl::guardian::desk::{CloseKind, CloseOrder, Desk, DeskOrder, DeskReply, DeskRequest};
use pawl::guardian::liquidation::{Liquidation, Note, Step, excess};
use pawl::guardian::params::LiquidationParams;
use pawl::snapshot::MAX_INSTRUMENTS;
use pawl::venue::paper::synthetic::specs;
use proptest::prelude::*;

const MILLISECOND: u64 = 1_000_000;
const INSTRUMENTS: usize = 3;

fn lots(hundredths: i64) -> Qty {
    Qty::from_units(hundredths * 1_000_000)
}

fn table() -> InstrumentTable {
    InstrumentTable::new(specs(INSTRUMENTS)).unwrap()
}

/// A venue with a will of its own. Faults are drawn from a seed; probabilities in percent.
#[derive(Clone)]
struct BadDesk {
    random: u64,
    now: u64,
    /// How bad: 0 is a good venue.
    badness: u64,
    /// The venue itself refuses to turn a position: futures. Without it only our care does: spot.
    reduce_only: bool,
    held: [i64; INSTRUMENTS],
    entries: Vec<(u64, usize, i64)>,
    protective: Vec<(u64, usize)>,
    /// Spot: orders that rest far away; what they would sell cannot be sold otherwise.
    locking: Vec<(u64, usize, i64)>,
    /// One of them, sent right after the open orders were read.
    surprise: Option<(usize, i64)>,
    known: BTreeMap<String, i64>,
    late: Vec<(u64, CloseOrder)>,
    next_order: u64,
    /// Until this instant the engine goes on sending entries, and entries sent before go on filling.
    engine_until: u64,
    refuses_ioc: bool,
    closed: i64,
    turned: bool,
    log: Vec<String>,
}

impl BadDesk {
    fn new(seed: u64, badness: u64, held: [i64; INSTRUMENTS]) -> Self {
        Self {
            random: seed | 1,
            now: 1_000 * MILLISECOND,
            badness,
            reduce_only: false,
            held,
            entries: Vec::new(),
            protective: Vec::new(),
            locking: Vec::new(),
            surprise: None,
            known: BTreeMap::new(),
            late: Vec::new(),
            next_order: 1,
            engine_until: 0,
            refuses_ioc: false,
            closed: 0,
            turned: false,
            log: Vec::new(),
        }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn strikes(&mut self, percent: u64) -> bool {
        self.draw(100) < percent * self.badness / 10
    }

    /// The world goes on: late requests arrive, entries fill, the engine sends more.
    fn pass(&mut self, until: u64) {
        while self.now < until {
            self.now += MILLISECOND.min(until - self.now);
            let (due, later): (Vec<_>, Vec<_>) = self.late.drain(..).partition(|(at, _)| *at <= self.now);
            self.late = later;
            for (_, order) in due {
                self.execute(&order);
            }
            if self.now < self.engine_until && self.draw(100) < 5 {
                let (instrument, units) =
                    (self.draw(INSTRUMENTS as u64) as usize, 1_000_000 * (1 + self.draw(50) as i64));
                let signed = if self.draw(2) == 0 { units } else { -units };
                self.entries.push((self.next_order, instrument, signed));
                self.next_order += 1;
            }
            if !self.entries.is_empty() && self.draw(100) < 3 {
                let at = self.draw(self.entries.len() as u64) as usize;
                let (_, instrument, signed) = self.entries.swap_remove(at);
                self.held[instrument] += signed;
            }
        }
    }

    /// A close reaches the matching engine.
    fn execute(&mut self, order: &CloseOrder) -> i64 {
        let index = order.instrument.index();
        let sign = order.side.sign();
        let mut most = order.qty.units();
        if self.reduce_only {
            most = most.min((-sign * self.held[index]).max(0));
        }
        let percent = match self.draw(10) {
            _ if self.badness == 0 => 100,
            0 => 0,
            1..=3 => self.draw(100),
            _ => 100,
        };
        let executed = most * percent as i64 / 100 / 1_000_000 * 1_000_000;
        let executed = if percent == 100 { most } else { executed };
        let before = self.held[index];
        self.held[index] += sign * executed;
        self.closed += executed;
        self.turned |= before.signum() * self.held[index].signum() < 0 || self.held[index].abs() > before.abs();
        self.known.insert(order.client_id.clone(), executed);
        self.log.push(format!("{} {before} {} {executed}", order.client_id, order.qty));
        executed
    }

    fn close(&mut self, order: &CloseOrder) -> DeskReply {
        assert!(order.qty.is_positive());
        let index = order.instrument.index();
        let locked: i64 = self.locking.iter().filter(|(_, at, _)| *at == index).map(|(.., units)| units).sum();
        if locked > 0 && order.qty.units() > self.held[index].abs() - locked {
            return DeskReply::Refused("Account has insufficient balance for requested action.".into());
        }
        if matches!(order.kind, CloseKind::Ioc(_)) && (self.refuses_ioc || self.strikes(10)) {
            return DeskReply::Refused("order type not permitted while the market is reserved".into());
        }
        if order.kind == CloseKind::Market && self.strikes(10) {
            return DeskReply::Refused("no market orders now".into());
        }
        match self.draw(100) * 10 / self.badness.max(1) {
            // The request is lost.
            _ if self.badness == 0 => {}
            0..3 => return DeskReply::Unknown("connection reset".into()),
            // It arrives late, as late as its signature allows.
            3..8 => {
                let at = self.now + 1 + self.draw(1_000) * MILLISECOND;
                self.late.push((at, order.clone()));
                return DeskReply::Unknown("timed out".into());
            }
            // The reply is lost.
            8..12 => {
                self.execute(order);
                return DeskReply::Unknown("502".into());
            }
            _ => {}
        }
        let executed = self.execute(order);
        DeskReply::Order { done: true, executed: Qty::from_units(executed) }
    }
}

impl Desk for BadDesk {
    fn ask(&mut self, request: &DeskRequest) -> DeskReply {
        self.pass(self.now + MILLISECOND);
        if self.strikes(2) {
            return DeskReply::Limited(Span::millis(300));
        }
        if self.strikes(4) {
            return DeskReply::NotSent("connection refused".into());
        }
        if !matches!(request, DeskRequest::Close(_)) && self.strikes(4) {
            return DeskReply::Unknown("timed out".into());
        }
        match request {
            DeskRequest::Orders => {
                let order = |instrument: usize, order: u64, protective| DeskOrder {
                    instrument: pawl::core::InstrumentId(instrument as u16),
                    client_id: order.to_string(),
                    protective,
                };
                let entries = self.entries.iter().chain(&self.locking);
                let entries = entries.map(|(id, instrument, _)| order(*instrument, *id, false));
                let protective = self.protective.iter().map(|(id, at)| order(*at, *id, true));
                let found = entries.chain(protective).collect();
                if let Some((instrument, units)) = self.surprise.take() {
                    self.locking.push((800, instrument, units));
                }
                DeskReply::Orders(found)
            }
            DeskRequest::Positions => {
                let mut held = Box::new([Qty::ZERO; MAX_INSTRUMENTS]);
                for (slot, units) in held.iter_mut().zip(self.held) {
                    *slot = Qty::from_units(units);
                }
                DeskReply::Positions(held)
            }
            DeskRequest::Touch(_) => {
                DeskReply::Touch { bid: Price::from_units(109_999_000), ask: Price::from_units(110_001_000) }
            }
            DeskRequest::Cancel(_, order) => {
                self.entries.retain(|(id, ..)| id.to_string() != *order);
                self.locking.retain(|(id, ..)| id.to_string() != *order);
                self.protective.retain(|(id, _)| id.to_string() != *order);
                DeskReply::Cancelled
            }
            DeskRequest::Close(order) => self.close(order),
            DeskRequest::Query(_, id) => match self.known.get(id) {
                Some(executed) => DeskReply::Order { done: true, executed: Qty::from_units(*executed) },
                None => DeskReply::NotFound,
            },
        }
    }
}

/// Runs the machine until it is done; `die_after` questions the guardian is killed, its reply unread, and
/// a new one begins.
fn run(desk: &mut BadDesk, goal: Goal, most: Qty, mut die_after: Vec<u32>) -> Liquidation {
    let params = LiquidationParams::default();
    let new = |resumed| Liquidation::new(&params, most, &table(), 7, resumed);
    let mut machine = new(false);
    machine.pursue(goal, desk.now);
    let fenced_at = desk.now + 40 * MILLISECOND;
    let mut asked = 0;
    for _ in 0..200_000 {
        match machine.next(desk.now, desk.now >= fenced_at) {
            Step::Ask(request) => {
                let reply = desk.ask(&request);
                asked += 1;
                if die_after.first().is_some_and(|after| asked >= *after) {
                    die_after.remove(0);
                    asked = 0;
                    // Killed; systemd brings a new one after a while.
                    desk.pass(desk.now + 100 * MILLISECOND);
                    machine = new(true);
                    machine.pursue(goal, desk.now);
                    continue;
                }
                machine.answer(reply, desk.now);
            }
            Step::Wait(until) => {
                assert!(until > desk.now, "waits for the past");
                desk.pass(until);
            }
            Step::AwaitFence => desk.pass(desk.now + MILLISECOND),
            Step::Done => return machine,
        }
    }
    panic!("not done: {:?}\n{}", desk.held, desk.log.join("\n"));
}

#[test]
fn a_good_desk_is_flat_after_six_questions() {
    let mut desk = BadDesk::new(1, 0, [lots(200).units(), 0, 0]);
    let mut machine = Liquidation::new(&LiquidationParams::default(), Qty::whole(1), &table(), 7, false);
    machine.pursue(Goal::Flat, desk.now);
    machine.know_touch(pawl::core::InstrumentId(0), "1.1".parse().unwrap(), "1.1001".parse().unwrap(), desk.now);
    let mut asked = Vec::new();
    loop {
        match machine.next(desk.now, true) {
            Step::Ask(request) => {
                let reply = desk.ask(&request);
                machine.answer(reply, desk.now);
                asked.push(request);
            }
            Step::Wait(until) => desk.pass(until),
            Step::AwaitFence => unreachable!("fenced"),
            Step::Done => break,
        }
    }
    assert_eq!(desk.held, [0; 3]);
    let close = CloseOrder {
        instrument: pawl::core::InstrumentId(0),
        side: Side::Sell,
        qty: Qty::whole(2),
        // Half a percent through the bid, on the tick.
        kind: CloseKind::Ioc("1.0945".parse().unwrap()),
        client_id: "K-7-0-1".into(),
    };
    use DeskRequest::{Close, Orders, Positions};
    assert_eq!(asked, [Orders, Positions, Close(close), Positions, Orders, Positions]);
    assert_eq!(machine.take_notes(), [Note::Closed(pawl::core::InstrumentId(0), Qty::whole(2))]);
}

#[test]
fn a_refused_kind_of_order_gives_way_to_the_other() {
    let mut desk = BadDesk::new(1, 0, [lots(-300).units(), lots(200).units(), 0]);
    desk.refuses_ioc = true;
    let mut machine = run(&mut desk, Goal::Flat, Qty::ZERO, vec![]);
    assert_eq!(desk.held, [0; 3]);
    let notes = machine.take_notes();
    assert!(notes.iter().any(|note| matches!(note, Note::Trouble(text) if text.contains("reserved"))), "{notes:?}");
}

#[test]
fn protective_orders_stay_until_flat_and_then_go() {
    let mut desk = BadDesk::new(1, 0, [lots(300).units(), 0, 0]);
    desk.protective.push((900, 0));
    desk.entries.push((901, 1, lots(100).units()));
    let mut machine = Liquidation::new(&LiquidationParams::default(), Qty::ZERO, &table(), 7, false);
    machine.pursue(Goal::Flat, desk.now);
    loop {
        match machine.next(desk.now, true) {
            Step::Ask(request) => {
                if matches!(&request, DeskRequest::Cancel(_, id) if id == "900") {
                    assert_eq!(desk.held, [0; 3], "the stop was cancelled while something was held");
                }
                let reply = desk.ask(&request);
                machine.answer(reply, desk.now);
            }
            Step::Wait(until) => desk.pass(until),
            Step::AwaitFence => unreachable!("fenced"),
            Step::Done => break,
        }
    }
    assert!(desk.protective.is_empty() && desk.entries.is_empty());
}

#[test]
fn nothing_is_closed_before_the_engine_is_fenced_but_entries_are_cancelled() {
    let mut desk = BadDesk::new(1, 0, [lots(300).units(), 0, 0]);
    desk.entries.push((901, 1, lots(100).units()));
    let mut machine = Liquidation::new(&LiquidationParams::default(), Qty::ZERO, &table(), 7, false);
    machine.pursue(Goal::Flat, desk.now);
    loop {
        match machine.next(desk.now, false) {
            Step::Ask(request) => {
                assert!(!matches!(request, DeskRequest::Close(_)));
                let reply = desk.ask(&request);
                machine.answer(reply, desk.now);
            }
            Step::Wait(until) => desk.pass(until),
            Step::AwaitFence => break,
            Step::Done => panic!("not done"),
        }
    }
    assert!(desk.entries.is_empty());
}

#[test]
fn what_the_engine_sold_while_it_was_being_fenced_is_not_sold_again() {
    // A spot desk: it sells whatever is owned, and what pawl does not trade with is owned too.
    let mut desk = BadDesk::new(1, 0, [lots(300).units(), 0, 0]);
    let mut machine = Liquidation::new(&LiquidationParams::default(), Qty::ZERO, &table(), 7, false);
    machine.pursue(Goal::Flat, desk.now);
    let mut fenced = false;
    let mut reads_after = 0;
    loop {
        match machine.next(desk.now, fenced) {
            Step::Ask(request) => {
                assert!(!matches!(request, DeskRequest::Close(_)), "sold again: {request:?}");
                reads_after += u32::from(fenced && request == DeskRequest::Orders);
                let reply = desk.ask(&request);
                machine.answer(reply, desk.now);
            }
            Step::Wait(until) => desk.pass(until),
            Step::AwaitFence if fenced => panic!("it is fenced"),
            // The engine's own exit, just before it hears the kill word.
            Step::AwaitFence => (desk.held, fenced) = ([0; INSTRUMENTS], true),
            Step::Done => break,
        }
    }
    assert!(fenced, "flat cannot be proved while the engine may send");
    assert!(reads_after >= 2, "flat is two reads of orders that were made after the fence");
    assert_eq!(desk.held, [0; INSTRUMENTS]);
}

#[test]
fn an_order_that_was_not_seen_and_locks_what_is_to_be_sold_is_found_and_cancelled() {
    let mut desk = BadDesk::new(1, 0, [lots(300).units(), 0, 0]);
    desk.surprise = Some((0, lots(100).units()));
    let mut machine = run(&mut desk, Goal::Flat, Qty::ZERO, vec![]);
    assert_eq!(desk.held, [0; INSTRUMENTS]);
    assert!(desk.locking.is_empty());
    let notes = machine.take_notes();
    let refused = |note: &&Note| matches!(note, Note::Trouble(text) if text.contains("insufficient"));
    assert_eq!(notes.iter().filter(refused).count(), 1, "{notes:?}");
}

#[test]
fn on_spot_orders_are_read_again_once_the_engine_is_fenced() {
    let spot = |spec: InstrumentSpec| {
        let point_value = Money::from_units(spec.point_size.units());
        InstrumentSpec { contract: ContractKind::Spot, point_value, ..spec }
    };
    let table = InstrumentTable::new(specs(INSTRUMENTS).into_iter().map(spot)).unwrap();
    let mut desk = BadDesk::new(1, 0, [lots(3000).units(), 0, 0]);
    desk.surprise = Some((0, lots(100).units()));
    let mut machine = Liquidation::new(&LiquidationParams::default(), Qty::ZERO, &table, 7, false);
    machine.pursue(Goal::Flat, desk.now);
    let mut fenced = false;
    loop {
        match machine.next(desk.now, fenced) {
            Step::Ask(request) => {
                let reply = desk.ask(&request);
                machine.answer(reply, desk.now);
            }
            Step::Wait(until) => desk.pass(until),
            Step::AwaitFence => fenced = true,
            Step::Done => break,
        }
    }
    assert!(desk.held == [0; INSTRUMENTS] && desk.locking.is_empty());
    assert_eq!(
        machine.take_notes(),
        [Note::Closed(pawl::core::InstrumentId(0), Qty::whole(30))],
        "nothing was refused"
    );
}

/// What the machine asks of a desk on which `held` of the first instrument is open for a minute, whatever it sends.
fn asked_in_a_minute(held: Qty, mut close: impl FnMut(&DeskRequest) -> DeskReply) -> Vec<DeskRequest> {
    let mut machine = Liquidation::new(&LiquidationParams::default(), Qty::ZERO, &table(), 7, false);
    let (mut now, mut asked) = (MILLISECOND, Vec::new());
    machine.pursue(Goal::Flat, now);
    while now < 60_000 * MILLISECOND {
        match machine.next(now, true) {
            Step::Ask(request) => {
                now += MILLISECOND;
                let reply = match &request {
                    DeskRequest::Orders => DeskReply::Orders(vec![]),
                    DeskRequest::Positions => {
                        let mut positions = Box::new([Qty::ZERO; MAX_INSTRUMENTS]);
                        positions[0] = held;
                        DeskReply::Positions(positions)
                    }
                    DeskRequest::Touch(_) => {
                        DeskReply::Touch { bid: Price::from_units(109_999_000), ask: Price::from_units(110_001_000) }
                    }
                    other => close(other),
                };
                asked.push(request);
                machine.answer(reply, now);
            }
            Step::Wait(until) => now = until,
            other => panic!("{other:?}"),
        }
    }
    asked
}

#[test]
fn what_is_refused_for_another_reason_does_not_ask_for_the_orders_again_and_again() {
    let asked = asked_in_a_minute(Qty::whole(3), |_| DeskReply::Refused("Market is closed.".into()));
    let count = |wanted: fn(&DeskRequest) -> bool| asked.iter().filter(|request| wanted(request)).count();
    let (orders, closes) =
        (count(|request| *request == DeskRequest::Orders), count(|request| matches!(request, DeskRequest::Close(_))));
    assert!((40..120).contains(&closes), "about once a second, found {closes}");
    assert!((5..30).contains(&orders), "the dearest question of all, found {orders}");
}

#[test]
fn a_close_that_lapsed_behind_a_lost_reply_is_followed_by_a_wider_one() {
    let asked = asked_in_a_minute(Qty::whole(3), |request| match request {
        DeskRequest::Close(_) => DeskReply::Unknown("502".into()),
        DeskRequest::Query(..) => DeskReply::Order { done: true, executed: Qty::ZERO },
        other => panic!("{other:?}"),
    });
    let price = |request: &DeskRequest| match request {
        DeskRequest::Close(CloseOrder { kind: CloseKind::Ioc(price), .. }) => Some(*price),
        _ => None,
    };
    let prices: Vec<Price> = asked.iter().filter_map(price).take(4).collect();
    assert!(prices.len() == 4 && prices.is_sorted_by(|one, next| next < one), "{prices:?}");
}

#[test]
fn a_venue_that_is_gone_makes_the_machine_shout_once_and_go_on() {
    let mut machine = Liquidation::new(&LiquidationParams::default(), Qty::ZERO, &table(), 7, false);
    let (mut now, mut shouts, mut asked) = (MILLISECOND, 0, 0);
    machine.pursue(Goal::Flat, now);
    while now < 200_000 * MILLISECOND {
        match machine.next(now, true) {
            Step::Ask(_) => {
                asked += 1;
                machine.answer(DeskReply::NotSent("no route".into()), now);
            }
            Step::Wait(until) => now = until,
            other => panic!("{other:?}"),
        }
        shouts += machine.take_notes().iter().filter(|note| **note == Note::BoundReached).count();
    }
    assert_eq!(shouts, 1);
    assert!((190..230).contains(&asked), "about once a second, found {asked}");
}

#[test]
fn the_excess_is_taken_from_the_largest_and_is_exact() {
    let held = [lots(500), lots(-1200), lots(300)];
    assert_eq!(excess(&held, Qty::whole(20)), [Qty::ZERO; 3]);
    assert_eq!(excess(&held, Qty::whole(15)), [Qty::ZERO, Qty::whole(5), Qty::ZERO]);
    assert_eq!(excess(&held, Qty::whole(5)), [lots(300), lots(1200), Qty::ZERO]);
    assert_eq!(excess(&[], Qty::ZERO), []);
    assert_eq!(excess(&[Qty::from_units(i64::MIN), Qty::MAX], Qty::ZERO), [Qty::MAX, Qty::MAX]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_account_at_any_desk_ends_flat_and_nothing_is_closed_twice(
        seed: u64,
        badness in 0u64..=10,
        held in prop::array::uniform3(-30i64..30),
        reduce_only: bool,
        engine_for in 0u64..400,
        deaths in prop::collection::vec(1u32..12, 0..3),
    ) {
        let mut desk = BadDesk::new(seed, badness, held.map(|units| units * 1_000_000));
        desk.reduce_only = reduce_only;
        desk.engine_until = desk.now + engine_for * MILLISECOND;
        run(&mut desk, Goal::Flat, Qty::ZERO, deaths);
        prop_assert_eq!(desk.held, [0; 3]);
        prop_assert!(desk.entries.is_empty(), "entries are left");
        // While the engine still trades, its fills cross ours; on its own the machine never turns a position.
        prop_assert!(!desk.turned || engine_for > 0, "{}", desk.log.join("\n"));
    }

    #[test]
    fn of_a_fat_finger_the_excess_is_closed_and_nothing_else(
        seed: u64,
        badness in 0u64..=10,
        held in prop::array::uniform3(-3000i64..3000),
        most in 0i64..6000,
        reduce_only: bool,
        halt: bool,
        deaths in prop::collection::vec(1u32..12, 0..2),
    ) {
        let units = held.map(|units| units * 1_000_000);
        let mut desk = BadDesk::new(seed, badness, units);
        desk.reduce_only = reduce_only;
        desk.protective.push((77, 0));
        let open: i64 = units.iter().map(|held| held.abs()).sum();
        run(&mut desk, if halt { Goal::Halt } else { Goal::Excess }, lots(most), deaths);
        let left: i64 = desk.held.iter().map(|held| held.abs()).sum();
        prop_assert_eq!(left, open.min(lots(most).units()), "{}", desk.log.join("\n"));
        prop_assert_eq!(desk.closed, open - left);
        prop_assert!(!desk.turned && desk.protective.len() == 1);
    }
}
