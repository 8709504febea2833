//! The second stage: clean events become features and raw signals.
//!
//! O(1) a tick and no allocation: what a closed bar decides (volatility, RSI, ADX, the base of the
//! z-score) is computed once, exactly, when it closes; a tick adds one step to the base. Warm-up is
//! a state: nothing is emitted before every feature is defined.

mod deviation;
mod series;
mod wilder;

use serde::{Deserialize, Serialize};

use crate::core::fetch::fetch;
use crate::core::{Event, InstrumentId, Nanos, Side, Span};

pub use deviation::Deviation;
use series::Series;
pub use wilder::{DirectionalIndex, Range, RelativeStrength};

/// What the features are computed over and when a signal is raised.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuantParams {
    /// Width of the bars that feed the window.
    pub bar: Span,
    /// Bars in the window, 2 or more.
    pub window: usize,
    /// A signal is raised at this distance from the mean, in standard deviations. Above `rearm_z`.
    pub entry_z: f64,
    /// After a signal, the next one needs |z| to have been below this first.
    pub rearm_z: f64,
    /// Signals only while the average directional index is below this: no trend.
    pub adx_max: f64,
    /// Wilder period of the average directional index.
    pub adx_period: usize,
    /// Wilder period of the relative strength index.
    pub rsi_period: usize,
    /// Delta degrees of freedom of the volatility's standard deviation.
    pub volatility_ddof: usize,
    /// Delta degrees of freedom of the z-score's standard deviation.
    pub z_ddof: usize,
    /// A hole of more empty bars than this ends the warm-up state: the window starts anew.
    pub max_empty_bars: u32,
}

impl Default for QuantParams {
    fn default() -> Self {
        Self {
            bar: Span::seconds(60),
            window: 20,
            entry_z: 2.0,
            rearm_z: 1.0,
            adx_max: 25.0,
            adx_period: 14,
            rsi_period: 14,
            volatility_ddof: 1,
            z_ddof: 0,
            max_empty_bars: 60,
        }
    }
}

/// The model's input, all defined.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Features {
    /// ln(P_t / P_{t-1}) over bar closes.
    pub log_return: f64,
    /// Standard deviation of the window's log returns.
    pub volatility: f64,
    /// Distance of the mid from the window's mean, in its standard deviations.
    pub z_score: f64,
    /// Wilder's average directional index, 0 to 100.
    pub adx: f64,
    /// Wilder's relative strength index, 0 to 100.
    pub rsi: f64,
    /// sin(2π · seconds of the UTC day / 86400).
    pub time_sin: f64,
    /// Buy volume minus sell volume over the window, in lots.
    pub volume_delta: f64,
}

impl Features {
    /// How many.
    pub const COUNT: usize = 7;
    /// Their names, in the order of [`Features::to_row`]: what a model must have been trained on.
    pub const NAMES: [&'static str; Self::COUNT] =
        ["log_return", "volatility", "z_score", "adx", "rsi", "time_sin", "volume_delta"];

    /// The model's row: each feature rounded once to `f32`.
    #[must_use]
    pub fn to_row(&self) -> [f32; Self::COUNT] {
        [self.log_return, self.volatility, self.z_score, self.adx, self.rsi, self.time_sin, self.volume_delta]
            .map(|feature| feature as f32)
    }
}

/// A mean-reversion opportunity, before the gate: `Buy` is LONG_REVERSION.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RawSignal {
    /// The side to enter.
    pub side: Side,
    /// What the model is asked with.
    pub features: Features,
}

/// What quant says about one event.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MarketView {
    /// Current z-score; NaN while undefined.
    pub z_score: f64,
    /// A raw signal raised by this very event.
    pub signal: Option<RawSignal>,
}

/// A parameter that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("quant.{field}: expected {expected}, found {found}")]
pub struct QuantError {
    field: &'static str,
    expected: &'static str,
    found: String,
}

impl QuantParams {
    /// Checks every field that has a range.
    ///
    /// # Errors
    /// Names the first field that is out of it.
    pub fn check(&self) -> Result<(), QuantError> {
        let rules: [(bool, &'static str, &'static str, String); 8] = [
            (self.bar >= Span::millis(1), "bar", "1ms or more", self.bar.to_string()),
            ((3..=10_000).contains(&self.window), "window", "3 to 10000 bars", self.window.to_string()),
            (
                self.entry_z.is_finite() && self.entry_z > self.rearm_z,
                "entry_z",
                "a number above rearm_z",
                self.entry_z.to_string(),
            ),
            (self.rearm_z.is_finite() && self.rearm_z > 0.0, "rearm_z", "a number above 0", self.rearm_z.to_string()),
            (self.adx_max > 0.0, "adx_max", "a number above 0", self.adx_max.to_string()),
            (
                (2..=1000).contains(&self.adx_period) && (2..=1000).contains(&self.rsi_period),
                "adx_period, rsi_period",
                "2 to 1000 bars",
                format!("{}, {}", self.adx_period, self.rsi_period),
            ),
            (
                self.volatility_ddof <= 1 && self.z_ddof <= 1,
                "volatility_ddof, z_ddof",
                "0 or 1",
                format!("{}, {}", self.volatility_ddof, self.z_ddof),
            ),
            (self.max_empty_bars <= 100_000, "max_empty_bars", "at most 100000", self.max_empty_bars.to_string()),
        ];
        match rules.into_iter().find(|(good, ..)| !good) {
            Some((_, field, expected, found)) => Err(QuantError { field, expected, found }),
            None => Ok(()),
        }
    }
}

/// Features and raw signals of all instruments.
pub struct Quant {
    params: QuantParams,
    series: Vec<Series>,
}

impl Quant {
    /// Quant for this many instruments.
    ///
    /// # Errors
    /// A parameter out of its range.
    pub fn new(params: &QuantParams, instruments: usize) -> Result<Self, QuantError> {
        params.check()?;
        Ok(Self { params: params.clone(), series: vec![Series::new(params); instruments] })
    }

    /// What one clean event (from the feed: `venue_ns` is its event time) changes.
    #[inline]
    pub fn on_event(&mut self, event: &Event) -> MarketView {
        match self.series.get_mut(event.instrument.index()) {
            Some(series) => series.on_event(&self.params, event),
            None => MarketView { z_score: f64::NAN, signal: None },
        }
    }

    /// The signal that would be raised if the rule fired now, whatever the trend says, with the z-score that it fires
    /// at, or the present one where that is larger: what a rehearsal asks the model with. `None` while a feature is
    /// undefined.
    pub fn as_if_raised(&self, id: InstrumentId, now: Nanos) -> Option<RawSignal> {
        self.series.get(id.index())?.as_if_raised(&self.params, now)
    }

    /// Asks for the memory that the instrument's next event changes.
    pub fn fetch(&self, id: InstrumentId) {
        fetch(&self.params);
        if let Some(series) = self.series.get(id.index()) {
            series.fetch();
        }
    }

    /// Bars closed so far on an instrument.
    pub fn bars_closed(&self, id: InstrumentId) -> u64 {
        self.series.get(id.index()).map_or(0, Series::bars_closed)
    }
}
