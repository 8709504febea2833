//! Market stream connections: control messages in, the market out.

use serde_json::Value;

use crate::core::InstrumentId;

use super::caller::TimeUnit;
use super::hub::{ClientId, Door, Hub, Outgoing, Subscriptions};
use super::json::{array, string};
use super::streams::{Painter, Stream};

/// Most streams on one connection.
const MOST_STREAMS: usize = 1_024;

impl Hub {
    /// A control message.
    pub(super) fn serve_control(&mut self, id: ClientId, text: &str) {
        if self.faults.strikes(super::faults::Fault::Disconnect) {
            return self.close(id);
        }
        if self.faults.strikes(super::faults::Fault::Stall) {
            self.stall(id);
        }
        let answer = match serde_json::from_str::<Value>(text) {
            Err(error) => refusal(3, &format!("Invalid JSON: {error}"), &Value::Null),
            Ok(message) => self.control(id, &message),
        };
        self.send(id, Outgoing::Text(answer));
    }

    fn control(&mut self, id: ClientId, message: &Value) -> String {
        let number = message.get("id").cloned().unwrap_or(Value::Null);
        let good_id = match &number {
            Value::Null => true,
            Value::Number(number) => number.is_i64() || number.is_u64(),
            Value::String(text) => text.len() <= 36,
            _ => false,
        };
        if !good_id {
            return refusal(2, "Invalid request: request ID must be an integer, a string or null", &Value::Null);
        }
        let Some(Door::Streams(subscriptions)) = self.clients.get_mut(&id).map(|client| &mut client.door) else {
            return refusal(2, "Invalid request", &number);
        };
        let names = || -> Option<Vec<&str>> { message.get("params")?.as_array()?.iter().map(Value::as_str).collect() };
        match message.get("method").and_then(Value::as_str) {
            Some("SUBSCRIBE") => {
                let Some(names) = names() else {
                    return refusal(2, "Invalid request: params must be an array", &number);
                };
                if names.len() + subscriptions.streams.len() > MOST_STREAMS {
                    return refusal(2, "Invalid request: too many streams", &number);
                }
                // An unknown stream is taken and stays silent, as at the venue.
                for name in names {
                    if let Some(stream) = Stream::parse(name, &self.venue.exchange) {
                        subscriptions.streams.insert(stream, name.to_owned());
                    }
                }
                done("null", &number)
            }
            Some("UNSUBSCRIBE") => {
                let Some(names) = names() else {
                    return refusal(2, "Invalid request: params must be an array", &number);
                };
                subscriptions.streams.retain(|_, name| !names.contains(&name.as_str()));
                done("null", &number)
            }
            Some("LIST_SUBSCRIPTIONS") => {
                done(&array(subscriptions.streams.values().map(|name| string(name))), &number)
            }
            Some("SET_PROPERTY") => match message.get("params").and_then(Value::as_array).map(Vec::as_slice) {
                Some([Value::String(name), Value::Bool(value)]) if name == "combined" => {
                    subscriptions.combined = *value;
                    done("null", &number)
                }
                Some([Value::String(name), _]) if name == "combined" => {
                    refusal(1, "Invalid value type: expected Boolean", &number)
                }
                _ => refusal(0, "Unknown property", &number),
            },
            Some("GET_PROPERTY") => match names().as_deref() {
                Some(["combined"]) => done(&subscriptions.combined.to_string(), &number),
                _ => refusal(0, "Unknown property", &number),
            },
            Some(other) => {
                let text = format!(
                    "Invalid request: unknown variant {}, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`",
                    clip(other)
                );
                refusal(2, &text, &number)
            }
            None => refusal(2, "Invalid request: missing field `method`", &number),
        }
    }

    /// Sends a symbol's latest quote or trade to everybody who wants it.
    pub(super) fn publish(&mut self, symbol: InstrumentId, is_trade: bool) {
        let mut cache: Vec<(Stream, TimeUnit, String)> = Vec::new();
        let mut binary: Option<Vec<u8>> = None;
        let mut messages = Vec::new();
        let now = self.now();
        let tape = &self.venue.tapes[symbol.index()];
        for (id, client) in &self.clients {
            let Door::Streams(subscriptions) = &client.door else { continue };
            if self.stalled(*id) {
                continue;
            }
            let painter = Painter { exchange: &self.venue.exchange, symbol, tape, now, unit: client.unit };
            let wanted = subscriptions.streams.iter().filter(|(stream, _)| {
                let trades = matches!(stream.topic, super::streams::Topic::Trade | super::streams::Topic::AggTrade);
                stream.symbol == symbol && stream.is_immediate() && trades == is_trade
            });
            for (stream, name) in wanted {
                if subscriptions.sbe {
                    if binary.is_none() {
                        binary = match tape.trades.back().filter(|_| is_trade) {
                            Some(trade) => painter.trade_sbe(trade),
                            None => painter.book_ticker_sbe(),
                        };
                    }
                    messages.extend(binary.clone().map(|bytes| (*id, Outgoing::Binary(bytes))));
                    continue;
                }
                let known = cache.iter().find(|(have, unit, _)| have == stream && *unit == client.unit);
                let text = if let Some((_, _, text)) = known {
                    text.clone()
                } else {
                    let Some(text) = immediate(&painter, *stream) else { continue };
                    cache.push((*stream, client.unit, text.clone()));
                    text
                };
                messages.push((*id, Outgoing::Text(wrap(subscriptions, name, text))));
            }
        }
        for (id, outgoing) in messages {
            self.send(id, outgoing);
        }
    }

    /// Sends what goes by the clock. `beat` counts tenths of seconds.
    pub(super) fn publish_clocked(&mut self, beat: u64) {
        let due = |stream: &Stream| !stream.is_immediate() && beat.is_multiple_of(stream.period());
        let now = self.now();
        let mut messages = Vec::new();
        for stream in self.streams_wanted().into_iter().filter(due) {
            let tape = &self.venue.tapes[stream.symbol.index()];
            for unit in [TimeUnit::Milli, TimeUnit::Micro] {
                let painter = Painter { exchange: &self.venue.exchange, symbol: stream.symbol, tape, now, unit };
                let mut text = None;
                for (id, client) in &self.clients {
                    let Door::Streams(subscriptions) = &client.door else { continue };
                    let Some(name) = subscriptions.streams.get(&stream) else { continue };
                    if client.unit != unit || subscriptions.sbe || self.stalled(*id) {
                        continue;
                    }
                    let text = text.get_or_insert_with(|| painter.clocked(stream.topic));
                    let text = text.clone().map(|text| Outgoing::Text(wrap(subscriptions, name, text)));
                    messages.extend(text.map(|text| (*id, text)));
                }
            }
        }
        for (id, outgoing) in messages {
            self.send(id, outgoing);
        }
        for tape in &mut self.venue.tapes {
            tape.changes[0] = super::board::DepthChange::default();
            if beat.is_multiple_of(10) {
                tape.changes[1] = super::board::DepthChange::default();
            }
        }
    }

    /// A stalled stream misses what happens meanwhile.
    fn stalled(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_none_or(|client| client.stalled_until > self.machine_now())
    }
}

fn immediate(painter: &Painter<'_>, stream: Stream) -> Option<String> {
    match stream.topic {
        super::streams::Topic::BookTicker => painter.book_ticker(),
        super::streams::Topic::Trade => painter.tape.trades.back().map(|trade| painter.trade(trade)),
        super::streams::Topic::AggTrade => painter.tape.trades.back().map(|trade| painter.aggregate(trade)),
        _ => None,
    }
}

fn wrap(subscriptions: &Subscriptions, name: &str, text: String) -> String {
    if subscriptions.combined { format!("{{\"stream\":{},\"data\":{text}}}", string(name)) } else { text }
}

fn done(result: &str, number: &Value) -> String {
    format!("{{\"result\":{result},\"id\":{number}}}")
}

fn refusal(code: u8, message: &str, number: &Value) -> String {
    format!("{{\"code\":{code},\"msg\":{},\"id\":{number}}}", string(message))
}

/// A text from outside, short enough to be echoed.
fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}
