//! Recognises a format by the first line of a file. What no rule knows is refused, not guessed.

use super::Format;
use super::time_text as time;
use crate::core::Price;

/// The format that the first line shows.
pub(super) fn detect(first: &[u8]) -> Option<Format> {
    let capture = |line: &[u8]| line.starts_with(b"configuration:") || line.starts_with(b"wss://");
    let holds = |part: &[u8]| first.windows(part.len()).any(|window| window == part);
    let mut columns: [&[u8]; 8] = [&[]; 8];
    let mut count = 0;
    for text in first.split(|&byte| byte == b',') {
        if let Some(slot) = columns.get_mut(count) {
            *slot = text;
        }
        count += 1;
    }
    let [zero, one, _, _, four, five, six, _] = columns;
    let numbered = time::number(zero).is_some() && Price::parse(one).is_ok();
    let stamp = |text: &[u8]| text.len() >= 13 && time::number(text).is_some();
    let stamped = stamped_json(first);
    if (capture(first) && holds(b"coinbase")) || (stamped && holds(b" {\"type\":\"")) {
        Some(Format::CoinbaseRaw)
    } else if capture(first) || stamped {
        Some(Format::BinanceRaw)
    } else if time::truefx(one).is_some() {
        Some(Format::TrueFx)
    } else if time::histdata(zero).is_some() {
        Some(Format::HistData)
    } else if first.starts_with(b"Gmt time") {
        Some(Format::DukascopyCsv)
    } else if numbered && matches!(count, 6 | 7) && stamp(four) && truth(five) {
        Some(Format::BinanceTrades)
    } else if numbered && matches!(count, 7 | 8) && stamp(five) && truth(six) {
        Some(Format::BinanceAggTrades)
    } else if zero.first().is_some_and(u8::is_ascii_alphabetic) && first.is_ascii() && count >= 3 {
        Some(Format::Csv)
    } else {
        None
    }
}

/// `<number> {` or `<number>: {`.
fn stamped_json(line: &[u8]) -> bool {
    let space = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let (stamp, json) = line.split_at(space);
    let stamp = stamp.strip_suffix(b":").unwrap_or(stamp);
    json.trim_ascii_start().starts_with(b"{") && time::epoch(stamp, time::magnitude(stamp)).is_some()
}

fn truth(text: &[u8]) -> bool {
    [&b"true"[..], b"false", b"True", b"False"].contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_known_by_its_first_line() {
        for (line, format) in [
            ("ts_ns,bid,ask", Some(Format::Csv)),
            ("exchange,symbol,timestamp,local_timestamp,id,side,price,amount", Some(Format::Csv)),
            ("EUR/USD,20160104 18:00:40.420,1.08196,1.082", Some(Format::TrueFx)),
            ("20200101 170000065,1.121200,1.121720,0", Some(Format::HistData)),
            ("Gmt time,Ask,Bid,AskVolume,BidVolume", Some(Format::DukascopyCsv)),
            ("28457,4261.48,0.1,426.1,1502942432285,True,True", Some(Format::BinanceTrades)),
            ("26129,4261.48,0.1,27781,27781,1502942432285,False,True", Some(Format::BinanceAggTrades)),
            ("1723161256207640365 {\"stream\":\"btcusdt@trade\"}", Some(Format::BinanceRaw)),
            ("wss://stream.binance.com:9443/stream", Some(Format::BinanceRaw)),
            ("wss://ws-feed.pro.coinbase.com <-> 1618677816.8", Some(Format::CoinbaseRaw)),
            ("1618677817.061845: {\"type\":\"subscriptions\"}", Some(Format::CoinbaseRaw)),
            // LEAN: milliseconds of a day that only the file's name tells; half bars; words.
            ("1787,1.38727,1.38729", None),
            ("0,1.38727,1.38729,1.38723,1.38724,0,1.38729,1.38730,1.38727,1.38727,0", None),
            ("20230601 000000;1.068700;1.068710;1.068530;1.068530;0", None),
            ("PAR1", None),
            ("{\"a\": 1}", None),
            ("", None),
        ] {
            assert_eq!(detect(line.as_bytes()), format, "{line}");
        }
    }
}
