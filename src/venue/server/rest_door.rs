//! HTTP: upgrades, the operator's own paths, and the REST endpoints behind signature and limits.

use std::fmt::Write as _;

use super::caller::TimeUnit;
use super::endpoints::{Answer, Endpoint, Security, find_http};
use super::error::ApiError;
use super::exchange::Market;
use super::faults::Fault;
use super::hub::{ClientId, Door, Hub, Outgoing, Session, Subscriptions};
use super::keys::{Signed, check_signature, check_time, rest_payload};
use super::params::Params;
use super::records::AccountId;
use super::streams::Stream;
use super::wire::{Request, Response};

impl Hub {
    /// An HTTP request.
    pub(super) fn serve_request(&mut self, id: ClientId, request: &Request) {
        let Some(address) = self.clients.get(&id).map(|client| client.address) else { return };
        if request.path.starts_with("/admin/") {
            let (status, body) = if address.is_loopback() {
                self.admin(request)
            } else {
                (403, "{\"error\":\"the operator's paths are served on loopback only\"}".to_owned())
            };
            let response = Response { close: request.close, ..Response::new(status, body) };
            return self.send(id, Outgoing::Http(response));
        }
        if self.faults.strikes_key(Fault::Disconnect, request.api_key.as_deref()) {
            return self.close(id);
        }
        if self.faults.strikes_key(Fault::Stall, request.api_key.as_deref()) {
            self.stall(id);
        }
        if let Some(key) = &request.websocket_key {
            return match self.open_door(id, request) {
                Ok(()) => self.send(id, Outgoing::Upgrade(key.clone())),
                Err(error) => self.respond(id, request, &Err(error), None),
            };
        }
        let (answer, account) = self.rest(id, request);
        self.respond(id, request, &answer, account);
    }

    /// Decides what a WebSocket is for, by its path.
    fn open_door(&mut self, id: ClientId, request: &Request) -> Result<(), ApiError> {
        let params = Params::from_form(&request.query, "")?;
        let unit = params.get("timeUnit").map_or(Ok(TimeUnit::Milli), TimeUnit::parse)?;
        let (path, sbe) = match request.path.strip_prefix("/sbe") {
            Some(rest) => (rest, true),
            None => (request.path.as_str(), false),
        };
        // Futures split their hosts into public, market and private; each takes the same paths below.
        let path = ["/public", "/market"].iter().find_map(|host| path.strip_prefix(host)).unwrap_or(path);
        let door = if path.starts_with("/ws-api/") || path.starts_with("/ws-fapi/") {
            let limits = params.flag("returnRateLimits")?.unwrap_or(true);
            Door::Api(Session { logon: None, limits, users: Vec::new(), next_user: 0 })
        } else if let Some(account) = self.listen_key(path, &params)? {
            Door::User(account)
        } else if let Some(rest) = path.strip_prefix("/ws").or_else(|| path.strip_prefix("/stream")) {
            if sbe && !self.venue.keys.find(request.api_key.as_deref())?.is_ed25519() {
                return Err(ApiError::KEY_REJECTED);
            }
            let mut subscriptions =
                Subscriptions { combined: path.starts_with("/stream"), sbe, ..Subscriptions::default() };
            let named = params.get("streams").unwrap_or("").split('/').chain(rest.split('/'));
            // A tail that is no stream is accepted and means nothing: real clients append numbers.
            for name in named.take(1_024) {
                if let Some(stream) = Stream::parse(name, &self.venue.exchange) {
                    subscriptions.streams.insert(stream, name.to_owned());
                }
            }
            Door::Streams(subscriptions)
        } else {
            return Err(ApiError::not_found());
        };
        let machine = self.machine_now();
        if let Some(client) = self.clients.get_mut(&id) {
            (client.door, client.unit) = (door, unit);
            client.begin(machine);
        }
        Ok(())
    }

    /// Futures: the account of a user stream's key, `/ws/<key>` or `/private/ws?listenKey=`.
    fn listen_key(&self, path: &str, params: &Params) -> Result<Option<AccountId>, ApiError> {
        if self.venue.exchange.market != Market::Futures {
            return Ok(None);
        }
        if path.starts_with("/private/") {
            let key = params.get("listenKey").unwrap_or_else(|| path.rsplit('/').next().unwrap_or_default());
            return self.listen_keys.get(key).copied().map(Some).ok_or(ApiError::INVALID_LISTEN_KEY);
        }
        Ok(path.strip_prefix("/ws/").and_then(|key| self.listen_keys.get(key)).copied())
    }

    fn rest(&mut self, id: ClientId, request: &Request) -> (Answer, Option<AccountId>) {
        let mut account = None;
        let answer = self.rest_answer(id, request, &mut account);
        (answer, account)
    }

    fn rest_answer(&mut self, id: ClientId, request: &Request, account: &mut Option<AccountId>) -> Answer {
        let endpoint = find_http(self.venue.exchange.market, &request.method, &request.path)?;
        let unit = request.time_unit.as_deref().map_or(Ok(TimeUnit::Milli), TimeUnit::parse)?;
        if let Some(client) = self.clients.get_mut(&id) {
            client.unit = unit;
        }
        let mut caller = self.caller(id, None).ok_or(ApiError::DISCONNECTED)?;
        self.venue.limits.request(caller.address, endpoint.weight, caller.now)?;
        let is_form = !request.body.trim_start().starts_with('{');
        let params = Params::from_form(&request.query, if is_form { &request.body } else { "" })?;
        if endpoint.security != Security::Public {
            let key = self.venue.keys.find(request.api_key.as_deref())?;
            caller.account = Some(key.account);
            if endpoint.security == Security::Signed {
                let payload = rest_payload(&request.query, &request.body);
                check_signature(key, &Signed::Exactly(&payload), &params)?;
                check_time(&params, caller.now)?;
            }
        }
        *account = caller.account;
        self.before(endpoint, request.api_key.as_deref())?;
        let answer = self.run(endpoint, &caller, &params);
        let counts = endpoint.is_order || endpoint.http == "DELETE";
        if counts && answer.is_ok() && self.faults.strikes_key(Fault::LostAck, request.api_key.as_deref()) {
            return Err(ApiError::TIMEOUT);
        }
        answer
    }

    /// Runs an endpoint; the few that belong to the connections are served here.
    pub(super) fn run(&mut self, endpoint: &Endpoint, caller: &super::caller::Caller, params: &Params) -> Answer {
        let answer = (endpoint.run)(&mut self.venue, caller, params)?;
        if endpoint.path.ends_with("/listenKey")
            && let Some(account) = caller.account
        {
            self.keep_listen_key(endpoint.http, account);
        }
        Ok(answer)
    }

    fn keep_listen_key(&mut self, http: &str, account: AccountId) {
        let key = super::futures::listen_key(account);
        if http == "DELETE" {
            self.listen_keys.remove(&key);
        } else {
            self.listen_keys.insert(key, account);
        }
    }

    /// Faults that strike a signed request before it is executed.
    pub(super) fn before(&mut self, endpoint: &Endpoint, key: Option<&str>) -> Result<(), ApiError> {
        if endpoint.security != Security::Signed {
            return Ok(());
        }
        let retry_after = self.now().0 / 1_000_000 + 1_000;
        if self.faults.strikes_key(Fault::TooManyRequests, key) {
            return Err(ApiError::too_much_weight(self.venue.limits.params.weight, "1 MINUTE", retry_after));
        }
        if self.faults.strikes_key(Fault::ServerError, key) {
            return Err(ApiError::UNKNOWN);
        }
        if endpoint.is_order && self.faults.strikes_key(Fault::Reject, key) {
            return Err(ApiError::REFUSED);
        }
        if endpoint.is_order && self.faults.strikes_key(Fault::Requote, key) {
            return Err(ApiError::REQUOTE);
        }
        Ok(())
    }

    fn respond(&mut self, id: ClientId, request: &Request, answer: &Answer, account: Option<AccountId>) {
        let Some(address) = self.clients.get(&id).map(|client| client.address) else { return };
        let now = self.now();
        let (status, body, retry_after) = match answer {
            Ok(body) => (200, body.clone(), None),
            Err(error) => (error.status, error.json(), error.retry_after),
        };
        let weight = self.venue.limits.weight_used(address, now);
        let mut headers = format!("x-mbx-used-weight: {weight}\r\nx-mbx-used-weight-1m: {weight}\r\n");
        let placed = request.method == "POST" && request.path.ends_with("/order");
        if let Some(account) = account.filter(|_| placed && status == 200) {
            let (short, day) = self.venue.limits.orders_used(account, now);
            let _ = write!(headers, "x-mbx-order-count-10s: {short}\r\nx-mbx-order-count-1d: {day}\r\n");
        }
        if let Some(until) = retry_after {
            let seconds = (until.saturating_sub(now.0 / 1_000_000)).div_ceil(1_000).max(1);
            let _ = write!(headers, "Retry-After: {seconds}\r\n");
        }
        self.send(id, Outgoing::Http(Response { status, body, headers, close: request.close }));
    }
}
