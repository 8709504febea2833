//! A first look at the files: which symbols, and the steps of their prices and sizes.

use std::path::PathBuf;

use super::Options;
use super::csv::Body;
use super::error::DataError;
use super::reader::Reader;
use super::symbols::without_exchange;
use crate::core::{Price, Qty};

/// Rows looked at in a file of one symbol.
const SAMPLE: usize = 2_000;

/// What the sample of one symbol shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolSurvey {
    /// Upper-case name.
    pub symbol: String,
    /// Greatest common divisor of the sampled prices, above 0.
    pub tick: Price,
    /// Greatest common divisor of the sampled sizes, 0 if none.
    pub lot: Qty,
    /// The first price (bid of a quote).
    pub first_price: Price,
}

fn gcd(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The symbols of the files in the order first seen.
///
/// # Errors
/// A file that cannot be read, or none that holds a row.
pub fn survey(paths: &[PathBuf], options: &Options) -> Result<Vec<SymbolSurvey>, DataError> {
    let mut found: Vec<SymbolSurvey> = Vec::new();
    for path in paths {
        let mut reader = Reader::open(path, options)?;
        let limit = if reader.multi { usize::MAX } else { SAMPLE };
        let mut rows = 0;
        while rows < limit {
            let Some((symbol, row)) = reader.next_row()? else { break };
            rows += 1;
            let (prices, sizes) = match row.body {
                Body::Quote(quote) => ([quote.bid, quote.ask], [quote.bid_qty, quote.ask_qty]),
                Body::Trade(trade, _) => ([trade.price; 2], [trade.qty; 2]),
            };
            let Some(name) = reader.symbol(symbol) else { continue };
            let at = found.iter().position(|have| have.symbol == *name).unwrap_or_else(|| {
                let first_price = prices[0];
                found.push(SymbolSurvey { symbol: name.clone(), tick: Price::ZERO, lot: Qty::ZERO, first_price });
                found.len() - 1
            });
            let Some(entry) = found.get_mut(at) else { continue };
            entry.tick =
                Price::from_units(prices.iter().fold(entry.tick.units(), |sum, price| gcd(sum, price.units())));
            entry.lot = Qty::from_units(sizes.iter().fold(entry.lot.units(), |sum, size| gcd(sum, size.units())));
        }
    }
    Ok(drop_needless_exchanges(&found))
}

/// `BITMEX/BTCUSDT` is `BTCUSDT` while no other exchange has that symbol.
fn drop_needless_exchanges(found: &[SymbolSurvey]) -> Vec<SymbolSurvey> {
    let exchanges = |name: &str| {
        let same = found.iter().filter(|one| without_exchange(&one.symbol) == without_exchange(name));
        same.filter(|one| one.symbol.contains('/')).count()
    };
    let mut kept: Vec<SymbolSurvey> = Vec::new();
    for one in found {
        let only = exchanges(&one.symbol) == 1;
        let symbol = if only { without_exchange(&one.symbol) } else { &one.symbol };
        let one = SymbolSurvey { symbol: symbol.to_owned(), ..one.clone() };
        if let Some(same) = kept.iter_mut().find(|have| have.symbol == one.symbol) {
            same.tick = Price::from_units(gcd(same.tick.units(), one.tick.units()));
            same.lot = Qty::from_units(gcd(same.lot.units(), one.lot.units()));
        } else {
            kept.push(one);
        }
    }
    kept
}
