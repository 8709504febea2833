//! Market data over real sockets: JSON or binary streams, kept alive and whole.
//!
//! Setup: [`MarketFeed::new`], with the loop's `mio` registry or none. Then [`MarketData::poll`]
//! whenever a socket is ready, at [`MarketData::next_due`], or all the time.
//!
//! - A line that brings no data for `stale_after` is asked with a ping; one that is dead, or of quotes and frozen, is
//!   connected anew (`line.rs`).
//! - After a loss, a [`EventKind::Gap`] for each instrument whose quotes were lost comes before the first new data of
//!   that line. Lost trades make no gap: what is built on quotes stands. What a bar counts of trades is then too little.
//! - A connection that the venue will close, or that nears 24 hours, is replaced before it ends: both
//!   run until the new one brings data, and what comes twice is told once.
//! - [`Link`] tells when all lines are up, and when one is lost.

mod line;

use std::sync::Arc;

use line::{Line, routes};
use mio::{Registry, Token};
use rustls::ClientConfig;

use super::decode::{BadFrame, DecodeCounters, FrameKind, MarketDecoder};
use super::endpoints::{Endpoints, Market};
use super::gateway::SetupError;
use super::sign::Secret;
use super::symbols::SymbolTable;
use crate::core::payload::{Link, LinkChannel, LinkState};
use crate::core::{Event, EventKind, InstrumentId, Nanos, Payload, Span};
use crate::venue::MarketData;
use crate::venue::net::{Incoming, UrlError, WebSocketClient, WebSocketParams, client_config};
use crate::venue::random::Random;

/// Largest message: a burst of trades in one binary frame.
const LARGEST_MESSAGE: usize = 1 << 20;
const CONNECT_TIMEOUT: Span = Span::seconds(10);
/// The venue closes a connection after 24 hours; replaced up to half an hour before, at random.
const LIFE: Span = Span::seconds(23 * 3600);
const LIFE_JITTER: u64 = 1800 * crate::core::time::SECOND;

/// How market data is encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StreamEncoding {
    /// Text: needs no key.
    #[default]
    Json,
    /// Binary: microsecond times and less to parse; needs the name of an Ed25519 key. Spot only.
    Binary,
}

/// What to listen to.
#[derive(Clone)]
pub struct FeedParams {
    /// The venue's addresses.
    pub endpoints: Endpoints,
    /// Which market.
    pub market: Market,
    /// How it is encoded.
    pub encoding: StreamEncoding,
    /// Trades beside best prices.
    pub trades: bool,
    /// Name of the API key, for binary streams.
    pub api_key: Option<Secret>,
    /// After so long without data a connection must prove that it lives.
    pub stale_after: Span,
    /// A root certificate in PEM to trust instead of the public ones.
    pub root_certificate: Option<Vec<u8>>,
    /// Wall clock, UTC: stamps frames.
    pub clock: fn() -> Nanos,
    /// Of the waits between attempts to connect.
    pub seed: u64,
}

/// Listens to one market.
pub struct MarketFeed {
    decoder: MarketDecoder,
    lines: Vec<Line>,
    stale_after: Span,
    connections: u64,
    told_up: bool,
    last_failure: Option<String>,
    random: Random,
    make: Maker,
}

/// Makes connections.
struct Maker {
    params: FeedParams,
    tls: Arc<ClientConfig>,
    registry: Option<(Registry, Token)>,
    made: u64,
}

impl MarketFeed {
    /// A feed that will connect at its first poll. With a registry, its sockets are registered there
    /// under the token.
    ///
    /// # Errors
    /// An address or certificate that cannot be used, or binary streams without a key.
    pub fn new(
        params: FeedParams,
        symbols: SymbolTable,
        registry: Option<(&Registry, Token)>,
    ) -> Result<Self, SetupError> {
        let tls = client_config(params.root_certificate.as_deref())?;
        let registry = match registry {
            Some((registry, token)) => Some((registry.try_clone().map_err(|_| SetupError::Key)?, token)),
            None => None,
        };
        let (routes, seed, stale_after) = (routes(&params, &symbols), params.seed, params.stale_after);
        let mut make = Maker { params, tls, registry, made: 0 };
        let lines = routes
            .into_iter()
            .map(|route| make.client(&route.url).map(|client| Line::new(route, client)))
            .collect::<Result<Vec<_>, SetupError>>()?;
        Ok(Self {
            decoder: MarketDecoder::new(symbols),
            lines,
            stale_after,
            connections: 0,
            told_up: false,
            last_failure: None,
            random: Random::new(seed),
            make,
        })
    }

    /// True while every line is up.
    pub fn is_up(&self) -> bool {
        self.told_up
    }

    /// What was read so far.
    pub fn counters(&self) -> DecodeCounters {
        self.decoder.counters()
    }

    /// Decodes a made-up frame, see [`MarketDecoder::rehearse`].
    pub fn rehearse(&self) {
        self.decoder.rehearse();
    }

    /// Why the latest bad frame was refused.
    pub fn last_bad_frame(&self) -> Option<&BadFrame> {
        self.decoder.last_error()
    }

    /// Why the last connection was lost or could not be made.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// Closes every connection for good.
    pub fn close(&mut self) {
        for line in &mut self.lines {
            line.client.close();
            line.replacement = None;
        }
    }

    fn poll_line(&mut self, index: usize, now: Nanos, emit: &mut impl FnMut(Event)) -> bool {
        let line = &mut self.lines[index];
        let mut seen = Seen::default();
        let mut more = {
            let (decoder, gap, quotes) = (&mut self.decoder, &mut line.gap, &line.route.quotes);
            let (failure, last_data) = (&mut self.last_failure, &mut line.last_data);
            line.client.poll(now, &mut |incoming| match incoming {
                Incoming::Up => seen.opened = true,
                Incoming::Down { was_up, reason } => {
                    seen.lost |= was_up;
                    *failure = Some(reason.to_owned());
                }
                Incoming::Text(..) | Incoming::Binary(..) => {
                    seen.frame(decode(decoder, &incoming, gap, quotes, emit), last_data, &incoming);
                }
            })
        };
        if seen.opened {
            line.begin(now, now.plus(LIFE).plus(Span(self.random.below(LIFE_JITTER))));
        }
        if seen.lost {
            line.up = false;
            line.expires = Nanos::MAX;
        }
        if line.is_dead(now, self.stale_after) {
            line.client.restart("no data for too long");
            more = true;
        }
        if (seen.shutdown || line.expires <= now) && line.replacement.is_none() {
            line.replacement = self.make.client(&line.route.url).ok();
            // Should it fail, the next attempt is a while away.
            line.expires = now.plus(Span::seconds(60));
        }
        more |= self.poll_replacement(index, now, emit);
        if seen.lost {
            self.lost(index, now, emit);
        }
        self.tell_up(now, emit);
        more
    }

    /// The replacement takes over with its first data; until then both are heard.
    fn poll_replacement(&mut self, index: usize, now: Nanos, emit: &mut impl FnMut(Event)) -> bool {
        let line = &mut self.lines[index];
        let Some(replacement) = &mut line.replacement else { return false };
        let mut seen = Seen::default();
        let (decoder, gap, quotes, last_data) =
            (&mut self.decoder, &mut line.gap, &line.route.quotes, &mut line.last_data);
        let more = replacement.poll(now, &mut |incoming| {
            if matches!(incoming, Incoming::Text(..) | Incoming::Binary(..)) {
                seen.frame(decode(decoder, &incoming, gap, quotes, emit), last_data, &incoming);
            }
        });
        if seen.data
            && let Some(replacement) = line.replacement.take()
        {
            let mut old = std::mem::replace(&mut line.client, replacement);
            old.close();
            line.begin(now, now.plus(LIFE).plus(Span(self.random.below(LIFE_JITTER))));
        }
        more
    }

    fn lost(&mut self, index: usize, now: Nanos, emit: &mut impl FnMut(Event)) {
        let line = &mut self.lines[index];
        line.gap = !line.route.quotes.is_empty();
        // The venue may have been reset meanwhile: its numbers start anew.
        self.decoder.forget_quotes(&line.route.quotes);
        self.decoder.forget_trades(&line.route.trades);
        if std::mem::take(&mut self.told_up) {
            self.link(LinkState::Down, now, emit);
        }
    }

    fn tell_up(&mut self, now: Nanos, emit: &mut impl FnMut(Event)) {
        if !self.told_up && self.lines.iter().all(|line| line.up) {
            self.told_up = true;
            self.connections += 1;
            self.link(LinkState::Up, now, emit);
        }
    }

    fn link(&self, state: LinkState, now: Nanos, emit: &mut impl FnMut(Event)) {
        let link = Link { channel: Some(LinkChannel::Market), state: Some(state), connections: self.connections };
        emit(link.event(EventKind::Link, InstrumentId(0), Nanos::NONE, now));
    }
}

impl MarketData for MarketFeed {
    #[inline]
    fn poll(&mut self, now: Nanos, emit: &mut impl FnMut(Event)) -> bool {
        let mut more = false;
        for index in 0..self.lines.len() {
            more |= self.poll_line(index, now, emit);
        }
        more
    }

    fn next_due(&self) -> Nanos {
        let due = |line: &Line| {
            let replacement = line.replacement.as_ref().map_or(Nanos::MAX, WebSocketClient::next_due);
            line.client.next_due().min(line.due(self.stale_after)).min(line.expires).min(replacement)
        };
        self.lines.iter().map(due).min().unwrap_or(Nanos::MAX)
    }
}

/// What one poll of a connection brought.
#[derive(Default)]
struct Seen {
    opened: bool,
    lost: bool,
    data: bool,
    shutdown: bool,
}

impl Seen {
    #[inline]
    fn frame(&mut self, kind: FrameKind, last_data: &mut Nanos, incoming: &Incoming<'_>) {
        match kind {
            FrameKind::Data => {
                self.data = true;
                if let Incoming::Text(_, at) | Incoming::Binary(_, at) = incoming {
                    *last_data = *at;
                }
            }
            FrameKind::ServerShutdown => self.shutdown = true,
            FrameKind::Answer { .. } | FrameKind::Other | FrameKind::Bad => {}
        }
    }
}

/// One frame to events; the first after a loss is preceded by a gap for each instrument whose quotes were lost.
#[inline]
fn decode(
    decoder: &mut MarketDecoder,
    incoming: &Incoming<'_>,
    gap: &mut bool,
    quotes: &[InstrumentId],
    emit: &mut impl FnMut(Event),
) -> FrameKind {
    let mut emit = |event: Event| {
        if std::mem::take(gap) {
            for instrument in quotes {
                emit(Event::new(EventKind::Gap, *instrument, Nanos::NONE, event.local_ns, [0; 4]));
            }
        }
        emit(event);
    };
    match incoming {
        Incoming::Text(frame, at) => decoder.text(frame, *at, &mut emit),
        Incoming::Binary(frame, at) => decoder.binary(frame, *at, &mut emit),
        Incoming::Up | Incoming::Down { .. } => FrameKind::Other,
    }
}

impl Maker {
    fn client(&mut self, url: &str) -> Result<WebSocketClient, SetupError> {
        let mut headers = Vec::new();
        if self.params.encoding == StreamEncoding::Binary {
            let key = self.params.api_key.as_ref().ok_or(SetupError::Key)?;
            let key = std::str::from_utf8(key.expose()).map_err(|_| SetupError::Key)?;
            headers.push(("X-MBX-APIKEY".to_owned(), key.to_owned()));
        }
        self.made += 1;
        let params = WebSocketParams {
            url: url.to_owned(),
            headers,
            tls: Arc::clone(&self.tls),
            connect_timeout: CONNECT_TIMEOUT,
            largest_message: LARGEST_MESSAGE,
            clock: self.params.clock,
            seed: self.params.seed.wrapping_add(self.made),
        };
        let token = self.registry.as_ref().map_or(Token(0), |(_, token)| *token);
        let client = WebSocketClient::new(params, self.registry.as_ref().map(|(registry, _)| registry), token);
        client.map_err(|error: UrlError| error.into())
    }
}

#[cfg(test)]
mod tests;
