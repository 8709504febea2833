//! Standard deviation over a sliding window, two passes over the ring at each step.
//!
//! For a window of 20 this costs 11 ns more than Welford's update and cannot drift
//! (`facts: rolling SD over 10,000,000 updates`).

use ta::{Next, Period, Reset};

/// Mean and standard deviation of the last `period` values.
#[derive(Clone, Debug)]
pub struct Deviation {
    values: Box<[f64]>,
    next: usize,
    filled: usize,
    ddof: usize,
}

impl Deviation {
    /// A window of `period` values with `ddof` delta degrees of freedom; `ddof < period`.
    pub fn new(period: usize, ddof: usize) -> Self {
        assert!(ddof < period, "a window of {period} has no deviation with ddof {ddof}");
        Self { values: vec![0.0; period].into_boxed_slice(), next: 0, filled: 0, ddof }
    }

    /// True once the window is full.
    pub fn is_ready(&self) -> bool {
        self.filled == self.values.len()
    }

    /// Mean and sum of squared deviations from it, of what is in the window.
    pub fn moments(&self) -> (f64, f64) {
        let values = &self.values[..self.filled];
        let mean = values.iter().sum::<f64>() / self.filled as f64;
        (mean, values.iter().map(|value| (value - mean) * (value - mean)).sum())
    }

    /// Adds a value, pushing the oldest out.
    pub fn push(&mut self, value: f64) {
        self.values[self.next] = value;
        self.next = (self.next + 1) % self.values.len();
        self.filled = (self.filled + 1).min(self.values.len());
    }

    /// The standard deviation; NaN until the window is full.
    pub fn deviation(&self) -> f64 {
        if !self.is_ready() {
            return f64::NAN;
        }
        let (_, squares) = self.moments();
        (squares / (self.values.len() - self.ddof) as f64).sqrt()
    }
}

impl Next<f64> for Deviation {
    type Output = f64;
    /// The standard deviation including `value`; NaN until the window is full.
    fn next(&mut self, value: f64) -> f64 {
        self.push(value);
        self.deviation()
    }
}

impl Period for Deviation {
    fn period(&self) -> usize {
        self.values.len()
    }
}

impl Reset for Deviation {
    fn reset(&mut self) {
        self.next = 0;
        self.filled = 0;
    }
}
