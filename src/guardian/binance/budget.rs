//! What the guardian's questions weigh, and how often it may put them: the venue's limit is one for everybody who asks
//! from this address, so that reading the account takes at most half of it. The rest is the engine's, and that of a
//! liquidation.

use crate::core::Span;
use crate::venue::binance::endpoints::Market;
use crate::venue::binance::rest::Rest;

use super::SessionPlan;

/// A limit of so much weight is counted over this time.
const WINDOW: Span = Span::seconds(60);

/// Weights of the questions, as documented (2025-11).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Weights {
    pub(super) time: u32,
    /// Best bid and ask of a symbol.
    pub(super) touch: u32,
    /// Open orders of a symbol.
    pub(super) orders: u32,
    /// The account, with the positions of futures.
    pub(super) account: u32,
    /// Executions of a symbol.
    pub(super) trades: u32,
    pub(super) income: u32,
    /// The dead-man switch of a symbol.
    pub(super) countdown: u32,
    /// What is allowed in a minute, where the venue does not say.
    limit: u32,
}

impl Weights {
    pub(super) const fn of(market: Market) -> Self {
        match market {
            Market::Spot => {
                Self { time: 1, touch: 2, orders: 6, account: 20, trades: 20, income: 0, countdown: 0, limit: 6000 }
            }
            Market::UsdMFutures => {
                Self { time: 1, touch: 2, orders: 1, account: 10, trades: 5, income: 30, countdown: 10, limit: 2400 }
            }
        }
    }

    /// A read of an account that stood still.
    const fn quiet(&self, symbols: u32) -> u32 {
        (self.touch + self.orders) * symbols + self.account
    }

    /// The same when its cash has moved: the executions, and the account once more.
    const fn moved(&self, symbols: u32) -> u32 {
        self.quiet(symbols) + self.trades * symbols + self.account
    }

    /// The same when, beside that, everything else is asked that may be between two reads.
    const fn worst(&self, symbols: u32) -> u32 {
        self.moved(symbols) + self.time + self.income + self.countdown * symbols
    }
}

/// How often an account may be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::guardian) struct Pace {
    /// Weight allowed in a minute.
    pub(in crate::guardian) limit: u32,
    /// Between two reads while nothing trades.
    pub(in crate::guardian) quiet: Span,
    /// Between two reads while every one finds that the cash has moved.
    pub(in crate::guardian) moved: Span,
    /// The longest that there may be between two reads.
    pub(in crate::guardian) worst: Span,
}

impl SessionPlan {
    /// How often the account may be read. Asks the venue for its limit; one that does not answer has the usual.
    pub(in crate::guardian) fn pace(&self, client: Option<&mut Rest>) -> Pace {
        let symbols: Vec<&str> = self.symbols.iter().map(String::as_str).collect();
        let told =
            client.and_then(|client| client.exchange_info(&symbols).ok()).map_or(0, |rules| rules.weight_per_minute);
        let weights = Weights::of(self.market);
        let limit = if told == 0 { weights.limit } else { told };
        let count = u32::try_from(symbols.len()).unwrap_or(u32::MAX);
        let time = |weight: u32| time_for(weight, limit);
        Pace {
            limit,
            quiet: time(weights.quiet(count)),
            moved: time(weights.moved(count)),
            worst: time(weights.worst(count)),
        }
    }
}

/// What weighs so much may be asked again after this time, so that half of the limit is used.
pub(in crate::guardian) fn time_for(weight: u32, limit: u32) -> Span {
    Span((WINDOW.0 / u64::from(limit / 2).max(1)).saturating_mul(u64::from(weight)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_limit_is_enough_for_the_reads_of_a_minute() {
        for (market, limit) in [(Market::Spot, 6000), (Market::UsdMFutures, 2400)] {
            let weights = Weights::of(market);
            for symbols in [1, 2, 10, 64] {
                for weight in [weights.quiet(symbols), weights.moved(symbols), weights.worst(symbols)] {
                    let reads = WINDOW.0 / time_for(weight, limit).0;
                    let used = reads * u64::from(weight);
                    assert!(used <= u64::from(limit / 2) + u64::from(weight), "{market:?} {symbols}: {used}");
                }
            }
        }
        // By hand: ten symbols of spot, 100 quiet and 320 when the cash moved, of 3000 a minute.
        let weights = Weights::of(Market::Spot);
        assert_eq!(time_for(weights.quiet(10), 6000), Span::seconds(2));
        assert_eq!(time_for(weights.moved(10), 6000), Span::millis(6400));
        let weights = Weights::of(Market::UsdMFutures);
        assert_eq!((weights.quiet(10), weights.moved(10)), (40, 100));
    }
}
