//! Wilder's relative strength index and average directional index, with TA-Lib's start-up.
//!
//! Source of the definitions: J. W. Wilder, "New Concepts in Technical Trading Systems" (1978), in
//! the variant of TA-Lib's `ta_RSI.c` and `ta_ADX.c`. One difference on purpose: a flat window gives
//! an RSI of 50, where TA-Lib prints 0, which reads as oversold.

use ta::{Next, Period, Reset};

/// Sums below this are zero (TA-Lib's `TA_EPSILON`).
const EPSILON: f64 = 1e-14;

/// Relative strength index of closes, 0 to 100; first defined after `period` changes.
#[derive(Clone, Debug)]
pub struct RelativeStrength {
    period: usize,
    previous: Option<f64>,
    changes: usize,
    gain: f64,
    loss: f64,
}

impl RelativeStrength {
    /// Over `period` changes, 2 or more.
    pub fn new(period: usize) -> Self {
        assert!(period >= 2, "an RSI needs 2 changes or more");
        Self { period, previous: None, changes: 0, gain: 0.0, loss: 0.0 }
    }

    /// The index; NaN before it is defined.
    pub fn value(&self) -> f64 {
        let sum = self.gain + self.loss;
        match self.changes {
            changes if changes < self.period => f64::NAN,
            _ if sum < EPSILON => 50.0,
            _ => 100.0 * self.gain / sum,
        }
    }
}

impl Next<f64> for RelativeStrength {
    type Output = f64;
    fn next(&mut self, close: f64) -> f64 {
        if let Some(previous) = self.previous.replace(close) {
            let (up, down) = ((close - previous).max(0.0), (previous - close).max(0.0));
            let (n, period) = (self.changes, self.period as f64);
            self.changes = (n + 1).min(self.period + 1);
            if n < self.period {
                self.gain += up;
                self.loss += down;
                if n + 1 == self.period {
                    self.gain /= period;
                    self.loss /= period;
                }
            } else {
                self.gain = (self.gain * (period - 1.0) + up) / period;
                self.loss = (self.loss * (period - 1.0) + down) / period;
            }
        }
        self.value()
    }
}

impl Period for RelativeStrength {
    fn period(&self) -> usize {
        self.period
    }
}

impl Reset for RelativeStrength {
    fn reset(&mut self) {
        *self = Self::new(self.period);
    }
}

/// High, low and close of a bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Highest.
    pub high: f64,
    /// Lowest.
    pub low: f64,
    /// Last.
    pub close: f64,
}

/// Average directional index of bars, 0 to 100; first defined at bar `2 * period` (1-based).
#[derive(Clone, Debug)]
pub struct DirectionalIndex {
    period: usize,
    previous: Option<Range>,
    /// Bars after the first, saturating once everything is defined.
    steps: usize,
    true_range: f64,
    plus: f64,
    minus: f64,
    sum: f64,
    adx: f64,
}

impl DirectionalIndex {
    /// Over `period` bars, 2 or more.
    pub fn new(period: usize) -> Self {
        assert!(period >= 2, "an ADX needs 2 bars or more");
        Self { period, previous: None, steps: 0, true_range: 0.0, plus: 0.0, minus: 0.0, sum: 0.0, adx: f64::NAN }
    }

    /// The index; NaN before it is defined.
    pub fn value(&self) -> f64 {
        self.adx
    }

    /// The directional movement index of the present sums; `None` when there was no movement.
    fn movement(&self) -> Option<f64> {
        if self.true_range.abs() < EPSILON {
            return None;
        }
        let plus = 100.0 * (self.plus / self.true_range);
        let minus = 100.0 * (self.minus / self.true_range);
        let sum = plus + minus;
        (sum.abs() >= EPSILON).then(|| 100.0 * ((minus - plus).abs() / sum))
    }
}

impl Next<Range> for DirectionalIndex {
    type Output = f64;
    fn next(&mut self, bar: Range) -> f64 {
        let Some(previous) = self.previous.replace(bar) else { return self.adx };
        let (up, down) = (bar.high - previous.high, previous.low - bar.low);
        let plus = if up > 0.0 && up > down { up } else { 0.0 };
        let minus = if down > 0.0 && down > up { down } else { 0.0 };
        let range = (bar.high - bar.low).max((bar.high - previous.close).abs()).max((bar.low - previous.close).abs());
        let period = self.period as f64;
        let step = self.steps + 1;
        self.steps = step.min(2 * self.period);
        // Bars 1 to period - 1 only add up; from then on a period-th of the sum leaves each time.
        let keep = |sum: f64| if step < self.period { sum } else { sum - sum / period };
        self.plus = keep(self.plus) + plus;
        self.minus = keep(self.minus) + minus;
        self.true_range = keep(self.true_range) + range;
        if step < self.period {
            return self.adx;
        }
        let movement = self.movement();
        if step < 2 * self.period - 1 {
            self.sum += movement.unwrap_or(0.0);
        } else if step == 2 * self.period - 1 {
            self.sum += movement.unwrap_or(0.0);
            self.adx = self.sum / period;
        } else if let Some(movement) = movement {
            self.adx = (self.adx * (period - 1.0) + movement) / period;
        }
        self.adx
    }
}

impl Period for DirectionalIndex {
    fn period(&self) -> usize {
        self.period
    }
}

impl Reset for DirectionalIndex {
    fn reset(&mut self) {
        *self = Self::new(self.period);
    }
}
