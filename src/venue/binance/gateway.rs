//! Order entry over real sockets: [`OrderProtocol`] and the connections it needs, polled by one thread
//! together with everything else.
//!
//! Setup: [`OrderGateway::new`], with the loop's `mio` registry or none. Then [`OrderEntry::poll`]
//! whenever a socket is ready, at [`OrderEntry::next_due`], or all the time; and
//! [`OrderEntry::command`] for each command of the engine. The first event is always a [`Link`] that
//! says down: nothing is trusted before the first reconciliation.
//!
//! A connection that the venue is about to close, or that nears the venue's 24 hours, is replaced: the
//! new one is connected and upgraded first, and takes over while no order is in flight. Logging on
//! again then takes a few round trips, told as down and up.

use std::sync::Arc;

use mio::{Registry, Token};
use rustls::ClientConfig;

use super::aside::Aside;
use super::endpoints::{Endpoints, Market};
use super::orders::{OrderCounters, OrderParams, OrderProtocol, Trouble};
use super::rest::{Credentials, Rest, RestError, RestParams};
use super::symbols::SymbolTable;
use crate::core::payload::{Link, LinkChannel, LinkState};
use crate::core::{Event, EventKind, InstrumentId, Nanos, Payload, Price, Span};
use crate::venue::net::{Incoming, SendError, TlsError, UrlError, WebSocketClient, WebSocketParams, client_config};
use crate::venue::{Delivery, OrderEntry};

/// Largest message: an answer with all open orders of a busy account.
const LARGEST_MESSAGE: usize = 4 << 20;
const CONNECT_TIMEOUT: Span = Span::seconds(10);
/// The venue closes a connection after 24 hours.
const LIFE: Span = Span::seconds(23 * 3600 + 1800);
/// A replacement waits no longer than this for orders in flight.
const LONGEST_WAIT: Span = Span::seconds(20);

/// Between two looks for an answer over HTTP.
const LOOK: Span = Span::millis(5);

/// Where and how to trade.
#[derive(Clone)]
pub struct GatewayParams {
    /// The venue's addresses.
    pub endpoints: Endpoints,
    /// Orders, limits, fees.
    pub orders: OrderParams,
    /// A root certificate in PEM to trust instead of the public ones.
    pub root_certificate: Option<Vec<u8>>,
    /// Wall clock, UTC: stamps frames and writes.
    pub clock: fn() -> Nanos,
    /// Of the waits between attempts to connect.
    pub seed: u64,
}

/// Why a connection cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The HTTP client of futures.
    #[error("{0}")]
    Http(String),
    /// An API key that cannot be a header.
    #[error("expected an API key of printable ASCII, found something else; check the key")]
    Key,
}

/// Trades on one account.
pub struct OrderGateway {
    protocol: OrderProtocol,
    client: WebSocketClient,
    standby: Option<Standby>,
    /// Futures: the account's own events.
    private: Option<WebSocketClient>,
    /// Futures: what only HTTP answers.
    aside: Option<Aside>,
    params: GatewayParams,
    tls: Arc<ClientConfig>,
    registry: Option<(Registry, Token)>,
    told: bool,
    /// The next look for an answer over HTTP.
    next_look: Nanos,
    opened: Nanos,
    last_failure: Option<String>,
}

struct Standby {
    client: WebSocketClient,
    since: Nanos,
}

impl OrderGateway {
    /// A gateway that will connect at its first poll. With a registry, its sockets are registered
    /// there under the token.
    ///
    /// # Errors
    /// An address or certificate that cannot be used.
    pub fn new(
        params: GatewayParams,
        credentials: Credentials,
        symbols: SymbolTable,
        registry: Option<(&Registry, Token)>,
    ) -> Result<Self, SetupError> {
        let tls = client_config(params.root_certificate.as_deref())?;
        let aside = aside(&params, &credentials)?;
        let protocol = OrderProtocol::new(params.orders.clone(), symbols, credentials, (params.clock)());
        let client = connect(&params, &tls, &api_url(&params), registry)?;
        let registry = match registry {
            Some((registry, token)) => Some((registry.try_clone().map_err(|_| SetupError::Key)?, token)),
            None => None,
        };
        Ok(Self {
            protocol,
            client,
            standby: None,
            private: None,
            aside,
            params,
            tls,
            registry,
            told: false,
            next_look: Nanos::MAX,
            opened: Nanos::NONE,
            last_failure: None,
        })
    }

    /// True while orders can be sent.
    pub fn is_ready(&self) -> bool {
        self.protocol.is_ready()
    }

    /// Venue time minus ours in nanoseconds, and the round trip it was measured by.
    pub fn clock_offset(&self) -> (i64, Option<Span>) {
        (self.protocol.clock().offset(), self.protocol.clock().round_trip())
    }

    /// What was seen so far.
    pub fn counters(&self) -> OrderCounters {
        self.protocol.counters()
    }

    /// The last thing that only a person can mend.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.protocol.trouble()
    }

    /// Encodes a made-up order and throws the bytes away, see [`OrderProtocol::rehearse`].
    pub fn rehearse(&mut self, order: &Event, now: Nanos) {
        self.protocol.rehearse(order, now);
    }

    /// Why the last connection was lost or could not be made.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// Tells what one unit of an asset (BNB) is worth in the account's currency, for fees in it.
    pub fn set_mark(&mut self, asset: &str, price: Price) {
        self.protocol.set_mark(asset, price);
    }

    /// Closes the connections for good.
    pub fn close(&mut self) {
        self.client.close();
        if let Some(private) = &mut self.private {
            private.close();
        }
        self.standby = None;
    }

    /// Reads what has come, sends what waits. True when more is there to be done at once.
    fn poll_all(&mut self, now: Nanos, emit: &mut impl FnMut(Event)) -> bool {
        if !std::mem::replace(&mut self.told, true) {
            let link = Link { channel: Some(LinkChannel::Orders), state: Some(LinkState::Down), connections: 0 };
            emit(link.event(EventKind::Link, InstrumentId(0), Nanos::NONE, now));
        }
        let (protocol, failure, opened) = (&mut self.protocol, &mut self.last_failure, &mut self.opened);
        let mut more = self.client.poll(now, &mut |incoming| match incoming {
            Incoming::Up => {
                *opened = now;
                protocol.on_open(now);
            }
            Incoming::Text(frame, at) => protocol.on_text(frame, at, emit),
            Incoming::Binary(..) => {}
            Incoming::Down { reason, .. } => {
                *failure = Some(reason.to_owned());
                protocol.on_close(now, emit);
            }
        });
        more |= self.poll_private(now, emit);
        self.protocol.on_time(now);
        if self.protocol.take_restart() {
            self.client.restart("no answer, or the session ended");
            more = true;
        }
        more |= self.replace(now, emit);
        self.send_waiting(now);
        self.poll_aside(now, emit);
        more
    }

    fn send_waiting(&mut self, now: Nanos) {
        while self.client.is_open() {
            let Some(request) = self.protocol.next_request(now) else { return };
            if self.client.send_text(request).is_err() {
                return;
            }
        }
    }

    /// What futures answer over HTTP only.
    fn poll_aside(&mut self, now: Nanos, emit: &mut impl FnMut(Event)) {
        let Some(aside) = &mut self.aside else { return };
        while let Some(question) = self.protocol.next_http_question() {
            aside.ask(question);
        }
        while let Some((question, answer)) = aside.answer() {
            self.protocol.on_http(&question, &answer, now, emit);
        }
        self.next_look = if aside.is_waiting() { now.plus(LOOK) } else { Nanos::MAX };
    }

    /// Opens a replacement when the connection will end, and lets it take over.
    fn replace(&mut self, now: Nanos, emit: &mut impl FnMut(Event)) -> bool {
        let old = self.client.is_open() && now.since(self.opened) >= LIFE;
        if (self.protocol.take_replace() || old) && self.standby.is_none() {
            let registry = self.registry.as_ref().map(|(registry, token)| (registry, *token));
            // The same address was good before.
            self.standby = connect(&self.params, &self.tls, &api_url(&self.params), registry)
                .ok()
                .map(|client| Standby { client, since: now });
        }
        let Some(standby) = &mut self.standby else { return false };
        // Before its logon the venue has nothing to say.
        standby.client.poll(now, &mut |_| {});
        let quiet = !self.protocol.has_orders_in_flight() || now.since(standby.since) >= LONGEST_WAIT;
        if !standby.client.is_open() || !quiet {
            return false;
        }
        if let Some(mut standby) = self.standby.take() {
            std::mem::swap(&mut self.client, &mut standby.client);
            standby.client.close();
            self.protocol.on_close(now, emit);
            self.protocol.on_open(now);
            self.opened = now;
        }
        true
    }

    fn poll_private(&mut self, now: Nanos, emit: &mut impl FnMut(Event)) -> bool {
        if let Some(key) = self.protocol.take_listen_key() {
            let url = self.params.endpoints.account_events(&key);
            let registry = self.registry.as_ref().map(|(registry, token)| (registry, *token));
            self.private = connect(&self.params, &self.tls, &url, registry).ok();
        }
        let (protocol, mut lost) = (&mut self.protocol, false);
        let Some(private) = &mut self.private else { return false };
        let more = private.poll(now, &mut |incoming| match incoming {
            Incoming::Up => protocol.on_private_open(now, emit),
            Incoming::Text(frame, at) => protocol.on_text(frame, at, emit),
            Incoming::Binary(..) => {}
            Incoming::Down { .. } => lost = true,
        });
        if lost {
            // Without the account's events nothing is known for sure: both are made anew, not before the venue wants
            // to hear of us again.
            self.protocol.silence(private.next_due());
            self.private = None;
            self.client.restart("the private stream was lost");
        }
        more
    }
}

impl OrderEntry for OrderGateway {
    fn poll(&mut self, now: Nanos, emit: &mut impl FnMut(Event)) -> bool {
        self.poll_all(now, emit)
    }

    #[inline]
    fn command(&mut self, command: &Event, now: Nanos, emit: &mut impl FnMut(Event)) -> Delivery {
        if command.kind != EventKind::Submit {
            self.protocol.command(command);
            self.send_waiting(now);
            return Delivery::Noted;
        }
        match self.protocol.submit(command, now) {
            Ok(bytes) => match self.client.send_text(bytes) {
                Ok(sent) => Delivery::Sent(sent),
                Err(SendError::Broken) => Delivery::Unknown,
                Err(SendError::NotSent) => {
                    emit(self.protocol.not_sent(command, now));
                    Delivery::Refused
                }
            },
            Err(rejected) => {
                emit(rejected);
                Delivery::Refused
            }
        }
    }

    fn next_due(&self) -> Nanos {
        let standby = self
            .standby
            .as_ref()
            .map_or(Nanos::MAX, |standby| standby.client.next_due().min(standby.since.plus(LONGEST_WAIT)));
        let private = self.private.as_ref().map_or(Nanos::MAX, WebSocketClient::next_due);
        let first = if self.told { Nanos::MAX } else { Nanos::NONE };
        first.min(self.next_look).min(self.client.next_due()).min(self.protocol.next_due()).min(standby).min(private)
    }
}

/// The helper for HTTP, where the market needs one.
fn aside(params: &GatewayParams, credentials: &Credentials) -> Result<Option<Aside>, SetupError> {
    if params.orders.market == Market::Spot {
        return Ok(None);
    }
    let rest = RestParams {
        base: params.endpoints.rest.clone(),
        timeout: CONNECT_TIMEOUT,
        receive_window: params.orders.receive_window,
        root_certificate: params.root_certificate.clone(),
        clock: params.clock,
    };
    let failed = |error: RestError| SetupError::Http(error.to_string());
    let rest = Rest::new(&rest, params.orders.market, Some(credentials.clone())).map_err(failed)?;
    Aside::start(rest).map(Some).map_err(|error| SetupError::Http(error.to_string()))
}

/// The WebSocket API with what makes its answers small and its times fine.
fn api_url(params: &GatewayParams) -> String {
    // Futures do not document a choice of the time's unit.
    let unit = if params.orders.market == Market::Spot { "&timeUnit=MICROSECOND" } else { "" };
    format!("{}?returnRateLimits=false{unit}", params.endpoints.websocket_api)
}

fn connect(
    params: &GatewayParams,
    tls: &Arc<ClientConfig>,
    url: &str,
    registry: Option<(&Registry, Token)>,
) -> Result<WebSocketClient, UrlError> {
    let params = WebSocketParams {
        url: url.to_owned(),
        headers: Vec::new(),
        tls: Arc::clone(tls),
        connect_timeout: CONNECT_TIMEOUT,
        largest_message: LARGEST_MESSAGE,
        clock: params.clock,
        seed: params.seed,
    };
    let token = registry.map_or(Token(0), |(_, token)| token);
    WebSocketClient::new(params, registry.map(|(registry, _)| registry), token)
}

#[cfg(test)]
mod tests;
