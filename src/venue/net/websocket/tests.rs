//! The client against real sockets on this machine: plain and TLS, cut, refused and silent.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::*;
use crate::venue::net::{client_config, wall_clock};

fn params(url: &str, root: Option<&[u8]>) -> WebSocketParams {
    WebSocketParams {
        url: url.to_owned(),
        headers: vec![("X-MBX-APIKEY".into(), "K".into())],
        tls: client_config(root).unwrap(),
        connect_timeout: Span::seconds(20),
        largest_message: 1 << 16,
        clock: wall_clock,
        seed: 1,
    }
}

/// Polls until `done` says so; what was found, as text.
fn poll_until(client: &mut WebSocketClient, mut done: impl FnMut(&[String]) -> bool) -> Vec<String> {
    let (mut found, start) = (Vec::new(), Instant::now());
    while !done(&found) {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing came: {found:?}");
        client.poll(wall_clock(), &mut |incoming| {
            found.push(match incoming {
                Incoming::Up => "up".into(),
                Incoming::Text(text, at) => {
                    assert!(at > Nanos::NONE);
                    String::from_utf8(text.to_vec()).unwrap()
                }
                Incoming::Binary(bytes, _) => format!("{bytes:?}"),
                Incoming::Down { was_up, .. } => format!("down {was_up}"),
            });
        });
        std::thread::yield_now();
    }
    found
}

fn echo_server(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>) -> std::thread::JoinHandle<bool> {
    fn serve(stream: impl io::Read + io::Write) -> bool {
        let mut key_seen = false;
        #[expect(clippy::result_large_err, reason = "the library's own error type")]
        let check = |request: &tungstenite::handshake::server::Request, response| {
            key_seen = request.headers().get("x-mbx-apikey").is_some_and(|key| key == "K");
            Ok(response)
        };
        let mut socket = tungstenite::accept_hdr(stream, check).unwrap();
        socket.send(Message::Ping(Bytes::from_static(b"p"))).unwrap();
        let (mut ponged, mut heard) = (false, None);
        while let (false, _) | (_, None) = (ponged, &heard) {
            match socket.read().unwrap() {
                Message::Pong(payload) => ponged = payload.as_ref() == b"p",
                Message::Text(text) => heard = Some(text),
                _ => {}
            }
        }
        socket.send(Message::Text(heard.unwrap())).unwrap();
        socket.send(Message::Binary(Bytes::from_static(&[1, 2]))).unwrap();
        key_seen && ponged
    }
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        match tls {
            None => serve(stream),
            Some(config) => serve(rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), stream)),
        }
    })
}

fn talk(url: &str, root: Option<&[u8]>) -> Vec<String> {
    let mut client = WebSocketClient::new(params(url, root), None, Token(0)).unwrap();
    assert_eq!(client.send_text(b"too early"), Err(SendError::NotSent));
    poll_until(&mut client, |found| found.contains(&"up".to_owned()));
    assert!(client.is_open());
    assert!(matches!(client.send_text(b"hello"), Ok(Sent::Written(stamps)) if stamps.after >= stamps.before));
    poll_until(&mut client, |found| found.iter().any(|text| text.starts_with("down")))
}

#[test]
fn a_plain_connection_talks_answers_pings_and_tells_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let server = echo_server(listener, None);
    assert_eq!(talk(&url, None), ["hello", "[1, 2]", "down true"]);
    assert!(server.join().unwrap());
}

#[test]
fn a_tls_connection_is_verified_against_its_root() {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (pem, der) = (certified.cert.pem(), certified.cert.der().clone());
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("localhost:0").unwrap();
    let url = format!("wss://localhost:{}/ws", listener.local_addr().unwrap().port());
    let server = echo_server(listener, Some(Arc::clone(&config)));
    assert_eq!(talk(&url, Some(pem.as_bytes())), ["hello", "[1, 2]", "down true"]);
    assert!(server.join().unwrap());

    let listener = TcpListener::bind("localhost:0").unwrap();
    let url = format!("wss://localhost:{}/ws", listener.local_addr().unwrap().port());
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut tls = rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), stream);
        io::Read::read(&mut tls, &mut [0; 16]).is_err()
    });
    let mut client = WebSocketClient::new(params(&url, None), None, Token(0)).unwrap();
    let found = poll_until(&mut client, |found| !found.is_empty());
    assert_eq!(found, ["down false"], "a certificate that no public root signed");
    drop(client);
    assert!(server.join().unwrap());
}

#[test]
fn a_lost_connection_is_made_again_and_a_silent_one_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        // The first is cut, the second never answers the upgrade, the third is served.
        drop(tungstenite::accept(listener.accept().unwrap().0).unwrap());
        let silent = listener.accept().unwrap();
        let mut third = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        third.send(Message::text("third")).unwrap();
        drop(silent);
    });
    let mut params = params(&url, None);
    params.connect_timeout = Span::millis(500);
    let mut client = WebSocketClient::new(params, None, Token(0)).unwrap();
    let found = poll_until(&mut client, |found| found.contains(&"third".to_owned()));
    assert_eq!(found[..5], ["up", "down true", "down false", "up", "third"]);
    server.join().unwrap();
}

#[test]
fn a_message_larger_than_the_bound_ends_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        // Claims 2^40 bytes: the client must not make room for them.
        io::Write::write_all(socket.get_mut(), &[0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0]).unwrap();
        while socket.read().is_ok() {}
    });
    let mut client = WebSocketClient::new(params(&url, None), None, Token(0)).unwrap();
    let found = poll_until(&mut client, |found| found.len() == 2);
    assert_eq!(found, ["up", "down true"]);
    drop(client);
    server.join().unwrap();
}

#[test]
fn a_frame_may_be_split_at_every_byte() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        socket.get_mut().set_nodelay(true).unwrap();
        let text = b"{\"u\":1}";
        let mut frame = vec![0x81, text.len() as u8];
        frame.extend_from_slice(text);
        // One frame in two parts, cut at each place; then one byte at a time.
        for cut in 1..frame.len() {
            for part in [&frame[..cut], &frame[cut..]] {
                io::Write::write_all(socket.get_mut(), part).unwrap();
                std::thread::yield_now();
            }
        }
        for byte in &frame {
            io::Write::write_all(socket.get_mut(), std::slice::from_ref(byte)).unwrap();
            std::thread::yield_now();
        }
        (frame.len(), socket)
    });
    let mut client = WebSocketClient::new(params(&url, None), None, Token(0)).unwrap();
    let found = poll_until(&mut client, |found| found.len() == 10);
    let (frames, socket) = server.join().unwrap();
    assert_eq!(frames, 9);
    assert!(found[0] == "up" && found[1..].iter().all(|text| text == "{\"u\":1}"), "{found:?}");
    drop(socket);
}

#[test]
fn a_registered_socket_wakes_its_poll() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let server = echo_server(listener, None);
    let mut poll = mio::Poll::new().unwrap();
    let mut client = WebSocketClient::new(params(&url, None), Some(poll.registry()), Token(7)).unwrap();
    let (mut events, mut texts, mut more) = (mio::Events::with_capacity(8), 0, true);
    while texts == 0 {
        // Only readiness drives it: a missed edge would stop it here for good.
        if !more {
            poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
            assert!(events.iter().any(|event| event.token() == Token(7)), "no readiness");
        }
        let mut up = false;
        more = client.poll(wall_clock(), &mut |incoming| match incoming {
            Incoming::Up => up = true,
            Incoming::Text(..) => texts += 1,
            _ => {}
        });
        if up {
            client.send_text(b"hello").unwrap();
        }
    }
    assert!(server.join().unwrap());
}

#[test]
fn addresses_that_are_none_are_refused() {
    for url in ["http://x/", "wss://", "x", "ws:///path"] {
        assert!(WebSocketClient::new(params(url, None), None, Token(0)).is_err(), "{url}");
    }
}

#[test]
fn a_refusal_that_says_when_to_come_back_is_believed() {
    for (head, least, most) in [
        ("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3600\r\n", 3600, 3600),
        ("HTTP/1.1 418 I'm a teapot\r\nretry-after: 99999999999\r\n", 3 * 86_400, 3 * 86_400),
        ("HTTP/1.1 429 Too Many Requests\r\nRetry-After: soon\r\n", 0, 30),
        ("HTTP/1.1 503 Service Unavailable\r\n", 0, 30),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/ws", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut asked, mut byte) = (Vec::new(), [0]);
            while !asked.ends_with(b"\r\n\r\n") {
                io::Read::read_exact(&mut stream, &mut byte).unwrap();
                asked.push(byte[0]);
            }
            io::Write::write_all(&mut stream, format!("{head}Content-Length: 0\r\n\r\n").as_bytes()).unwrap();
            stream
        });
        let mut client = WebSocketClient::new(params(&url, None), None, Token(0)).unwrap();
        let before = wall_clock();
        assert_eq!(poll_until(&mut client, |found| !found.is_empty()), ["down false"]);
        let wait = client.next_due().since(wall_clock()).0.div_ceil(1_000_000_000);
        let elapsed = wall_clock().since(before).0.div_ceil(1_000_000_000);
        assert!(wait + elapsed >= least && wait <= most, "{head}: {wait} s");
        drop(server.join().unwrap());
    }
}

#[test]
fn a_ping_is_answered_by_whoever_lives() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        while !socket.read().unwrap().is_ping() {}
        socket.flush().unwrap();
        socket.send(Message::text("pinged")).unwrap();
        socket
    });
    let mut client = WebSocketClient::new(params(&url, None), None, Token(0)).unwrap();
    assert_eq!(client.ping(), Err(SendError::NotSent));
    poll_until(&mut client, |found| found.contains(&"up".to_owned()));
    assert_eq!(client.last_pong(), Nanos::NONE);
    let Ok(Sent::Written(stamps)) = client.ping() else { panic!("a small frame fits") };
    assert_eq!(poll_until(&mut client, |found| !found.is_empty()), ["pinged"], "a pong is no message");
    assert!(client.last_pong() >= stamps.before);
    drop(server.join().unwrap());
}
