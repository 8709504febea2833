//! What the venue's own books say, and what everybody may rely on in them.

use std::collections::BTreeMap;

use pawl::core::{Price, Qty, SCALE};
use pawl::guardian::latch::{LatchRecord, LatchState, check};
use serde_json::Value;

use super::lab::{Lab, wait_or};

const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("expected text, found {value}"))
}

/// True for an order of the guardian's.
pub(crate) fn is_close(order: &Value) -> bool {
    text(&order["clientOrderId"]).starts_with("K-")
}

impl Lab {
    pub(crate) fn truth(&self) -> Value {
        let text = ureq::get(format!("{}/admin/truth", self.url)).call().unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The only account.
    pub(crate) fn account(&self) -> Value {
        self.truth()["accounts"][0].take()
    }

    pub(crate) fn orders(&self) -> Vec<Value> {
        self.account()["orders"].as_array().unwrap().clone()
    }

    /// Best bid; zero before the first quote.
    pub(crate) fn bid(&self, symbol: &str) -> Price {
        let truth = self.truth();
        let row = truth["symbols"].as_array().unwrap().iter().find(|row| row["symbol"] == symbol).unwrap().clone();
        text(&row["bid"]).parse().unwrap()
    }

    pub(crate) fn held(&self, symbol: &str) -> Qty {
        held(&self.account(), symbol)
    }

    pub(crate) fn open_lots(&self) -> Qty {
        let account = self.account();
        let lots = SYMBOLS.iter().map(|symbol| held(&account, symbol).abs());
        lots.fold(Qty::ZERO, |sum, held| sum.checked_add(held).unwrap())
    }

    pub(crate) fn wait_held(&self, what: &str, symbol: &str, wanted: impl Fn(Qty) -> bool) -> Qty {
        wait_or(what, || Some(self.held(symbol)).filter(|held| wanted(*held)), || self.said())
    }

    /// Everything that was said, for a failure.
    pub(crate) fn said(&self) -> String {
        let codes: Vec<String> =
            self.events().iter().map(|event| format!("{} {}", event["code"], event["title"])).collect();
        format!("{}\nguardian: {}\nengine: {}", codes.join("\n"), self.read("guardian.log"), self.read("engine.err"))
    }

    /// What the position makes of a jump: the percentage by which its symbol must move so that the account
    /// loses about this part of its equity.
    pub(crate) fn losing_jump(&self, symbol: &str, part: f64) -> f64 {
        let (account, bid) = (self.account(), self.bid(symbol).to_f64());
        let equity: f64 = text(&account["equity"]["USDT"]).parse().unwrap();
        let held = held(&account, symbol).to_f64();
        assert!(held != 0.0, "nothing is held");
        let percent = -100.0 * part * equity / (held * bid);
        assert!((-95.0..900.0).contains(&percent), "the position of {held} is too small to lose {part} by");
        percent
    }

    pub(crate) fn latched(&self) -> LatchRecord {
        match check(&self.state()) {
            LatchState::Latched(record) => *record,
            other => panic!("not latched: {other:?}\n{}", self.said()),
        }
    }

    /// The latch, once it is there.
    pub(crate) fn wait_latch(&self) -> LatchRecord {
        wait_or(
            "the latch",
            || match check(&self.state()) {
                LatchState::Latched(record) => Some(*record),
                _ => None,
            },
            || self.said(),
        )
    }

    /// What everybody may rely on once the guardian has flattened.
    pub(crate) fn assert_flat_and_told(&self, condition: &str) {
        self.wait_event("flat");
        self.assert_flat();
        assert_eq!(self.latched().condition, condition, "{}", self.said());
        self.assert_nothing_sent_after_the_fence();
        self.assert_told_once();
    }

    pub(crate) fn assert_flat(&self) {
        assert_eq!(self.open_lots(), Qty::ZERO, "{}", self.said());
        let alive = |order: &Value| ["NEW", "PARTIALLY_FILLED"].contains(&text(&order["status"]));
        let open: Vec<Value> = self.orders().into_iter().filter(alive).collect();
        assert!(open.is_empty(), "{open:?}");
    }

    /// From the fence on, every order at the venue is a close of the guardian's.
    pub(crate) fn assert_nothing_sent_after_the_fence(&self) {
        let events = self.events();
        let fenced = events.iter().rfind(|event| event["code"] == "engine-fenced").expect("fenced");
        let fenced = fenced["ts_ns"].as_u64().unwrap();
        for order in self.orders().iter().filter(|order| order["created"].as_u64().unwrap() > fenced) {
            assert!(is_close(order), "sent after the fence: {order}");
        }
    }

    /// The guardian's story is whole, and each part of it is told once.
    pub(crate) fn assert_told_once(&self) {
        let events = self.events();
        let numbers: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        let mut told = BTreeMap::new();
        for event in &events {
            let what = (text(&event["code"]).to_owned(), event["evidence"]["condition"].to_string());
            *told.entry(what).or_insert(0) += 1;
        }
        for ((code, about), count) in &told {
            // A person may ask more than once.
            let by_person = about == "\"operator\"";
            if ["condition-breached", "level-raised", "flat", "not-flat"].contains(&code.as_str()) && !by_person {
                assert_eq!(*count, 1, "{code} {about} told {count} times: {events:#?}");
            }
        }
    }

    /// Replays the venue's executions: no close of the guardian's went below the limit, so that it closed the
    /// excess and nothing else. Answers how much it closed.
    pub(crate) fn assert_only_excess_was_closed(&self, limit: Qty) -> Qty {
        let account = self.account();
        let closes: Vec<u64> = account["orders"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|order| is_close(order))
            .map(|order| order["orderId"].as_u64().unwrap())
            .collect();
        let (mut held, mut closed) = (BTreeMap::<String, i64>::new(), 0);
        for fill in account["fills"].as_array().unwrap() {
            let units = text(&fill["quantity"]).parse::<Qty>().unwrap().units();
            let signed = if fill["side"] == "BUY" { units } else { -units };
            *held.entry(text(&fill["symbol"]).to_owned()).or_default() += signed;
            if closes.contains(&fill["orderId"].as_u64().unwrap()) {
                let open: i64 = held.values().map(|units| units.abs()).sum();
                assert!(open >= limit.units(), "closed below the limit of {limit}: {fill}");
                closed += units;
            }
        }
        Qty::from_units(closed)
    }

    /// Lots that orders of the guardian's have traded.
    pub(crate) fn closed_by_guardian(&self) -> Qty {
        let traded = |order: &Value| text(&order["executed"]).parse::<Qty>().unwrap().units();
        Qty::from_units(self.orders().iter().filter(|order| is_close(order)).map(traded).sum())
    }
}

fn held(account: &Value, symbol: &str) -> Qty {
    let positions = account["positions"].as_array().unwrap();
    let found = positions.iter().find(|position| position["symbol"] == symbol).unwrap();
    text(&found["quantity"]).parse().unwrap()
}

/// A quantity in hundredths of a lot.
pub(crate) const fn hundredths(lots: i64) -> Qty {
    Qty::from_units(lots * SCALE / 100)
}
