//! The WebSocket API: one request a text frame, answered with its own id; sessions and user streams.

use serde_json::Value;

use super::caller::Caller;
use super::endpoints::{Answer, Security, find_method};
use super::error::ApiError;
use super::faults::Fault;
use super::hub::{ClientId, Door, Hub, Outgoing, Session};
use super::json::{Object, array};
use super::keys::{Signed, check_signature, check_time};
use super::params::Params;

/// Most user streams on one connection.
const MOST_USERS: usize = 1_000;
/// Most user streams over a connection's life.
const MOST_USERS_EVER: u64 = 65_535;

/// What becomes of an answer.
enum Fate {
    Sent(Answer),
    /// Executed, and never answered.
    Lost,
    /// The connection is closed instead.
    Closed,
}

impl Hub {
    /// A request on the WebSocket API.
    pub(super) fn serve_api(&mut self, id: ClientId, text: &str) {
        let Ok(Value::Object(request)) = serde_json::from_str::<Value>(text) else {
            return self.reply(id, &Value::Null, &Err(ApiError::INVALID_JSON), None);
        };
        let number = request.get("id").cloned().unwrap_or(Value::Null);
        let good_id = match &number {
            Value::Null => true,
            Value::Number(number) => number.is_i64() || number.is_u64(),
            Value::String(text) => text.len() <= 36,
            _ => false,
        };
        if !good_id {
            let error = ApiError::illegal("id", "^[a-zA-Z0-9-_]{1,36}$");
            return self.reply(id, &Value::Null, &Err(error), None);
        }
        let Some(method) = request.get("method").and_then(Value::as_str) else {
            return self.reply(id, &number, &Err(ApiError::mandatory("method")), None);
        };
        let params = match Params::from_json(request.get("params")) {
            Ok(params) => params,
            Err(error) => return self.reply(id, &number, &Err(error), None),
        };
        let limits = params.flag("returnRateLimits").unwrap_or(None);
        match self.answer_api(id, method, &params) {
            Fate::Sent(answer) => self.reply(id, &number, &answer, limits),
            Fate::Lost => {}
            Fate::Closed => self.close(id),
        }
    }

    fn answer_api(&mut self, id: ClientId, method: &str, params: &Params) -> Fate {
        let Some(mut caller) = self.caller(id, None) else { return Fate::Closed };
        let key = self.key_name(id, params);
        let key = key.as_deref();
        if self.faults.strikes_key(Fault::Disconnect, key) {
            return Fate::Closed;
        }
        if self.faults.strikes_key(Fault::Stall, key) {
            self.stall(id);
        }
        let plain = method.strip_prefix("v3/").unwrap_or(method);
        if plain.starts_with("session.") || plain.starts_with("userDataStream.") {
            let counted = self.venue.limits.request(caller.address, 2, caller.now);
            let answer = counted.and_then(|()| self.session_method(id, plain, &caller, params));
            return Fate::Sent(answer);
        }
        let checked = find_method(self.venue.exchange.market, plain).and_then(|endpoint| {
            self.venue.limits.request(caller.address, endpoint.weight, caller.now)?;
            if endpoint.security == Security::Signed {
                caller.account = Some(self.authorise(id, &caller, params)?);
                self.before(endpoint, key)?;
            }
            Ok(endpoint)
        });
        let endpoint = match checked {
            Ok(endpoint) => endpoint,
            Err(error) => return Fate::Sent(Err(error)),
        };
        let answer = self.run(endpoint, &caller, params);
        let counts = endpoint.is_order || endpoint.http == "DELETE";
        if counts && answer.is_ok() && self.faults.strikes_key(Fault::LostAck, key) {
            return Fate::Lost;
        }
        Fate::Sent(answer)
    }

    /// The key of a request: its own, or the session's.
    fn key_name(&self, id: ClientId, params: &Params) -> Option<String> {
        let session = self.session(id).and_then(|session| session.logon.as_ref());
        params.get("apiKey").map(str::to_owned).or_else(|| session.map(|(key, ..)| key.clone()))
    }

    fn session(&self, id: ClientId) -> Option<&Session> {
        match &self.clients.get(&id)?.door {
            Door::Api(session) => Some(session),
            _ => None,
        }
    }

    fn session_mut(&mut self, id: ClientId) -> Result<&mut Session, ApiError> {
        match self.clients.get_mut(&id).map(|client| &mut client.door) {
            Some(Door::Api(session)) => Ok(session),
            _ => Err(ApiError::DISCONNECTED),
        }
    }

    /// The account that a signed request may use.
    fn authorise(
        &mut self,
        id: ClientId,
        caller: &Caller,
        params: &Params,
    ) -> Result<super::records::AccountId, ApiError> {
        let logged_on = self.session(id).and_then(|session| session.logon.clone());
        let account = if params.get("apiKey").is_some() || params.get("signature").is_some() {
            self.signer(params)?
        } else if let Some((key, account, _)) = logged_on {
            // A key that was cut off ends its session.
            if let Err(error) = self.venue.keys.find(Some(&key)) {
                self.session_mut(id)?.logon = None;
                return Err(error);
            }
            account
        } else {
            return Err(ApiError::mandatory("apiKey"));
        };
        check_time(params, caller.now)?;
        Ok(account)
    }

    /// The account of a request that is signed itself.
    fn signer(&self, params: &Params) -> Result<super::records::AccountId, ApiError> {
        let key = self.venue.keys.find(Some(params.required("apiKey")?))?;
        check_signature(key, &Signed::Parameters(params), params)?;
        Ok(key.account)
    }

    fn session_method(&mut self, id: ClientId, method: &str, caller: &Caller, params: &Params) -> Answer {
        match method {
            "session.logon" => {
                let name = params.required("apiKey")?.to_owned();
                let account = self.signer(params)?;
                check_time(params, caller.now)?;
                if !self.venue.keys.find(Some(&name))?.is_ed25519() {
                    return Err(ApiError::KEY_REJECTED);
                }
                self.session_mut(id)?.logon = Some((name, account, caller.now));
                self.session_json(id, caller)
            }
            "session.logout" => {
                self.session_mut(id)?.logon = None;
                self.session_json(id, caller)
            }
            "session.status" => self.session_json(id, caller),
            "session.subscriptions" => {
                let users = self.session(id).map(|session| session.users.clone()).unwrap_or_default();
                Ok(array(users.iter().map(|(number, _)| Object::new().raw("subscriptionId", number).end())))
            }
            "userDataStream.subscribe" => {
                let session = self.session(id).and_then(|session| session.logon.clone());
                let (key, account, _) = session.ok_or(ApiError::KEY_REJECTED)?;
                self.venue.keys.find(Some(&key))?;
                self.open_user(id, account)
            }
            "userDataStream.subscribe.signature" => {
                let account = self.signer(params)?;
                check_time(params, caller.now)?;
                self.open_user(id, account)
            }
            "userDataStream.unsubscribe" => {
                let wanted = params.number("subscriptionId")?;
                let now = self.now();
                let unit = caller.unit;
                let session = self.session_mut(id)?;
                let closed: Vec<u64> =
                    session.users.extract_if(.., |(n, _)| wanted.is_none_or(|w| w == *n)).map(|(n, _)| n).collect();
                if closed.is_empty() {
                    return Err(ApiError::STREAM_INACTIVE);
                }
                for number in closed {
                    let event = Object::new().text("e", "eventStreamTerminated").raw("E", unit.of(now)).end();
                    self.send(id, Outgoing::Text(super::user_stream::wrapped(number, &event)));
                }
                Ok("{}".to_owned())
            }
            _ if self.venue.exchange.market == super::exchange::Market::Futures => {
                let endpoint = find_method(self.venue.exchange.market, method)?;
                let caller = Caller { account: Some(self.key_owner(id, params)?), ..*caller };
                self.run(endpoint, &caller, params)
            }
            _ => Err(ApiError::not_found()),
        }
    }

    /// The account of a request that only names a key.
    fn key_owner(&self, id: ClientId, params: &Params) -> Result<super::records::AccountId, ApiError> {
        let name = self.key_name(id, params);
        Ok(self.venue.keys.find(name.as_deref())?.account)
    }

    fn open_user(&mut self, id: ClientId, account: super::records::AccountId) -> Answer {
        let session = self.session_mut(id)?;
        if session.users.iter().any(|(_, owner)| *owner == account) {
            return Err(ApiError::STREAM_ACTIVE);
        }
        if session.users.len() >= MOST_USERS || session.next_user >= MOST_USERS_EVER {
            return Err(ApiError::UNSUPPORTED);
        }
        let number = session.next_user;
        session.next_user += 1;
        session.users.push((number, account));
        Ok(Object::new().raw("subscriptionId", number).end())
    }

    fn session_json(&self, id: ClientId, caller: &Caller) -> Answer {
        let session = self.session(id).ok_or(ApiError::DISCONNECTED)?;
        let opened = self.clients.get(&id).map_or(caller.now, |client| client.opened);
        let (key, since) = match &session.logon {
            Some((key, _, since)) => (super::json::string(key), caller.unit.of(*since).to_string()),
            None => ("null".to_owned(), "null".to_owned()),
        };
        Ok(Object::new()
            .raw("apiKey", key)
            .raw("authorizedSince", since)
            .raw("connectedSince", caller.unit.of(opened))
            .raw("returnRateLimits", session.limits)
            .raw("serverTime", caller.time())
            .raw("userDataStream", !session.users.is_empty())
            .end())
    }

    /// Sends an answer. `limits` is the request's own wish about `rateLimits`.
    fn reply(&mut self, id: ClientId, number: &Value, answer: &Answer, limits: Option<bool>) {
        let wanted = limits.or_else(|| self.session(id).map(|session| session.limits)).unwrap_or(true);
        let Some(caller) = self.caller(id, None) else { return };
        let mut object = Object::new().raw("id", number);
        object = match answer {
            Ok(text) => object.raw("status", 200).raw("result", text),
            Err(error) => {
                let data = error.retry_after.map(|until| {
                    let now = caller.now.0 / 1_000_000;
                    Object::new().raw("serverTime", now).raw("retryAfter", until).end()
                });
                let error_object = Object::new()
                    .raw("code", error.code)
                    .text("msg", &error.message)
                    .maybe("data", error.data.clone().or(data))
                    .end();
                object.raw("status", error.status).raw("error", error_object)
            }
        };
        if wanted {
            let account = self.session(id).and_then(|session| session.logon.as_ref()).map(|(_, account, _)| *account);
            object = object.raw("rateLimits", self.venue.limits.reply_list(caller.address, account, caller.now));
        }
        self.send(id, Outgoing::Text(object.end()));
    }
}
