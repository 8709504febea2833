//! The filters that an order passes before it reaches the matcher: the same numbers that
//! `exchangeInfo` publishes.

use crate::core::Price;

use super::error::ApiError;
use super::json::{Object, array};
use super::records::{NewOrder, OrderType, worth};
use super::symbols::Symbol;

/// A limit may be this many times the far touch at most, and a fifth of it at least.
const MULTIPLIER: i64 = 5;

/// Refuses what the symbol's filters refuse. `far` is the touch that the order would trade at.
///
/// # Errors
/// -1013 with the name of the first filter that says no.
pub(super) fn check(symbol: &Symbol, new: &NewOrder, far: Price) -> Result<(), ApiError> {
    let spec = &symbol.spec;
    let market = new.order_type == OrderType::Market;
    if !market && (new.price.units() % spec.tick_size.units() != 0 || new.price.units() < spec.tick_size.units()) {
        return Err(ApiError::filter("PRICE_FILTER"));
    }
    if new.qty.units() % spec.lot_step.units() != 0 || new.qty < spec.min_lot || new.qty > spec.max_lot {
        return Err(ApiError::filter("LOT_SIZE"));
    }
    let price = if market { far } else { new.price };
    let value = worth(price, new.qty, false);
    if value < symbol.min_notional && !new.reduce_only || value > symbol.max_notional {
        return Err(ApiError::filter("NOTIONAL"));
    }
    let (price, far) = (i128::from(price.units()), i128::from(far.units()));
    if price > far * i128::from(MULTIPLIER) || price * i128::from(MULTIPLIER) < far {
        return Err(ApiError::filter("PERCENT_PRICE_BY_SIDE"));
    }
    Ok(())
}

/// The filters of a symbol as `exchangeInfo` lists them.
pub(super) fn list(symbol: &Symbol, most_open: usize) -> String {
    let spec = &symbol.spec;
    let ratio = crate::core::Price::from_units(crate::core::SCALE / MULTIPLIER);
    let sized = |name: &str, step: crate::core::Qty| {
        Object::new()
            .text("filterType", name)
            .decimal("minQty", spec.min_lot)
            .decimal("maxQty", spec.max_lot)
            .decimal("stepSize", step)
            .end()
    };
    array([
        Object::new()
            .text("filterType", "PRICE_FILTER")
            .decimal("minPrice", spec.tick_size)
            .decimal("maxPrice", Price::whole(10_000_000))
            .decimal("tickSize", spec.tick_size)
            .end(),
        sized("LOT_SIZE", spec.lot_step),
        sized("MARKET_LOT_SIZE", crate::core::Qty::ZERO),
        Object::new()
            .text("filterType", "PERCENT_PRICE_BY_SIDE")
            .raw("bidMultiplierUp", format_args!("\"{MULTIPLIER}\""))
            .raw("bidMultiplierDown", format_args!("\"{ratio}\""))
            .raw("askMultiplierUp", format_args!("\"{MULTIPLIER}\""))
            .raw("askMultiplierDown", format_args!("\"{ratio}\""))
            .raw("avgPriceMins", 0)
            .end(),
        Object::new()
            .text("filterType", "NOTIONAL")
            .decimal("minNotional", symbol.min_notional)
            .raw("applyMinToMarket", true)
            .decimal("maxNotional", symbol.max_notional)
            .raw("applyMaxToMarket", true)
            .raw("avgPriceMins", 0)
            .end(),
        Object::new().text("filterType", "MAX_NUM_ORDERS").raw("maxNumOrders", most_open).end(),
    ])
}

/// The filters of a futures symbol.
pub(super) fn list_futures(symbol: &Symbol, most_open: usize) -> String {
    let spec = &symbol.spec;
    let sized = |name: &str| {
        Object::new()
            .text("filterType", name)
            .decimal("minQty", spec.min_lot)
            .decimal("maxQty", spec.max_lot)
            .decimal("stepSize", spec.lot_step)
            .end()
    };
    array([
        Object::new()
            .text("filterType", "PRICE_FILTER")
            .decimal("minPrice", spec.tick_size)
            .decimal("maxPrice", Price::whole(10_000_000))
            .decimal("tickSize", spec.tick_size)
            .end(),
        sized("LOT_SIZE"),
        sized("MARKET_LOT_SIZE"),
        Object::new().text("filterType", "MAX_NUM_ORDERS").raw("limit", most_open).end(),
        Object::new().text("filterType", "MIN_NOTIONAL").decimal("notional", symbol.min_notional).end(),
    ])
}
