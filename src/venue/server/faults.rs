//! Faults on demand: what a real venue does to its clients on a bad day, from one seed. Each kind has
//! a probability and a number of times that it will happen for certain; both can be set while the
//! venue runs. How often each has struck is counted, so that a test can prove that it did.

use serde::{Deserialize, Serialize};

use crate::core::Span;
use crate::venue::random::Random;

/// What can go wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[clap(rename_all = "snake_case")]
pub enum Fault {
    /// The connection is closed instead of taking a request or a control message.
    Disconnect,
    /// The connection stays open and says nothing for `stall`.
    Stall,
    /// A new order is refused.
    Reject,
    /// A new order is refused because the price moved.
    Requote,
    /// An order or a cancel is executed; the answer never comes (WebSocket), or is a 503 (REST).
    LostAck,
    /// An execution report is sent twice.
    DuplicateReport,
    /// An execution report comes `late` after its time; later ones overtake it.
    LateReport,
    /// A signed request is answered with 429, and not executed.
    TooManyRequests,
    /// A signed request is answered with 503 "unknown", and not executed.
    ServerError,
    /// A message is damaged: cut off in the middle, or spiked with garbage.
    Malformed,
}

/// Every fault, in the order of the counters.
pub const FAULTS: [Fault; 10] = [
    Fault::Disconnect,
    Fault::Stall,
    Fault::Reject,
    Fault::Requote,
    Fault::LostAck,
    Fault::DuplicateReport,
    Fault::LateReport,
    Fault::TooManyRequests,
    Fault::ServerError,
    Fault::Malformed,
];

/// When a fault strikes.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// On each occasion, 0 to 1.
    pub probability: f64,
    /// So many of the next occasions for certain.
    pub count: u64,
}

/// Times and rules. Text forms: `"250ms"`, `{"probability":0.1,"count":2}`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultPlan {
    /// Seed of everything random here.
    pub seed: u64,
    /// From every client to the venue.
    pub latency_in: Span,
    /// From the venue to every client.
    pub latency_out: Span,
    /// Uniform extra on each, 0 to this.
    pub jitter: Span,
    /// How long a stall lasts.
    pub stall: Span,
    /// How late a late report is.
    pub late: Span,
    /// Milliseconds that the venue's clock is ahead of this machine's; negative: behind.
    pub clock_skew_ms: i64,
    /// Only requests with this API key suffer (reports and streams of every client still may).
    pub only_key: Option<String>,
    /// Rules by fault.
    pub rules: std::collections::BTreeMap<Fault, Rule>,
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self {
            seed: 1,
            latency_in: Span::ZERO,
            latency_out: Span::ZERO,
            jitter: Span::ZERO,
            stall: Span::seconds(5),
            late: Span::seconds(2),
            clock_skew_ms: 0,
            only_key: None,
            rules: std::collections::BTreeMap::new(),
        }
    }
}

impl FaultPlan {
    /// Checks ranges.
    ///
    /// # Errors
    /// A text that names the rule.
    pub fn check(&self) -> Result<(), String> {
        let bad = self.rules.iter().find(|(_, rule)| !(0.0..=1.0).contains(&rule.probability));
        match bad {
            Some((fault, rule)) => {
                Err(format!("rules.{fault:?}.probability: expected 0 to 1, found {}", rule.probability))
            }
            None if self.clock_skew_ms.unsigned_abs() > 86_400_000 => {
                Err(format!("clock_skew_ms: expected at most a day, found {}", self.clock_skew_ms))
            }
            None => Ok(()),
        }
    }
}

/// The plan at work.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    /// What is planned; counts go down as they are used.
    pub plan: FaultPlan,
    random: Random,
    struck: [u64; FAULTS.len()],
}

impl Faults {
    /// From a plan.
    pub(super) fn new(plan: FaultPlan) -> Self {
        Self { random: Random::new(plan.seed), plan, struck: [0; FAULTS.len()] }
    }

    /// Whether this fault strikes now.
    pub(super) fn strikes(&mut self, fault: Fault) -> bool {
        let Some(rule) = self.plan.rules.get_mut(&fault) else { return false };
        let certain = rule.count > 0;
        if certain {
            rule.count -= 1;
        }
        let strikes = certain || (rule.probability > 0.0 && self.random.chance(rule.probability));
        self.struck[fault as usize] += u64::from(strikes);
        strikes
    }

    /// Whether this fault strikes a request made with this key.
    pub(super) fn strikes_key(&mut self, fault: Fault, key: Option<&str>) -> bool {
        let spared = self.plan.only_key.as_deref().is_some_and(|only| key != Some(only));
        !spared && self.strikes(fault)
    }

    /// How often each has struck.
    pub(super) fn counters(&self) -> impl Iterator<Item = (Fault, u64)> {
        FAULTS.into_iter().zip(self.struck)
    }

    /// A way in or out.
    pub(super) fn delay(&mut self, base: Span) -> Span {
        if self.plan.jitter == Span::ZERO {
            return base;
        }
        Span(base.0.saturating_add(self.random.below(self.plan.jitter.0)))
    }

    /// Damages a message.
    pub(super) fn damage(&mut self, text: &str) -> String {
        let mut at = self.random.below(text.len() as u64 + 1) as usize;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let (head, tail) = text.split_at(at);
        match self.random.below(4) {
            0 => head.to_owned(),
            1 => format!("{head}\u{0}garbage{tail}"),
            2 => "{\"e\":".repeat(200),
            _ => text.replace(['0', '1'], "NaN"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_certain_and_a_probability_is_seeded() {
        let plan: FaultPlan =
            serde_json::from_str(r#"{"rules":{"reject":{"count":2},"lost_ack":{"probability":0.3}}}"#).unwrap();
        let run = |plan: &FaultPlan| {
            let mut faults = Faults::new(plan.clone());
            let rejects: Vec<bool> = (0..4).map(|_| faults.strikes(Fault::Reject)).collect();
            assert_eq!(rejects, [true, true, false, false]);
            assert!(!faults.strikes(Fault::Stall));
            (0..100).map(|_| faults.strikes(Fault::LostAck)).collect::<Vec<_>>()
        };
        let struck = run(&plan).into_iter().filter(|struck| *struck).count();
        assert!((10..60).contains(&struck), "{struck}");
        assert_eq!(run(&plan), run(&plan));
        assert!(serde_json::from_str::<FaultPlan>(r#"{"typo":1}"#).is_err());
    }
}
