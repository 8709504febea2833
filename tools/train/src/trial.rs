//! A backtest with and without the gate: the whole engine against the simulated exchange, as
//! `pawl backtest` runs it. Positions, sizes, limits and latency are all there, which a table of rows
//! leaves out.

use pawl::config::{Config, default_balance};
use pawl::core::Nanos;
use pawl::engine::Engine;
use pawl::oracle::{Model, Oracle};
use pawl::quant::Features;
use pawl::report::Collector;
use pawl::venue::paper::PaperVenue;
use pawl::worlds::session::Session;

use crate::TrainError;
use crate::metrics::{Expectancy, difference_t};
use crate::rows::Origin;

/// Trades of one series.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Net result of each closed trade in basis points of its entry price.
    pub net_bp: Vec<f64>,
    /// Net result in the account's currency.
    pub net_money: f64,
}

/// Trades of several series with the gate and without it.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    /// With the gate.
    pub gated: Expectancy,
    /// Without it.
    pub ungated: Expectancy,
    /// Net money with the gate and without it; a sum over currencies where there are several.
    pub money: (f64, f64),
    /// Gated against ungated: Welch's t. The two share trades, so it understates a difference.
    pub t: f64,
}

/// Runs series under a model and without one; counts the trades opened at `from` or later.
///
/// # Errors
/// What cannot be read, or what a stage refuses.
pub fn trial(origins: &[Origin], config: &Config, json: &[u8], from: Nanos) -> Result<Trial, TrainError> {
    let (mut gated, mut ungated) = (Run::default(), Run::default());
    for origin in origins {
        let model = Model::from_bytes(json, &Features::NAMES)?;
        gated.add(run(origin, config, Oracle::gated(model, &config.oracle)?, from)?);
        ungated.add(run(origin, config, Oracle::open(), from)?);
    }
    let money = (gated.net_money, ungated.net_money);
    let (gated, ungated) = (Expectancy::of(gated.net_bp), Expectancy::of(ungated.net_bp));
    Ok(Trial { gated, ungated, money, t: difference_t(&gated, &ungated) })
}

impl Run {
    fn add(&mut self, other: Self) {
        self.net_bp.extend(other.net_bp);
        self.net_money += other.net_money;
    }
}

/// One series through the whole engine.
fn run(origin: &Origin, config: &Config, oracle: Oracle, from: Nanos) -> Result<Run, TrainError> {
    let (table, market) = origin.open(config)?;
    let currency = table.iter().next().map_or_else(String::new, |(_, instrument)| instrument.spec().currency.clone());
    let balance = config.account.balance.unwrap_or_else(|| default_balance(&currency));
    let engine = Engine::new(&config.engine(), oracle, &table, 1)?;
    let venue = PaperVenue::new(&config.paper, &table)?;
    let mut session = Session::new(engine, venue, Collector::new(&table, balance, &currency), None);
    let mut started = false;
    for event in market {
        let event = event?;
        if !started {
            session.start(balance, event.local_ns)?;
            started = true;
        }
        session.on_market(&event)?;
    }
    let trades = session.finish(&table)?.trades;
    let counted = trades.iter().filter(|trade| trade.opened >= from);
    let mut result = Run::default();
    for trade in counted {
        let Some(instrument) = table.get(trade.instrument) else { continue };
        let spec = instrument.spec();
        let value = trade.entry.to_f64() / spec.point_size.to_f64() * spec.point_value.to_f64() * trade.qty.to_f64();
        result.net_bp.push(trade.net.to_f64() / value * 1e4);
        result.net_money += trade.net.to_f64();
    }
    Ok(result)
}
