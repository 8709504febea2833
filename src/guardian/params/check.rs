//! What parameters can be, and what they are for an account that can only be read now and then.

use super::{GuardianParams, GuardianParamsError, MINUTE};
use crate::core::{InstrumentTable, Money, Qty, Span};

impl GuardianParams {
    /// Checks every field that has a range, and that the maximum of open lots can be met exactly.
    ///
    /// # Errors
    /// Names the first field that is out of it.
    pub fn check(&self, instruments: &InstrumentTable) -> Result<(), GuardianParamsError> {
        self.check_ranges()?;
        self.check_grid(instruments)
    }

    /// The maximum of open lots can be met exactly.
    pub(in crate::guardian) fn check_grid(&self, instruments: &InstrumentTable) -> Result<(), GuardianParamsError> {
        let limit = self.open_lots.limit;
        let on_grid = |step: Qty| limit.units() % step.units() == 0;
        if instruments.iter().all(|(_, instrument)| on_grid(instrument.spec().lot_step)) {
            return Ok(());
        }
        let expected = "a multiple of every instrument's lot_step";
        Err(GuardianParamsError { field: "open_lots.limit", expected, found: limit.to_string() })
    }

    /// Every field that has a range is in it.
    pub(in crate::guardian) fn check_ranges(&self) -> Result<(), GuardianParamsError> {
        let hundred = Money::whole(100);
        let percent = |value: Money| value.is_positive() && value <= hundred;
        let liquidation = &self.liquidation;
        let rules: [(bool, &'static str, &'static str, String); 9] = [
            (
                percent(self.daily_loss.limit),
                "daily_loss.limit",
                "a percentage above 0, at most 100",
                self.daily_loss.limit.to_string(),
            ),
            (
                percent(self.drawdown.limit),
                "drawdown.limit",
                "a percentage above 0, at most 100",
                self.drawdown.limit.to_string(),
            ),
            (self.open_lots.limit >= Qty::ZERO, "open_lots.limit", "0 or more", self.open_lots.limit.to_string()),
            (
                self.position_disagreement.limit >= Qty::ZERO,
                "position_disagreement.limit",
                "0 or more",
                self.position_disagreement.limit.to_string(),
            ),
            (
                (1_000..=100_000_000).contains(&self.look_every.0),
                "look_every",
                "1us to 100ms",
                self.look_every.to_string(),
            ),
            (
                (Span::millis(10)..=MINUTE).contains(&self.poll_every),
                "poll_every",
                "10ms to 1m",
                self.poll_every.to_string(),
            ),
            (
                [self.reject_rate.window, self.order_rate.window].iter().all(|window| window.0 > 0),
                "reject_rate.window, order_rate.window",
                "times above 0",
                format!("{}, {}", self.reject_rate.window, self.order_rate.window),
            ),
            (
                percent(liquidation.first_slippage)
                    && liquidation.first_slippage <= liquidation.widest_slippage
                    && liquidation.widest_slippage < hundred,
                "liquidation.first_slippage, liquidation.widest_slippage",
                "percentages above 0 and below 100, the first not above the widest",
                format!("{}, {}", liquidation.first_slippage, liquidation.widest_slippage),
            ),
            (
                [liquidation.request_timeout, liquidation.receive_window, liquidation.bound]
                    .iter()
                    .all(|time| time.0 > 0),
                "liquidation.request_timeout, liquidation.receive_window, liquidation.bound",
                "times above 0",
                format!("{}, {}, {}", liquidation.request_timeout, liquidation.receive_window, liquidation.bound),
            ),
        ];
        match rules.into_iter().find(|(good, ..)| !good) {
            Some((_, field, expected, found)) => Err(GuardianParamsError { field, expected, found }),
            None => Ok(()),
        }
    }

    /// The same for an account that cannot be read more often than this: a read that is not due must not pass for one
    /// that is missing.
    pub(in crate::guardian) fn at_pace(mut self, read_every: Span) -> Self {
        let venue = &mut self.venue;
        venue.limit = venue.limit.max(Span(read_every.0.saturating_mul(2)));
        venue.warn = venue.warn.max(Span(read_every.0.saturating_mul(3) / 2));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_is_not_due_is_not_missing() {
        let params = GuardianParams::default();
        assert_eq!(params.clone().at_pace(Span::seconds(1)), params);
        let slow = params.clone().at_pace(Span::seconds(36));
        assert_eq!((slow.venue.limit, slow.venue.warn), (Span::seconds(72), Span::seconds(54)));
        assert_eq!(GuardianParams { venue: params.venue.clone(), ..slow }, params);
    }

    #[test]
    fn the_maximum_of_open_lots_is_on_every_grid() {
        let table = |steps: &[i64]| {
            let specs = crate::venue::paper::synthetic::specs(steps.len()).into_iter().zip(steps);
            let on = |(spec, step): (crate::core::InstrumentSpec, &i64)| {
                let step = Qty::from_units(*step);
                crate::core::InstrumentSpec { lot_step: step, min_lot: step, max_lot: step, ..spec }
            };
            InstrumentTable::new(specs.map(on)).unwrap()
        };
        let params = GuardianParams::default();
        assert_eq!(params.check(&table(&[1_000_000, 100_000_000])), Ok(()));
        let off = table(&[1_000_000, 300_000_000]);
        assert!(params.check(&off).is_err_and(|error| error.field == "open_lots.limit"));
        assert_eq!(params.check_ranges(), Ok(()));
    }
}
