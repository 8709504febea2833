//! The symbols of one file: named by its lines where they have a column for it, else by `--symbol`,
//! else by the file's name.
//!
//! A line that names its exchange as well gives the instrument `BINANCE-FUTURES/BTCUSDT`. The part
//! up to the `/` is dropped when the session's files have the symbol of no other exchange.

use std::path::Path;

use super::error::BadLine;

/// Most symbols in a file: each becomes an instrument, held in memory.
const MOST_SYMBOLS: usize = 4_096;
/// Longest name that an instrument may have.
const LONGEST_NAME: usize = 32;

/// First words of file names that say what is in the file, not which instrument.
const NOT_SYMBOLS: [&str; 8] = ["QUOTE", "QUOTES", "TRADE", "TRADES", "TICKS", "TARDIS", "PRICES", "MARKET"];

/// Symbols in the order first seen.
#[derive(Default)]
pub(super) struct Symbols {
    /// What the lines wrote: exchange and symbol.
    written: Vec<(Vec<u8>, Vec<u8>)>,
    names: Vec<String>,
    last: usize,
}

impl Symbols {
    /// A symbol that the lines do not write.
    pub(super) fn push(&mut self, name: String) {
        self.written.push((Vec::new(), name.clone().into_bytes()));
        self.names.push(name);
    }

    pub(super) fn name(&self, at: usize) -> Option<&String> {
        self.names.get(at)
    }

    /// The index of what a line wrote; new ones are added.
    pub(super) fn index_of(&mut self, symbol: &[u8], exchange: &[u8]) -> Result<usize, BadLine> {
        let same = |(place, name): &(Vec<u8>, Vec<u8>)| name == symbol && place == exchange;
        // Nearly always the symbol of the line before.
        if self.written.get(self.last).is_some_and(same) {
            return Ok(self.last);
        }
        self.last = match self.written.iter().position(same) {
            Some(at) => at,
            None => self.add(symbol, exchange)?,
        };
        Ok(self.last)
    }

    fn add(&mut self, symbol: &[u8], exchange: &[u8]) -> Result<usize, BadLine> {
        let mut name = clean(symbol).ok_or_else(|| BadLine::new("a symbol", symbol))?;
        if !exchange.is_empty() {
            let place = clean(exchange).ok_or_else(|| BadLine::new("an exchange", exchange))?;
            name = format!("{place}/{name}");
        }
        if name.len() > LONGEST_NAME {
            return Err(BadLine::new(
                format!("exchange and symbol of at most {LONGEST_NAME} letters"),
                name.as_bytes(),
            ));
        }
        if self.names.len() >= MOST_SYMBOLS {
            return Err(BadLine::new(format!("one of the {MOST_SYMBOLS} symbols before"), symbol));
        }
        self.written.push((exchange.to_vec(), symbol.to_vec()));
        // `EUR/USD` and `EURUSD` are one.
        self.names.push(name);
        Ok(self.names.len() - 1)
    }
}

/// Upper case without the slash of `EUR/USD`; `None` for what is not a symbol.
pub(super) fn clean(text: &[u8]) -> Option<String> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(byte);
    if text.is_empty() || text.len() > LONGEST_NAME || !text.iter().all(allowed) {
        return None;
    }
    let name: String =
        text.iter().filter(|byte| **byte != b'/').map(|byte| char::from(byte.to_ascii_uppercase())).collect();
    (!name.is_empty()).then_some(name)
}

/// A symbol without its exchange.
pub(super) fn without_exchange(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The symbol that a file's name starts with.
pub(super) fn of_file_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let stem = name.split('.').next()?.to_ascii_uppercase();
    let mut parts = stem.split(['_', '-']).skip_while(|part| matches!(*part, "DAT" | "ASCII"));
    let first = parts.next()?;
    let symbol = if first == "BINANCE" {
        let _market = parts.next()?;
        let symbol = parts.next()?.to_owned();
        if parts.next() == Some("PERP") { format!("{symbol}_PERP") } else { symbol }
    } else {
        first.to_owned()
    };
    let alike = symbol.len() >= 5 && symbol.starts_with(|c: char| c.is_ascii_alphabetic());
    (alike && !NOT_SYMBOLS.contains(&symbol.as_str())).then_some(symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symbol_and_exchange_is_its_own() {
        let mut symbols = Symbols::default();
        for (symbol, exchange, name) in [
            (&b"EUR/USD"[..], &b""[..], "EURUSD"),
            (b"btcusdt", b"binance-futures", "BINANCE-FUTURES/BTCUSDT"),
            (b"btcusdt", b"bitmex", "BITMEX/BTCUSDT"),
        ] {
            let at = symbols.index_of(symbol, exchange).unwrap();
            assert_eq!(symbols.name(at).map(String::as_str), Some(name));
            assert_eq!(symbols.index_of(symbol, exchange), Ok(at));
        }
        for bad in [&b""[..], b"/", b"EUR USD", b"\0\0", "EUR\u{20ac}".as_bytes(), &[b'A'; 33]] {
            assert!(symbols.index_of(bad, b"").is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_number_of_symbols_is_bounded() {
        let mut symbols = Symbols::default();
        let refused = (0..2 * MOST_SYMBOLS).filter(|i| symbols.index_of(format!("S{i}").as_bytes(), b"").is_err());
        assert_eq!(refused.count(), MOST_SYMBOLS);
    }

    #[test]
    fn file_names_tell_the_symbol() {
        for (file, symbol) in [
            ("EURUSD_fxcm_2014.csv.gz", Some("EURUSD")),
            ("EURUSD-2016-01.csv", Some("EURUSD")),
            ("DAT_ASCII_EURUSD_T_202306.csv", Some("EURUSD")),
            ("binance_cm_btcusd_perp_20240808_quotes.csv.gz", Some("BTCUSD_PERP")),
            ("quotes.csv", None),
            ("tick.csv", None),
            ("20140508_quote.zip", None),
        ] {
            assert_eq!(of_file_name(Path::new(file)).as_deref(), symbol, "{file}");
        }
    }
}
