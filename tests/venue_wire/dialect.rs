//! `pawl venue` from outside: what it answers, what it streams, and that its own books, its REST
//! answers and its user stream never tell different stories.

use crate::client::{ENGINE, FAST, GUARDIAN, Venue, now_millis, number, params};
use pawl::core::{Price, Span};
use pawl::venue::binance::sbe::{SbeMessage, decode};
use pawl::venue::server::{Care, LimitParams, Market, ServerParams};
use serde_json::{Value, json};
use tungstenite::Message;

fn limit(side: &str, tif: &str, quantity: &str, price: f64) -> Value {
    json!({"symbol": "BTCUSDT", "side": side, "type": "LIMIT", "timeInForce": tif, "quantity": quantity,
           "price": format!("{price:.2}")})
}

#[test]
fn the_documented_signature_passes_and_a_changed_one_does_not() {
    let mut params = params();
    params.accounts[0].keys[0].secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j".into();
    let venue = Venue::start(&params, 1.0);
    let query = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559";
    let code = |query: &str, body: &str, signature: &str| {
        let join = if body.is_empty() { "&" } else { "" };
        let (query, body) = if body.is_empty() {
            (format!("{query}{join}signature={signature}"), String::new())
        } else {
            (query.to_owned(), format!("{body}&signature={signature}"))
        };
        let (status, _, value) = venue.http("POST", &format!("/api/v3/order?{query}"), Some(ENGINE), &body);
        (status, value["code"].as_i64().unwrap())
    };
    let good = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71";
    // The signature holds, so what is wrong is the year: 2017.
    assert_eq!(code(query, "", good), (400, -1021));
    let (head, tail) = query.split_at("symbol=LTCBTC&side=BUY&type=LIMIT".len());
    assert_eq!(code(query, "", &good.to_uppercase()), (400, -1021));
    assert_eq!(code(&query.replace("price=0.1", "price=0.2"), "", good), (400, -1022));
    assert_eq!(code(query, "", &good.replace('c', "d")), (400, -1022));
    // Query directly followed by body is what is signed: the documents' mixed example.
    let mixed = "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77";
    assert_eq!(
        code(
            "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC",
            "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
            mixed
        ),
        (400, -1021)
    );
    assert!(!head.is_empty() && !tail.is_empty());
}

#[test]
fn a_session_trades_and_every_view_agrees() {
    let venue = Venue::start(&params(), 1.0);
    let mut socket = venue.websocket("/ws-api/v3");
    socket.log_on();
    let (bid, ask) = venue.touch();

    // An IOC that fills in part of its size at most: NEW, TRADE, then the balances.
    let placed = socket.ask("order.place", limit("BUY", "IOC", "0.001", ask * 1.01));
    assert_eq!(placed["result"]["status"], "FILLED", "{placed}");
    assert!(placed["rateLimits"].is_array());
    let events: Vec<Value> = (0..3).map(|_| socket.event()).collect();
    let names: Vec<_> = events.iter().map(|event| (event["e"].clone(), event["x"].clone())).collect();
    assert_eq!(names[0], (json!("executionReport"), json!("NEW")));
    assert_eq!(names[1], (json!("executionReport"), json!("TRADE")));
    assert_eq!(names[2].0, "outboundAccountPosition");
    assert_eq!((&events[1]["l"], &events[1]["X"]), (&json!("0.00100000"), &json!("FILLED")));
    assert_eq!(events[1]["i"], placed["result"]["orderId"]);
    assert!(events[0]["I"].as_u64() < events[1]["I"].as_u64());

    // Below the market: NEW, EXPIRED with its reason.
    let missed = socket.ask("order.place", limit("BUY", "IOC", "0.001", bid * 0.9));
    assert_eq!(
        (&missed["result"]["status"], &missed["result"]["executedQty"]),
        (&json!("EXPIRED"), &json!("0.00000000"))
    );
    let (first, second) = (socket.event(), socket.event());
    assert_eq!((first["x"].as_str(), second["x"].as_str()), (Some("NEW"), Some("EXPIRED")));
    assert_eq!(second["eR"], "UNFILLED_IOC_QUANTITY_EXPIRED");

    // Resting, asked about, made smaller, cancelled.
    let mut wish = limit("BUY", "GTC", "0.002", bid * 0.9);
    wish["newClientOrderId"] = json!("eng-1");
    let resting = socket.ask("order.place", wish.clone())["result"]["orderId"].clone();
    assert_eq!(socket.ask("order.place", wish)["error"]["msg"], "Duplicate order sent.");
    let by_name = socket.ask("order.status", json!({"symbol": "BTCUSDT", "origClientOrderId": "eng-1"}));
    assert_eq!(by_name["result"]["orderId"], resting);
    let amend = json!({"symbol": "BTCUSDT", "orderId": resting, "newQty": "0.001"});
    assert_eq!(socket.ask("order.amend.keepPriority", amend)["status"], 200);
    // Numbers may come as text, as two of the clients send them.
    let cancel = json!({"symbol": "BTCUSDT", "orderId": resting.to_string()});
    let cancelled = socket.ask("order.cancel", cancel.clone());
    assert_eq!(
        (&cancelled["result"]["status"], &cancelled["result"]["origClientOrderId"]),
        (&json!("CANCELED"), &json!("eng-1"))
    );
    assert_eq!(socket.ask("order.cancel", cancel)["error"]["code"], -2011);
    let unknown = socket.ask("order.status", json!({"symbol": "BTCUSDT", "orderId": 5}));
    assert_eq!((&unknown["status"], &unknown["error"]["code"]), (&json!(400), &json!(-2013)));

    let account = socket.ask("account.status", json!({}))["result"].clone();
    let truth = venue.truth();
    for (mine, real) in account["balances"].as_array().unwrap().iter().zip(truth["balances"].as_array().unwrap()) {
        assert_eq!((&mine["asset"], &mine["free"], &mine["locked"]), (&real["asset"], &real["free"], &real["locked"]));
    }
    assert_eq!(truth["positions"][0]["quantity"], "0.00100000");
    let trades = venue.signed(GUARDIAN, "GET", "/api/v3/myTrades", "symbol=BTCUSDT").1;
    assert_eq!(trades[0]["qty"], truth["fills"][0]["quantity"]);
    assert_eq!(trades.as_array().unwrap().len(), truth["fills"].as_array().unwrap().len());
}

#[test]
fn refusals_have_the_venues_code_and_text() {
    let venue = Venue::start(&params(), 1.0);
    let cases = [
        (
            "side=BUY&type=LIMIT&timeInForce=GTC&quantity=10&price=50000",
            -2010,
            "Account has insufficient balance for requested action.",
        ),
        ("side=SELL&type=MARKET&quantity=3", -2010, "Account has insufficient balance for requested action."),
        ("side=BUY&type=LIMIT_MAKER&quantity=0.001&price=60000", -2010, "Order would immediately match and take."),
        ("side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=50000.001", -1013, "Filter failure: PRICE_FILTER"),
        ("side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.0010001&price=50000", -1013, "Filter failure: LOT_SIZE"),
        ("side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.00001&price=50000", -1013, "Filter failure: NOTIONAL"),
        (
            "side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=9000",
            -1013,
            "Filter failure: PERCENT_PRICE_BY_SIDE",
        ),
        (
            "side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.123456789&price=50000",
            -1111,
            "Parameter 'quantity' has too much precision.",
        ),
        (
            "side=BUY&type=LIMIT&quantity=1&price=50000",
            -1102,
            "Mandatory parameter 'timeInForce' was not sent, was empty/null, or malformed.",
        ),
        ("side=BUY&type=LIMIT&timeInForce=GTD&quantity=1&price=50000", -1115, "Invalid timeInForce."),
        ("side=BUY&type=NONE&quantity=1", -1116, "Invalid orderType."),
        ("side=UP&type=MARKET&quantity=1", -1117, "Invalid side."),
        ("side=BUY&type=MARKET&quantity=1&price=2", -1106, "Parameter 'price' sent when not required."),
        ("side=BUY&type=MARKET", -1102, "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!"),
        (
            "side=BUY&type=MARKET&quantity=-1",
            -1100,
            "Illegal characters found in parameter 'quantity'; legal range is '^([0-9]{1,20})(\\.[0-9]{1,20})?$'.",
        ),
    ];
    for (parameters, code, text) in cases {
        let (status, value) = venue.order(parameters);
        assert_eq!((status, &value["code"], &value["msg"]), (400, &json!(code), &json!(text)), "{parameters}");
    }
    let code = |(status, value): (u16, Value)| (status, value["code"].as_i64().unwrap());
    assert_eq!(code(venue.signed("no-such-key", "GET", "/api/v3/account", "a=1")), (401, -2015));
    assert_eq!(code(venue.signed(ENGINE, "GET", "/api/v3/order", "symbol=BTCUSDT")), (400, -1102));
    assert_eq!(code(venue.signed(ENGINE, "DELETE", "/api/v3/openOrders", "symbol=BTCUSDT")), (400, -2011));
    assert_eq!(venue.get("/api/v3/depth?symbol=NONE")["code"], -1121);
    assert_eq!(venue.http("GET", "/api/v3/nothing", None, "").0, 404);
    assert!(venue.truth()["orders"].as_array().unwrap().is_empty(), "what was refused was never an order");
}

#[test]
fn binary_and_json_streams_tell_the_same_market() {
    let venue = Venue::start(&params(), 20.0);
    assert!(venue.websocket_with("/sbe/ws", Some(ENGINE)).is_err(), "binary streams want an Ed25519 key");
    let mut binary = venue.websocket_with("/sbe/ws", Some(FAST)).unwrap();
    let mut text = venue.websocket("/stream?timeUnit=MICROSECOND&streams=btcusdt@bookTicker/btcusdt@trade");
    let subscribe = json!({"method": "SUBSCRIBE", "params": ["btcusdt@bestBidAsk", "btcusdt@trade"], "id": 1});
    binary.send(&subscribe.to_string());
    assert_eq!(binary.json(), json!({"result": null, "id": 1}));
    let mut quotes = std::collections::BTreeMap::new();
    let mut trades = std::collections::BTreeMap::new();
    while quotes.len() < 20 || trades.len() < 5 {
        let message = text.json();
        let data = &message["data"];
        if message["stream"] == "btcusdt@trade" {
            trades.insert(data["t"].as_i64().unwrap(), data.clone());
        } else {
            quotes.insert(data["u"].as_i64().unwrap(), data.clone());
        }
    }
    let (mut same_quotes, mut same_trades) = (0, 0);
    while same_quotes < 5 || same_trades < 2 {
        let Some(Message::Binary(frame)) = binary.next() else { panic!("expected a binary frame") };
        match decode(&frame).unwrap() {
            SbeMessage::BestBidAsk(best) => {
                let Some(json) = quotes.get(&best.book_update_id) else { continue };
                assert_eq!(best.symbol, b"BTCUSDT");
                assert_eq!(
                    (json["b"].as_str(), json["A"].as_str()),
                    (Some(&*format!("{:.8}", best.quote.bid)), Some(&*format!("{:.8}", best.quote.ask_qty)))
                );
                same_quotes += 1;
            }
            SbeMessage::Trades(group) => {
                let entry = group.iter().next().unwrap();
                let Some(json) = trades.get(&entry.id) else { continue };
                assert_eq!(
                    (json["p"].as_str(), json["m"].as_bool()),
                    (Some(&*format!("{:.8}", entry.price)), Some(entry.buyer_is_maker))
                );
                assert_eq!(json["T"].as_i64(), Some(group.transact_time_us), "microseconds were asked for");
                same_trades += 1;
            }
            SbeMessage::Other(template) => panic!("template {template}"),
        }
    }
}

#[test]
fn control_messages_are_answered_as_documented() {
    let venue = Venue::start(&params(), 1.0);
    let mut socket = venue.websocket("/ws/0");
    let mut say = |text: &str| {
        socket.send(text);
        socket.json()
    };
    assert_eq!(
        say(r#"{"method":"SUBSCRIBE","params":["btcusdt@kline_1m"],"id":"a"}"#),
        json!({"result": null, "id": "a"})
    );
    assert_eq!(say(r#"{"method":"LIST_SUBSCRIPTIONS","id":3}"#), json!({"result": ["btcusdt@kline_1m"], "id": 3}));
    assert_eq!(say(r#"{"method":"GET_PROPERTY","params":["combined"],"id":4}"#), json!({"result": false, "id": 4}));
    assert_eq!(say("{no json")["code"], 3);
    let mut socket = venue.websocket("/ws");
    let mut say = |text: &str| {
        socket.send(text);
        socket.json()
    };
    assert_eq!(say(r#"{"method":"SET_PROPERTY","params":["combined",5],"id":4}"#)["code"], 1);
    assert_eq!(say(r#"{"method":"SET_PROPERTY","params":["other",true],"id":4}"#)["code"], 0);
    assert_eq!(say(r#"{"method":"DANCE","id":4}"#)["code"], 2);
    assert_eq!(venue.get("/api/v3/time?x=1")["serverTime"].as_u64().unwrap() / 600_000, now_millis() / 600_000);
    assert!(venue.websocket_with("/nowhere", None).is_err());
}

#[test]
fn a_client_that_floods_its_stream_with_messages_is_cut_off() {
    let venue = Venue::start(&params(), 1.0);
    let mut socket = venue.websocket("/ws");
    // All of one second's worth goes out before the first answer is read.
    let text: Vec<_> = (0..50).map(|id| json!({"method": "LIST_SUBSCRIPTIONS", "id": id}).to_string()).collect();
    for text in text {
        // The venue may hang up while we still talk.
        let _ = socket.inner.send(Message::Text(text.into()));
    }
    while socket.next().is_some() {}
    assert_eq!(venue.get("/admin/clients")["streams"], 0);
}

#[test]
fn a_key_that_is_cut_off_loses_its_session_and_the_other_key_works_on() {
    let venue = Venue::start(&params(), 1.0);
    let mut socket = venue.websocket("/ws-api/v3");
    socket.log_on();
    venue.admin("key", &json!({"key": FAST, "enabled": false}));
    venue.admin("key", &json!({"key": ENGINE, "enabled": false}));
    let refused = socket.ask("account.status", json!({}));
    assert_eq!((&refused["status"], &refused["error"]["code"]), (&json!(401), &json!(-2015)));
    assert_eq!(venue.order("side=BUY&type=MARKET&quantity=0.001").1["code"], -2015);
    let guardian =
        venue.signed(GUARDIAN, "POST", "/api/v3/order", "symbol=BTCUSDT&side=SELL&type=MARKET&quantity=0.001");
    assert_eq!(guardian.1["status"], "FILLED");
    venue.admin("key", &json!({"key": ENGINE, "enabled": true}));
    assert_eq!(venue.order("side=BUY&type=MARKET&quantity=0.001").0, 200);
}

#[test]
fn orders_from_elsewhere_deposits_and_jumps_are_seen_by_the_owner() {
    let venue = Venue::start(&params(), 1.0);
    let mut socket = venue.websocket("/ws-api/v3");
    socket.log_on();
    venue.admin("order", &json!({"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.5"}));
    let events: Vec<Value> = (0..2).map(|_| socket.event()).collect();
    assert_eq!((events[0]["x"].as_str(), events[1]["x"].as_str()), (Some("NEW"), Some("TRADE")));
    socket.event();
    venue.admin("balance", &json!({"asset": "USDT", "amount": "-1000"}));
    let events = [socket.event(), socket.event()];
    let deposit = events.iter().find(|event| event["e"] == "balanceUpdate").expect("a balanceUpdate");
    assert_eq!(deposit["d"], "-1000.00000000");
    let equity = || number(&venue.truth()["equity"]["USDT"]);
    let before = equity();
    venue.admin("price", &json!({"percent": -10}));
    // The loop takes the jump up before it serves the next request or the one after.
    let after = std::iter::repeat_with(equity).find(|now| *now < before * 0.97).unwrap();
    // 2.5 BTC at about 55,000 lose about 13,750.
    assert!((before - after - 13_750.0).abs() < 500.0, "{before} -> {after}");
    assert_eq!(venue.truth()["positions"][0]["quantity"], "0.50000000");
}

#[test]
fn limits_are_counted_announced_and_enforced() {
    let limits = LimitParams { weight: 60, orders_10s: 3, ..LimitParams::default() };
    let venue = Venue::start(&ServerParams { limits, ..params() }, 1.0);
    let resting = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=40000";
    let mut refused = None;
    // The window may turn while we count; it cannot turn at every order.
    for _ in 0..40 {
        let (status, head, value) = venue.signed_with_head(ENGINE, "POST", "/api/v3/order", resting);
        if status == 429 {
            refused = Some((head, value));
            break;
        }
        assert!(head.contains("x-mbx-order-count-10s: "), "{head}");
    }
    let (head, value) = refused.expect("the fourth order in ten seconds");
    assert!(value["code"] == -1015 || value["code"] == -1003, "{value}");
    assert!(head.contains("Retry-After: ") && head.contains("x-mbx-used-weight-1m: "), "{head}");
    let mut answers = (0..200).map(|_| venue.http("GET", "/api/v3/exchangeInfo", None, ""));
    let (_, _, value) = answers.find(|(status, ..)| *status == 429).expect("too much weight");
    assert!(value["msg"].as_str().unwrap().contains("60 request weight per 1 MINUTE"), "{value}");
}

#[test]
fn futures_go_short_reduce_and_are_cancelled_when_the_countdown_ends() {
    let params = ServerParams { market: Market::Futures, fees: (Price::ZERO, Price::whole(4)), ..params() };
    let venue = Venue::start(&params, 1.0);
    let ask = |method: &str, path: &str, parameters: &str| venue.signed(ENGINE, method, path, parameters);
    let key = venue.http("POST", "/fapi/v1/listenKey", Some(ENGINE), "").2["listenKey"].as_str().unwrap().to_owned();
    let mut events = venue.websocket(&format!("/private/ws?listenKey={key}"));
    let (status, reduce) =
        ask("POST", "/fapi/v1/order", "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01&reduceOnly=true");
    assert_eq!((status, &reduce["code"]), (400, &json!(-2022)), "nothing to reduce");
    let sold =
        ask("POST", "/fapi/v1/order", "symbol=BTCUSDT&side=SELL&type=MARKET&quantity=0.01&newOrderRespType=RESULT").1;
    assert_eq!((&sold["status"], &sold["executedQty"]), (&json!("FILLED"), &json!("0.01000000")));
    assert_eq!(ask("GET", "/fapi/v3/positionRisk", "symbol=BTCUSDT").1[0]["positionAmt"], "-0.01000000");
    let seen: Vec<Value> = (0..3).map(|_| events.json()).collect();
    assert_eq!((&seen[0]["e"], &seen[1]["o"]["x"]), (&json!("ORDER_TRADE_UPDATE"), &json!("TRADE")));
    assert_eq!((&seen[2]["e"], &seen[2]["a"]["P"][0]["pa"]), (&json!("ACCOUNT_UPDATE"), &json!("-0.01000000")));
    let account = ask("GET", "/fapi/v3/account", "a=1").1;
    let (wallet, margin) = (number(&account["totalWalletBalance"]), number(&account["totalMarginBalance"]));
    assert!((margin - wallet - number(&account["totalUnrealizedProfit"])).abs() < 1e-6, "{account}");
    assert_eq!(number(&venue.truth()["equity"]["USDT"]).floor(), margin.floor());

    let resting =
        ask("POST", "/fapi/v1/order", "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=40000").1;
    assert_eq!(resting["status"], "NEW");
    ask("POST", "/fapi/v1/countdownCancelAll", "symbol=BTCUSDT&countdownTime=1");
    let cancelled = std::iter::repeat_with(|| events.json()).find(|event| event["o"]["x"] == "CANCELED").unwrap();
    assert_eq!(cancelled["o"]["i"], resting["orderId"]);
    let closed = ask("POST", "/fapi/v1/order", "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=5&reduceOnly=true").1;
    assert_eq!(closed["executedQty"], "0.01000000", "cut to the position");
    assert_eq!(venue.truth()["positions"][0]["quantity"], "0.00000000");
}

#[test]
fn futures_tell_the_time_by_a_session_and_average_prices_with_many_digits() {
    let venue = Venue::start(&ServerParams { market: Market::Futures, ..params() }, 1.0);
    let mut socket = venue.websocket("/ws-fapi/v1");
    let refused = socket.ask("time", json!({}));
    assert_eq!((&refused["status"], &refused["result"]), (&json!(404), &Value::Null), "{refused}");
    let status = socket.ask("session.status", json!({}));
    assert_eq!((&status["status"], &status["result"]["apiKey"]), (&json!(200), &Value::Null), "{status}");
    let off = now_millis().abs_diff(status["result"]["serverTime"].as_u64().unwrap());
    assert!(off < 60_000, "{status}");
    // Three fills at different prices: their average has no end.
    for quantity in ["0.003", "0.001", "0.003"] {
        venue.signed(
            ENGINE,
            "POST",
            "/fapi/v1/order",
            &format!("symbol=BTCUSDT&side=BUY&type=MARKET&quantity={quantity}"),
        );
    }
    let rows = venue.signed(ENGINE, "GET", "/fapi/v3/positionRisk", "symbol=BTCUSDT").1;
    let (whole, digits) = rows[0]["entryPrice"].as_str().unwrap().split_once('.').unwrap();
    assert_eq!((whole.len(), digits.len()), (5, 13), "{rows}");
    let away = (number(&rows[0]["entryPrice"]) - number(&rows[0]["markPrice"])).abs();
    assert!(away < number(&rows[0]["markPrice"]) / 10.0, "{rows}");
    assert_eq!(rows[0]["positionSide"], "BOTH");
}

#[test]
fn futures_tell_what_moved_the_wallet() {
    let params = ServerParams { market: Market::Futures, fees: (Price::ZERO, Price::whole(4)), ..params() };
    let venue = Venue::start(&params, 1.0);
    let income = |parameters: &str| venue.signed(ENGINE, "GET", "/fapi/v1/income", parameters).1;
    assert_eq!(income("limit=10"), json!([]), "what an account begins with is no transfer");
    let moved = json!({"asset": "USDT", "amount": "-250.5"}).to_string();
    assert_eq!(venue.http("POST", "/admin/balance", None, &moved).0, 200);
    for side in ["BUY", "SELL"] {
        let order = format!("symbol=BTCUSDT&side={side}&type=MARKET&quantity=0.01");
        assert_eq!(venue.signed(ENGINE, "POST", "/fapi/v1/order", &order).0, 200);
    }
    let transfers = income("incomeType=TRANSFER&startTime=1");
    assert_eq!(transfers.as_array().unwrap().len(), 1, "{transfers}");
    assert_eq!((&transfers[0]["income"], &transfers[0]["asset"]), (&json!("-250.50000000"), &json!("USDT")));
    // Everything that moved the wallet is in the list, to the last unit.
    let all = income("limit=1000");
    let sum: f64 = all.as_array().unwrap().iter().map(|row| number(&row["income"])).sum();
    let wallet = number(&venue.signed(ENGINE, "GET", "/fapi/v3/account", "a=1").1["totalWalletBalance"]);
    assert!((wallet - 100_000.0 - sum).abs() < 1e-6, "{wallet} {all}");
    let after = all.as_array().unwrap().iter().map(|row| row["time"].as_u64().unwrap()).max().unwrap() + 1;
    assert_eq!(income(&format!("startTime={after}")), json!([]));
    assert_eq!(income("incomeType=NONSENSE")["code"], -1100);
}

#[test]
fn a_stop_is_announced_and_pings_are_sent() {
    let care = Care { ping: Span::millis(100), ..Care::default() };
    let mut venue = Venue::start(&ServerParams { care, ..params() }, 1.0);
    let mut streams = venue.websocket("/stream");
    let mut orders = venue.websocket("/ws-api/v3");
    let pinged = std::iter::repeat_with(|| streams.inner.read().unwrap()).find(Message::is_ping);
    assert!(pinged.is_some());
    venue.stop();
    assert_eq!(streams.json()["stream"], "!serverShutdown");
    assert_eq!(orders.json()["event"]["e"], "serverShutdown");
    assert!(streams.next().is_none() && orders.next().is_none());
}

#[test]
fn tls_is_served_with_a_certificate_that_can_be_trusted() {
    use base64::Engine as _;
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("venue.pem");
    let venue = Venue::start(&ServerParams { tls: Some(Some(pem.clone())), ..params() }, 1.0);
    let text = std::fs::read_to_string(&pem).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der.into()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let session = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut stream = rustls::StreamOwned::new(session, venue.connect());
    for _ in 0..2 {
        stream.write_all(b"GET /api/v3/exchangeInfo HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
        while !answer.ends_with(b"}]}") {
            let count = stream.read(&mut chunk).unwrap();
            assert!(count > 0, "hung up after {} bytes", answer.len());
            answer.extend_from_slice(&chunk[..count]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
    }
}
