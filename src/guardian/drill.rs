//! The drill: the whole liquidation on a demo account, timed. It opens a smallest position and rests an
//! order on purpose, then runs the very machine that an emergency runs, on the same kind of session.

use serde::Serialize;

use crate::core::{InstrumentId, Money, Price, Qty, Side, Span};
use crate::snapshot::monotonic_ns;
use crate::venue::binance::rest::{NewOrder, RestError};

use super::binance::{BinanceSession, Touches};
use super::decide::Goal;
use super::desk::{Desk, DeskReply, DeskRequest};
use super::liquidation::{Liquidation, Note, Step};
use super::params::LiquidationParams;

/// Why a drill is no proof.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The venue does not answer or refuses.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// Something is open already.
    #[error(
        "drill: expected a flat account, found positions or orders: close them first, a drill must not touch what is yours"
    )]
    NotFlat,
    /// A price is needed to size the order.
    #[error("drill: expected a price of {0}, found none")]
    NoPrice(String),
    /// The time is up.
    #[error("drill: NOT FLAT after {0}: the guardian could not flatten this account; look at the venue now")]
    Bound(Span),
}

/// How long each part took.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct DrillReport {
    /// The instrument.
    pub symbol: String,
    /// Lots opened and closed again.
    pub quantity: String,
    /// Microseconds from the start to the first cancel's confirmation; 0 = there was nothing to cancel.
    pub first_cancel_us: u64,
    /// Microseconds from the start to the last close's confirmation.
    pub closed_us: u64,
    /// Microseconds from the start to the second read that proves flat.
    pub flat_us: u64,
    /// Questions asked of the venue.
    pub requests: u32,
    /// What went wrong on the way.
    pub troubles: Vec<String>,
}

/// Runs a drill on the first instrument of the session.
///
/// # Errors
/// The account is not flat, the venue refuses, or the account could not be flattened within the bound.
pub fn drill(
    session: &mut BinanceSession,
    touches: &Touches,
    params: &LiquidationParams,
) -> Result<DrillReport, DrillError> {
    let facts = session.facts(touches)?;
    if !facts.is_flat() {
        return Err(DrillError::NotFlat);
    }
    let id = InstrumentId(0);
    let Some(instrument) = session.instruments().get(id).cloned() else { return Err(DrillError::NoPrice("?".into())) };
    let spec = instrument.spec().clone();
    let no_price = || DrillError::NoPrice(spec.symbol.clone());
    let DeskReply::Touch { bid, ask } = session.ask(&DeskRequest::Touch(id)) else { return Err(no_price()) };
    // Twice what counts as dust is above the smallest notional of the venue, and is worth closing.
    let wanted = params.dust.checked_mul(2).unwrap_or(Money::MAX);
    let one = instrument.notional(ask, spec.lot_step).filter(|value| value.is_positive()).ok_or_else(no_price)?;
    let steps = wanted.units() / one.units() + 1;
    let qty = spec.lot_step.checked_mul(steps).unwrap_or(spec.max_lot).max(spec.min_lot);
    let entry = NewOrder {
        symbol: &spec.symbol,
        side: Side::Buy,
        price: None,
        qty,
        immediate: true,
        client_id: "pawl-drill-1",
        reduce_only: false,
    };
    session.place_for_drill(&entry)?;
    let far = Price::from_units(bid.units() - bid.units() / 50).floor_to(spec.tick_size).unwrap_or(bid);
    let resting = NewOrder { price: Some(far), immediate: false, client_id: "pawl-drill-2", ..entry };
    session.place_for_drill(&resting)?;
    flatten(session, params, spec.symbol.clone(), qty)
}

fn flatten(
    session: &mut BinanceSession,
    params: &LiquidationParams,
    symbol: String,
    qty: Qty,
) -> Result<DrillReport, DrillError> {
    let began = monotonic_ns();
    let instruments = session.instruments().clone();
    let mut machine = Liquidation::new(params, Qty::ZERO, &instruments, began / 1_000_000, false);
    machine.pursue(Goal::Flat, began);
    let mut report = DrillReport { symbol, quantity: qty.to_string(), ..DrillReport::default() };
    let elapsed = || (monotonic_ns() - began) / 1000;
    loop {
        match machine.next(monotonic_ns(), true) {
            Step::Ask(request) => {
                let reply = session.ask(&request);
                report.requests += 1;
                match &request {
                    DeskRequest::Cancel(..) if report.first_cancel_us == 0 => report.first_cancel_us = elapsed(),
                    DeskRequest::Close(_) => report.closed_us = elapsed(),
                    _ => {}
                }
                machine.answer(reply, monotonic_ns());
            }
            Step::Wait(until) => {
                std::thread::sleep(std::time::Duration::from_nanos(until.saturating_sub(monotonic_ns())));
            }
            Step::AwaitFence => unreachable!("a drill has no engine to fence"),
            Step::Done => break,
        }
        for note in machine.take_notes() {
            match note {
                Note::Trouble(text) => report.troubles.push(text),
                Note::BoundReached => return Err(DrillError::Bound(params.bound)),
                Note::Closed(..) => {}
            }
        }
    }
    report.flat_us = elapsed();
    Ok(report)
}
