//! Everything between the bytes and the books: who is connected and as what, what each has subscribed
//! to, what is on its way in or out, and which fault strikes. No socket and no clock: the caller
//! passes what came in with the time, and takes away what goes out when it is due.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::core::{Event, EventKind, Nanos, Span};

use super::caller::{Caller, TimeUnit};
use super::endpoints::Venue;
use super::exchange::Market;
use super::faults::{Fault, Faults};
use super::records::{AccountId, Happened, UserEvent};
use super::streams::Stream;
use super::wire::{Incoming, Response};

/// Number of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct ClientId(pub usize);

/// What goes to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// Answer to an HTTP request.
    Http(Response),
    /// Turns the connection into a WebSocket with this key.
    Upgrade(String),
    /// Text message.
    Text(String),
    /// Binary message.
    Binary(Vec<u8>),
    /// Ping.
    Ping,
    /// Close at once.
    Close,
}

/// What a connection is for.
#[derive(Clone, Debug, Default)]
pub(super) enum Door {
    /// REST.
    #[default]
    Http,
    /// Market streams.
    Streams(Subscriptions),
    /// The WebSocket API.
    Api(Session),
    /// Futures: a user stream by its key.
    User(AccountId),
}

/// A market stream connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Subscriptions {
    /// Payloads are wrapped with the name of their stream.
    pub(super) combined: bool,
    /// Binary messages.
    pub(super) sbe: bool,
    /// By stream; the name as the client wrote it.
    pub(super) streams: BTreeMap<Stream, String>,
}

/// A WebSocket API connection.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// The key that logged on, and when.
    pub(super) logon: Option<(String, AccountId, Nanos)>,
    /// `returnRateLimits`.
    pub(super) limits: bool,
    /// User streams: number and account.
    pub(super) users: Vec<(u64, AccountId)>,
    /// Number of the next user stream.
    pub(super) next_user: u64,
}

/// A connection.
pub(super) struct Client {
    pub(super) address: IpAddr,
    pub(super) door: Door,
    pub(super) unit: TimeUnit,
    pub(super) opened: Nanos,
    last_ping: Nanos,
    last_pong: Nanos,
    last_in: Nanos,
    last_out: Nanos,
    /// Bytes underway, both ways.
    underway: usize,
    messages: super::limits::Window,
    /// Nothing leaves before this.
    pub(super) stalled_until: Nanos,
    closing: bool,
}

impl Client {
    /// It became a WebSocket: its life and its pings begin here.
    pub(super) const fn begin(&mut self, machine: Nanos) {
        self.opened = machine;
        self.last_ping = machine;
        self.last_pong = machine;
    }
}

/// How connections are looked after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Care {
    /// Between pings.
    pub ping: Span,
    /// A WebSocket that has not answered a ping for so long is closed.
    pub pong: Span,
    /// A connection lives no longer.
    pub life: Span,
}

impl Default for Care {
    fn default() -> Self {
        Self { ping: Span::seconds(20), pong: Span::seconds(60), life: Span::seconds(86_400) }
    }
}

/// Most bytes underway to or from one connection: who reads slower than that is dropped.
const UNDERWAY: usize = 8 << 20;
/// What keeping a message costs beside its text.
const OVERHEAD: usize = 256;
/// An HTTP connection that asks nothing for so long is closed.
const IDLE: Span = Span::seconds(300);
/// Most connections.
pub(super) const MOST_CLIENTS: usize = 1_024;

/// The venue and everybody connected to it.
pub(super) struct Hub {
    /// The books.
    pub venue: Venue,
    /// What goes wrong.
    pub faults: Faults,
    pub(super) care: Care,
    pub(super) clients: BTreeMap<ClientId, Client>,
    arrivals: BTreeMap<(Nanos, u64), (ClientId, Incoming)>,
    departures: BTreeMap<(Nanos, u64), (ClientId, Outgoing)>,
    numbered: u64,
    /// Machine time, without skew.
    machine: Nanos,
    next_beat: Nanos,
    beats: u64,
    /// Futures: user stream keys.
    pub(super) listen_keys: BTreeMap<String, AccountId>,
    /// What an operator asked of the market: a relative jump, in per cent.
    pub jumps: Vec<(Option<crate::core::InstrumentId>, f64)>,
    /// An operator asked for the end.
    pub stopping: bool,
}

/// Ten beats a second drive everything that is sent by the clock.
const BEAT: u64 = 100_000_000;

impl Hub {
    /// Nobody connected yet.
    pub(super) fn new(venue: Venue, faults: Faults, care: Care) -> Self {
        Self {
            venue,
            faults,
            care,
            clients: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            departures: BTreeMap::new(),
            numbered: 0,
            machine: Nanos::NONE,
            next_beat: Nanos::NONE,
            beats: 0,
            listen_keys: BTreeMap::new(),
            jumps: Vec::new(),
            stopping: false,
        }
    }

    /// The venue's clock: the machine's with the planned skew.
    pub(super) fn now(&self) -> Nanos {
        let skew = i128::from(self.faults.plan.clock_skew_ms) * 1_000_000;
        Nanos(u64::try_from(i128::from(self.machine.0) + skew).unwrap_or(0))
    }

    /// The machine's clock, without skew: what latencies and pings are measured by.
    pub(super) const fn machine_now(&self) -> Nanos {
        self.machine
    }

    /// A connection was accepted.
    pub(super) fn connected(&mut self, id: ClientId, address: IpAddr, machine: Nanos) {
        self.machine = machine;
        self.clients.insert(
            id,
            Client {
                address,
                door: Door::Http,
                unit: TimeUnit::Milli,
                opened: machine,
                last_ping: machine,
                last_pong: machine,
                last_in: Nanos::NONE,
                last_out: Nanos::NONE,
                underway: 0,
                messages: super::limits::Window::default(),
                stalled_until: Nanos::NONE,
                closing: false,
            },
        );
    }

    /// A connection is gone.
    pub(super) fn disconnected(&mut self, id: ClientId) {
        self.clients.remove(&id);
        self.arrivals.retain(|_, (client, _)| *client != id);
        self.departures.retain(|_, (client, _)| *client != id);
    }

    /// Something came in; it reaches the venue after the planned latency.
    pub(super) fn arrived(&mut self, id: ClientId, incoming: Incoming, machine: Nanos) {
        self.machine = machine;
        let delay = self.faults.delay(self.faults.plan.latency_in);
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.underway += weight_in(&incoming);
        if client.underway > UNDERWAY {
            return self.close(id);
        }
        client.last_in = machine.plus(delay).max(client.last_in);
        self.numbered += 1;
        self.arrivals.insert((client.last_in, self.numbered), (id, incoming));
        self.serve_arrivals();
    }

    /// When something is due next: an arrival, a departure, or the clock's beat.
    pub(super) fn next_due(&self) -> Nanos {
        let due = |key: Option<&(Nanos, u64)>| key.map_or(Nanos::MAX, |(due, _)| *due);
        due(self.arrivals.keys().next()).min(due(self.departures.keys().next())).min(self.next_beat)
    }

    /// Time passed: what has arrived is served, the clock's messages are sent.
    pub(super) fn advance(&mut self, machine: Nanos) {
        self.machine = machine;
        self.serve_arrivals();
        while machine >= self.next_beat {
            // After a pause of the machine one beat is enough.
            self.next_beat = Nanos(machine.0 - machine.0 % BEAT + BEAT);
            self.beats += 1;
            self.beat();
        }
    }

    fn serve_arrivals(&mut self) {
        while let Some(entry) = self.arrivals.first_entry().filter(|entry| entry.key().0 <= self.machine) {
            let (id, incoming) = entry.remove();
            if let Some(client) = self.clients.get_mut(&id).filter(|client| !client.closing) {
                client.underway = client.underway.saturating_sub(weight_in(&incoming));
                self.serve(id, incoming);
                self.tell_users();
            }
        }
    }

    /// The next message that is due, in order.
    pub(super) fn take_due(&mut self) -> Option<(ClientId, Outgoing)> {
        let entry = self.departures.first_entry().filter(|entry| entry.key().0 <= self.machine)?;
        let (id, outgoing) = entry.remove();
        if let Some(client) = self.clients.get_mut(&id) {
            client.underway = client.underway.saturating_sub(weight_out(&outgoing));
        }
        Some((id, outgoing))
    }

    fn serve(&mut self, id: ClientId, incoming: Incoming) {
        let machine = self.machine;
        let Some(client) = self.clients.get_mut(&id) else { return };
        match incoming {
            Incoming::Request(request) => self.serve_request(id, &request),
            Incoming::Malformed(why) => {
                let error = super::error::ApiError::illegal("request", why);
                let response = Response { close: true, ..Response::new(400, error.json()) };
                self.send(id, Outgoing::Http(response));
            }
            Incoming::Pong(_) => {
                client.last_pong = machine;
                self.count_message(id);
            }
            Incoming::Ping => self.count_message(id),
            Incoming::Text(text) => {
                self.count_message(id);
                match self.clients.get(&id).map(|client| &client.door) {
                    Some(Door::Api(_)) => self.serve_api(id, &text),
                    Some(Door::Streams(_)) => self.serve_control(id, &text),
                    _ => {}
                }
            }
            Incoming::Binary | Incoming::Closed => self.close(id),
        }
    }

    /// Market streams may be sent five messages a second, control frames included.
    fn count_message(&mut self, id: ClientId) {
        let (machine, most) = (self.machine, self.venue.limits.params.messages);
        let Some(client) = self.clients.get_mut(&id) else { return };
        let count = client.messages.add(machine, crate::core::time::SECOND, 1);
        if matches!(client.door, Door::Streams(_)) && most > 0 && count > most {
            self.close(id);
        }
    }

    /// Sends after the planned latency; messages to one connection never overtake each other.
    pub(super) fn send(&mut self, id: ClientId, outgoing: Outgoing) {
        let delay = self.faults.delay(self.faults.plan.latency_out);
        let due = self.machine.plus(delay);
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.last_out = due.max(client.last_out).max(client.stalled_until);
        let due = client.last_out;
        self.send_at(id, outgoing, due);
    }

    /// Sends at an instant of its own, even out of order.
    pub(super) fn send_at(&mut self, id: ClientId, outgoing: Outgoing, due: Nanos) {
        let Some(client) = self.clients.get_mut(&id).filter(|client| !client.closing) else { return };
        let outgoing = match outgoing {
            Outgoing::Text(text) if self.faults.strikes(Fault::Malformed) => Outgoing::Text(self.faults.damage(&text)),
            other => other,
        };
        client.underway += weight_out(&outgoing);
        if client.underway > UNDERWAY {
            return self.close(id);
        }
        self.numbered += 1;
        self.departures.insert((due, self.numbered), (id, outgoing));
    }

    /// Closes a connection at once; nothing more is served or sent.
    pub(super) fn close(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if !client.closing {
            client.closing = true;
            self.departures.retain(|_, (owner, _)| *owner != id);
            self.numbered += 1;
            self.departures.insert((self.machine, self.numbered), (id, Outgoing::Close));
        }
    }

    /// Stalls a connection from now on.
    pub(super) fn stall(&mut self, id: ClientId) {
        let until = self.machine.plus(self.faults.plan.stall);
        if let Some(client) = self.clients.get_mut(&id) {
            client.stalled_until = until;
        }
    }

    /// The caller of a request on this connection.
    pub(super) fn caller(&self, id: ClientId, account: Option<AccountId>) -> Option<Caller> {
        let client = self.clients.get(&id)?;
        Some(Caller { address: client.address, account, now: self.now(), unit: client.unit })
    }

    /// A quote or a trade of the market: the books first, then the public, then the owners.
    pub(super) fn on_market(&mut self, event: &Event, machine: Nanos) {
        self.machine = machine;
        let now = self.now();
        let Some(tape) = self.venue.tapes.get_mut(event.instrument.index()) else { return };
        let news = tape.on_market(event, now);
        self.venue.exchange.on_market(event, now);
        if news {
            self.publish(event.instrument, event.kind == EventKind::Trade);
        }
        self.tell_users();
    }

    /// What the clock drives: pings, the end of lives, slow streams, countdowns.
    fn beat(&mut self) {
        self.look_after_clients();
        self.run_countdowns();
        self.publish_clocked(self.beats);
        self.tell_users();
    }

    fn look_after_clients(&mut self) {
        let (machine, care) = (self.machine, self.care);
        let ids: Vec<ClientId> = self.clients.keys().copied().collect();
        for id in ids {
            let Some(client) = self.clients.get_mut(&id) else { continue };
            let http = matches!(client.door, Door::Http);
            if (http && machine.since(client.last_in.max(client.opened)) > IDLE)
                || machine.since(client.opened) > care.life
                || (!http && machine.since(client.last_pong) > care.pong)
            {
                self.close(id);
            } else if !http && machine.since(client.last_ping) >= care.ping {
                client.last_ping = machine;
                self.send(id, Outgoing::Ping);
            }
        }
    }

    /// Futures: cancels what was left behind by a client that stopped counting.
    fn run_countdowns(&mut self) {
        let now = self.now();
        let due: Vec<_> = self.venue.countdowns.extract_if(.., |(_, _, at)| *at <= now).collect();
        for (account, symbol, _) in due {
            let open: Vec<u64> = self.venue.exchange.open_orders(account, Some(symbol)).map(|order| order.id).collect();
            for id in open {
                // It was open a line ago, and nothing else runs in between.
                let _ = self.venue.exchange.cancel(account, id, "countdown", now);
            }
        }
    }

    /// Passes what happened on accounts to those who listen.
    pub(super) fn tell_users(&mut self) {
        for (account, event) in self.venue.exchange.take_events() {
            self.tell(account, &event);
        }
    }

    fn tell(&mut self, account: AccountId, event: &UserEvent) {
        let now = self.now();
        if let UserEvent::Execution { happened: Happened::Trade(_), order, .. } = event
            && order.trades.len() == 1
        {
            // An order's first fill no longer counts against the order limits.
            self.venue.limits.order_back(account);
        }
        let is_report = matches!(event, UserEvent::Execution { .. });
        let mut listeners = Vec::new();
        for (id, client) in &self.clients {
            match &client.door {
                Door::Api(session) => {
                    let own = session.users.iter().filter(|(_, owner)| *owner == account);
                    listeners.extend(own.map(|(number, _)| (*id, Some(*number), client.unit)));
                }
                Door::User(owner) if *owner == account => listeners.push((*id, None, client.unit)),
                _ => {}
            }
        }
        if listeners.is_empty() {
            return;
        }
        let late = is_report && self.faults.strikes(Fault::LateReport);
        let twice = is_report && self.faults.strikes(Fault::DuplicateReport);
        for (id, number, unit) in listeners {
            let texts: Vec<String> = match self.venue.exchange.market {
                Market::Spot => {
                    super::user_stream::render(&self.venue.exchange, event, now, unit).into_iter().collect()
                }
                Market::Futures => super::futures::render(&self.venue.exchange, account, event, now, unit),
            };
            for text in texts {
                let text = match number {
                    Some(number) => super::user_stream::wrapped(number, &text),
                    None => text,
                };
                if twice {
                    self.send(id, Outgoing::Text(text.clone()));
                }
                if late {
                    self.send_at(id, Outgoing::Text(text), self.machine.plus(self.faults.plan.late));
                } else {
                    self.send(id, Outgoing::Text(text));
                }
            }
        }
    }

    /// Says that the venue is about to stop; clients have a moment to open another connection.
    pub(super) fn announce_shutdown(&mut self) {
        let now = self.now();
        let ids: Vec<ClientId> = self.clients.keys().copied().collect();
        for id in ids {
            let Some(client) = self.clients.get(&id) else { continue };
            let event = format!("{{\"e\":\"serverShutdown\",\"E\":{}}}", client.unit.of(now));
            let text = match &client.door {
                Door::Http => continue,
                Door::Streams(subscriptions) if subscriptions.combined => {
                    format!("{{\"stream\":\"!serverShutdown\",\"data\":{event}}}")
                }
                Door::Streams(_) | Door::User(_) => event,
                Door::Api(_) => format!("{{\"event\":{event}}}"),
            };
            self.send(id, Outgoing::Text(text));
        }
    }

    /// Streams that anybody listens to.
    pub(super) fn streams_wanted(&self) -> BTreeSet<Stream> {
        let wanted = self.clients.values().filter_map(|client| match &client.door {
            Door::Streams(subscriptions) => Some(subscriptions.streams.keys().copied()),
            _ => None,
        });
        wanted.flatten().collect()
    }
}

/// What a message on its way in takes of its connection's bound.
fn weight_in(incoming: &Incoming) -> usize {
    OVERHEAD
        + match incoming {
            Incoming::Request(request) => request.path.len() + request.query.len() + request.body.len(),
            Incoming::Text(text) => text.len(),
            Incoming::Pong(payload) => payload.len(),
            _ => 0,
        }
}

/// What a message on its way out takes of its connection's bound.
fn weight_out(outgoing: &Outgoing) -> usize {
    OVERHEAD
        + match outgoing {
            Outgoing::Http(response) => response.body.len(),
            Outgoing::Text(text) => text.len(),
            Outgoing::Binary(bytes) => bytes.len(),
            _ => 0,
        }
}
