//! What one lot of a symbol is. One table, used where sizes are read (Dukascopy writes millions of
//! units) and where an instrument is guessed from its symbol.

/// Currencies that make a six-letter symbol a currency pair.
const FIAT: [&str; 20] = [
    "USD", "EUR", "JPY", "GBP", "AUD", "NZD", "CAD", "CHF", "SEK", "NOK", "DKK", "SGD", "HKD", "MXN", "ZAR", "TRY",
    "PLN", "HUF", "CZK", "CNH",
];

/// Base and quote currency of a pair or of gold or silver, `None` for any other symbol.
pub fn currency_pair(symbol: &str) -> Option<(&str, &str)> {
    if symbol.len() != 6 || !symbol.is_ascii() {
        return None;
    }
    let (base, quote) = symbol.split_at(3);
    let known = FIAT.contains(&quote) && (FIAT.contains(&base) || base == "XAU" || base == "XAG");
    known.then_some((base, quote))
}

/// Units of the base in one lot: 100,000 of a currency, 100 ounces of gold, 5,000 of silver; 1 of
/// everything that is not a currency pair or a metal.
pub fn units_in_a_lot(symbol: &str) -> i64 {
    match currency_pair(symbol) {
        Some(("XAU", _)) => 100,
        Some(("XAG", _)) => 5_000,
        Some(_) => 100_000,
        None => 1,
    }
}
