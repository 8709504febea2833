//! The HTTP client against a stand-in server that checks what it is sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::super::sign::{Secret, Signer, percent_decode};
use super::*;
use crate::core::{Money, Qty, Side};

/// Answers one request after the other on one connection; hands back what was asked.
pub(crate) fn stand_in(answers: Vec<(u16, &'static str, String)>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut asked = Vec::new();
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        for (status, headers, body) in answers {
            let (mut request, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
                request.push_str(&line);
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            asked.push(request);
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len());
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
        }
        asked
    });
    (base, server)
}

pub(crate) fn rest(base: &str, market: Market) -> Rest {
    let params = RestParams {
        base: base.to_owned(),
        timeout: Span::seconds(20),
        receive_window: Span::millis(2000),
        root_certificate: None,
        clock: || Nanos(1_700_000_000_000_000_000),
    };
    let signer = Signer::from_secret(&Secret::new(b"secret")).unwrap();
    Rest::new(&params, market, Some(Credentials { api_key: Secret::new(b"KEY1"), signer })).unwrap()
}

fn order(status: &str) -> String {
    format!(
        r#"{{"symbol":"BTCUSDT","orderId":28,"orderListId":-1,"clientOrderId":"x-1","transactTime":1,"price":"60000.00000000","origQty":"0.00500000","executedQty":"0.00100000","status":"{status}","timeInForce":"IOC","type":"LIMIT","side":"SELL","new":1}}"#
    )
}

#[test]
fn income_is_read_as_the_venue_writes_it_and_spot_has_none() {
    let list = r#"[{"symbol":"","incomeType":"TRANSFER","income":"-0.37500000","asset":"USDT","info":"TRANSFER","time":1570608000000,"tranId":9689322392,"tradeId":""},
        {"symbol":"BTCUSDT","incomeType":"COMMISSION","income":"-0.01000000","asset":"USDT","info":"COMMISSION","time":1570636800000,"tranId":"9689322393","tradeId":"2059192"}]"#;
    let (base, server) = stand_in(vec![(200, "", list.into())]);
    let found = rest(&base, Market::UsdMFutures).income(Nanos(1_570_608_000_000_999_999), 1000).unwrap();
    let rows: Vec<_> = found.iter().map(|row| (row.income_type.as_str(), row.income, row.tran_id.as_str())).collect();
    let money = |text: &str| text.parse::<Money>().unwrap();
    assert_eq!(rows, [("TRANSFER", money("-0.375"), "9689322392"), ("COMMISSION", money("-0.01"), "9689322393")]);
    let asked = server.join().unwrap();
    assert!(asked[0].starts_with("GET /fapi/v1/income?startTime=1570608000000&limit=1000&"), "{}", asked[0]);
    assert!(rest(&base, Market::Spot).income(Nanos(1), 1).is_err());
}

#[test]
fn calls_are_signed_and_kept_on_one_connection() {
    let (base, server) = stand_in(vec![
        (200, "", r#"{"serverTime":1700000000250}"#.into()),
        (200, "X-MBX-USED-WEIGHT-1M: 21\r\n", r#"{"canTrade":true,"balances":[{"asset":"BTC","free":"1.5","locked":"0.5"},{"asset":"SHIB","free":"999999999999.0","locked":"0"}]}"#.into()),
        (200, "", order("EXPIRED")),
        (200, "", format!("[{}]", order("NEW"))),
        (400, "", r#"{"code":-2011,"msg":"Unknown order sent."}"#.into()),
        (400, "", r#"{"code":-2013,"msg":"Order does not exist."}"#.into()),
    ]);
    let mut rest = rest(&base, Market::Spot);
    assert_eq!(rest.sync_clock(1).unwrap(), 250_000_000);
    let account = rest.account().unwrap();
    assert_eq!((account.balances[0].free, account.unreadable), ("1.5".parse().unwrap(), vec!["SHIB".to_owned()]));
    assert_eq!(rest.used_weight(), Some(21));
    let new = NewOrder {
        symbol: "BTCUSDT",
        side: Side::Sell,
        price: Some(Price::whole(60_000)),
        qty: "0.005".parse().unwrap(),
        immediate: true,
        client_id: "x-1",
        reduce_only: true,
    };
    let state = rest.place(&new).unwrap();
    assert_eq!(
        (state.status, state.executed_qty, state.side),
        (OrderStatus::Expired, "0.001".parse().unwrap(), Side::Sell)
    );
    assert_eq!(rest.open_orders(Some("BTCUSDT")).unwrap().len(), 1);
    rest.cancel_all("BTCUSDT").unwrap();
    assert_eq!(rest.order("BTCUSDT", "x-9").unwrap(), None);
    let asked = server.join().unwrap();
    let line = asked[2].lines().next().unwrap();
    assert_eq!(&line[..19], "POST /api/v3/order?");
    let query = line[19..].split(' ').next().unwrap();
    let (payload, signature) = query.split_once("&signature=").unwrap();
    assert!(payload.ends_with("recvWindow=2000&timestamp=1700000000250"), "{payload}");
    assert!(payload.contains("timeInForce=IOC&price=60000") && !payload.contains("reduceOnly"), "{payload}");
    let verifier = Signer::from_secret(&Secret::new(b"secret")).unwrap().verifier();
    assert!(verifier.verify(payload.as_bytes(), &percent_decode(signature.as_bytes()).unwrap()));
    assert!(asked[1].to_ascii_lowercase().contains("x-mbx-apikey: key1"));
    assert!(!asked[0].to_ascii_lowercase().contains("x-mbx-apikey"), "a public call needs no key");
}

#[test]
fn an_answer_is_a_value_a_refusal_or_unknown() {
    let (base, server) = stand_in(vec![
        (400, "", r#"{"code":-2010,"msg":"Account has insufficient balance for requested action."}"#.into()),
        (504, "", r#"{"code":-1007,"msg":"Timeout"}"#.into()),
        (502, "", "<html>bad gateway</html>".into()),
        (429, "Retry-After: 7\r\n", r#"{"code":-1003,"msg":"Too many"}"#.into()),
        (200, "", "{".into()),
    ]);
    let mut rest = rest(&base, Market::Spot);
    let mut ask = || rest.order("BTCUSDT", "x-1").unwrap_err();
    let refused = ask();
    assert_eq!((refused.outcome_unknown(), refused.code()), (false, Some(-2010)));
    assert!(ask().outcome_unknown());
    assert!(ask().outcome_unknown());
    let limited = ask();
    assert!(matches!(limited, RestError::Limited { retry_after, .. } if retry_after == Span::seconds(7)), "{limited}");
    assert!(ask().outcome_unknown());
    server.join().unwrap();
    // The server is gone: a fresh connection is refused, so nothing was sent.
    let error = rest.order("BTCUSDT", "x-1").unwrap_err();
    assert!(matches!(error, RestError::NoAnswer { .. }), "{error}");
}

#[test]
fn futures_show_equity_and_positions() {
    let (base, server) = stand_in(vec![
        (200, "", r#"{"totalMarginBalance":"1000.5","totalWalletBalance":"990","availableBalance":"800","totalUnrealizedProfit":"10.5","assets":[{"asset":"USDT","walletBalance":"990","marginBalance":"1000.5","availableBalance":"800"}]}"#.into()),
        (200, "", r#"[{"symbol":"BTCUSDT","positionSide":"BOTH","positionAmt":"-0.010","entryPrice":"60000.5","markPrice":"60001.00000000","unRealizedProfit":"-0.005"},{"symbol":"ETHUSDT","positionAmt":"0.000","entryPrice":"0.0"}]"#.into()),
        (200, "", r#"{"symbol":"BTCUSDT","countdownTime":"120000"}"#.into()),
    ]);
    let mut rest = rest(&base, Market::UsdMFutures);
    assert_eq!(rest.account().unwrap().equity, Some("1000.5".parse::<Money>().unwrap()));
    let positions = rest.positions().unwrap();
    assert_eq!((positions.len(), positions[0].signed_qty), (1, "-0.01".parse::<Qty>().unwrap()));
    rest.countdown_cancel_all("BTCUSDT", Span::seconds(120)).unwrap();
    let asked = server.join().unwrap();
    assert!(
        asked[2].starts_with("POST /fapi/v1/countdownCancelAll?symbol=BTCUSDT&countdownTime=120000&"),
        "{}",
        asked[2]
    );
}

#[test]
fn exchange_information_becomes_instruments() {
    let body = r#"{"timezone":"UTC","serverTime":1,"rateLimits":[
        {"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":6000},
        {"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":100},
        {"rateLimitType":"ORDERS","interval":"DAY","intervalNum":1,"limit":200000}],
        "exchangeFilters":[],"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[
        {"filterType":"PRICE_FILTER","minPrice":"0.01000000","maxPrice":"1000000.00000000","tickSize":"0.01000000"},
        {"filterType":"LOT_SIZE","minQty":"0.00001000","maxQty":"9000.00000000","stepSize":"0.00001000"},
        {"filterType":"NOTIONAL","minNotional":"5.00000000","applyMinToMarket":true}]}]}"#;
    let (base, server) = stand_in(vec![(200, "", body.into()), (200, "", body.into())]);
    let mut rest = rest(&base, Market::Spot);
    let rules = rest.exchange_info(&["BTCUSDT"]).unwrap();
    assert_eq!((rules.weight_per_minute, rules.orders_per_10s, rules.orders_per_day), (6000, 100, 200_000));
    let instrument = crate::core::Instrument::new(rules.symbols[0].spec()).unwrap();
    assert_eq!(instrument.price_decimals(), 2);
    assert_eq!(instrument.notional(Price::whole(60_000), Qty::whole(2)), Some(Money::whole(120_000)));
    assert_eq!((rules.symbols[0].min_notional, rules.symbols[0].trading), (Money::whole(5), true));
    let error = rest.exchange_info(&["XXX"]).unwrap_err();
    assert!(error.to_string().contains("no symbol XXX"), "{error}");
    let asked = server.join().unwrap();
    assert!(asked[0].starts_with("GET /api/v3/exchangeInfo?symbols=%5B%22BTCUSDT%22%5D "), "{}", asked[0]);
}

#[test]
fn the_margin_of_futures_is_that_of_the_quote_asset() {
    let row = |asset: &str, wallet: &str| {
        format!(r#"{{"asset":"{asset}","walletBalance":"{wallet}","marginBalance":"7.5","availableBalance":"6"}}"#)
    };
    let account = |assets: &[String]| {
        let (head, rows) =
            (r#""totalMarginBalance":"60","totalWalletBalance":"50","availableBalance":"40""#, assets.join(","));
        format!(r#"{{{head},"assets":[{rows}]}}"#)
    };
    let (base, server) = stand_in(vec![
        (200, "", account(&[row("USDT", "1"), row("USDC", "7"), row("SHIB", "999999999999")])),
        (200, "", account(&[row("USDC", "7")])),
        (200, "", r#"{"assets":[]}"#.into()),
    ]);
    let mut rest = rest(&base, Market::UsdMFutures);
    let wallet = |account: &AccountState, asset: &str| account.margin_in(asset).map(|margin| margin.wallet);
    let both = rest.account().unwrap();
    let of = |wallet| Some(Money::whole(wallet));
    assert_eq!((wallet(&both, "USDT"), wallet(&both, "USDC"), wallet(&both, "FDUSD")), (of(1), of(7), None));
    let usdc = both.margin_in("USDC").unwrap();
    assert_eq!((usdc.equity, usdc.available), ("7.5".parse().unwrap(), Money::whole(6)));
    // What cannot be read is not there, and hides nothing else.
    assert_eq!((wallet(&both, "SHIB"), &both.unreadable[..]), (None, &["SHIB".to_owned()][..]));
    let totals = rest.account().unwrap();
    assert_eq!((wallet(&totals, "USDT"), wallet(&totals, "FDUSD")), (of(50), None), "the totals are of USDT");
    assert_eq!(rest.account().unwrap().margin_in("USDT"), None);
    server.join().unwrap();
}

#[test]
fn an_odd_position_hides_no_other() {
    let rows = r#"[{"symbol":"BTCUSDT","positionSide":"BOTH","positionAmt":"0.5","entryPrice":"60000.1066545918361","markPrice":"60001.123456789","unRealizedProfit":"0.123456789"},
        {"symbol":"LUNAUSDT","positionSide":"BOTH","positionAmt":"1","entryPrice":"2.771E-4"},
        {"symbol":"XUSDT","positionSide":"BOTH","positionAmt":"999999999999","entryPrice":"-"},
        {"symbol":"YUSDT","positionSide":"BOTH","positionAmt":"0E-8","entryPrice":"0.0"}]"#;
    let (base, server) = stand_in(vec![(200, "", rows.into())]);
    let found = rest(&base, Market::UsdMFutures).positions().unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|position| (&*position.symbol, position.signed_qty.to_string(), position.unreadable, position.entry_price))
        .collect();
    let price = |text: &str| text.parse::<Price>().unwrap();
    assert_eq!(
        told,
        [
            ("BTCUSDT", "0.5".to_owned(), false, price("60000.10665459")),
            ("LUNAUSDT", "1".to_owned(), false, price("0.0002771")),
            ("XUSDT", "0".to_owned(), true, Price::ZERO)
        ]
    );
    server.join().unwrap();
}

#[test]
fn hedge_mode_is_noticed_and_its_positions_are_never_one() {
    let rows = r#"[{"symbol":"BTCUSDT","positionSide":"LONG","positionAmt":"0.5","entryPrice":"1"},{"symbol":"BTCUSDT","positionSide":"SHORT","positionAmt":"0","entryPrice":"0"}]"#;
    let (base, server) = stand_in(vec![
        (200, "", r#"{"dualSidePosition":true}"#.into()),
        (200, "", r#"{"dualSidePosition":false}"#.into()),
        (200, "", rows.into()),
    ]);
    let mut futures = rest(&base, Market::UsdMFutures);
    assert!(futures.is_in_hedge_mode().unwrap());
    assert!(!futures.is_in_hedge_mode().unwrap());
    let error = futures.positions().unwrap_err().to_string();
    assert!(error.contains("one-way mode") && error.contains("dualSidePosition=false"), "{error}");
    assert!(!rest(&base, Market::Spot).is_in_hedge_mode().unwrap(), "spot is not asked");
    let asked = server.join().unwrap();
    assert!(asked[0].starts_with("GET /fapi/v1/positionSide/dual?recvWindow="), "{}", asked[0]);
}

#[test]
fn a_clock_is_not_asked_for_again_in_a_silence() {
    let (base, server) = stand_in(vec![(429, "Retry-After: 7\r\n", "{}".into())]);
    let error = rest(&base, Market::Spot).sync_clock(3).unwrap_err();
    assert!(matches!(error, RestError::Limited { retry_after, .. } if retry_after == Span::seconds(7)), "{error}");
    assert_eq!(server.join().unwrap().len(), 1);
}
