//! Rate limits as the venue counts them: request weight by address, unfilled orders by account, in
//! windows aligned to the clock. A first fill gives one order back.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::core::{Nanos, Span};

use super::error::ApiError;
use super::json::{Object, array};
use super::records::AccountId;

const SECOND: u64 = crate::core::time::SECOND;
/// Most addresses remembered; a loopback venue sees a handful.
const ADDRESSES: usize = 1_024;

/// How much is allowed. Zero switches a limit off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitParams {
    /// Request weight per minute and address.
    pub weight: u64,
    /// Orders per 10 s and account.
    pub orders_10s: u64,
    /// Orders per day and account.
    pub orders_day: u64,
    /// Requests per 5 minutes and address.
    pub raw: u64,
    /// Messages per second on one stream connection.
    pub messages: u64,
    /// How long an address is banned that ignores 429.
    pub ban: Span,
}

impl Default for LimitParams {
    fn default() -> Self {
        Self { weight: 6_000, orders_10s: 100, orders_day: 200_000, raw: 61_000, messages: 5, ban: Span::seconds(120) }
    }
}

/// A count in a window aligned to the clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    start: u64,
    /// How many so far.
    pub count: u64,
}

impl Window {
    /// Adds to the window of `now`, emptying it first when a new one began.
    pub(super) fn add(&mut self, now: Nanos, width: u64, amount: u64) -> u64 {
        let start = now.0 - now.0 % width;
        if start != self.start {
            *self = Self { start, count: 0 };
        }
        self.count += amount;
        self.count
    }

    fn end_millis(self, width: u64) -> u64 {
        (self.start + width) / 1_000_000
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Visitor {
    weight: Window,
    raw: Window,
    refused: u64,
    banned_until: Nanos,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sender {
    short: Window,
    day: Window,
}

/// All counters.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// What is allowed.
    pub params: LimitParams,
    visitors: BTreeMap<IpAddr, Visitor>,
    senders: BTreeMap<AccountId, Sender>,
}

/// Requests past a 429 before an address is banned.
const PATIENCE: u64 = 500;
const MINUTE: u64 = 60 * SECOND;
const SHORT: u64 = 10 * SECOND;
const DAY: u64 = 86_400 * SECOND;

impl Limits {
    /// Nothing counted yet.
    pub(super) fn new(params: LimitParams) -> Self {
        Self { params, visitors: BTreeMap::new(), senders: BTreeMap::new() }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// 429 above the limit, 418 while banned.
    pub(super) fn request(&mut self, address: IpAddr, weight: u64, now: Nanos) -> Result<(), ApiError> {
        if self.visitors.len() >= ADDRESSES && !self.visitors.contains_key(&address) {
            self.visitors.clear();
        }
        let params = self.params;
        let visitor = self.visitors.entry(address).or_default();
        if now < visitor.banned_until {
            return Err(ApiError::banned(visitor.banned_until.0 / 1_000_000));
        }
        let used = visitor.weight.add(now, MINUTE, weight);
        let raw = visitor.raw.add(now, 5 * MINUTE, 1);
        let too_much = params.weight > 0 && used > params.weight;
        if !too_much && (params.raw == 0 || raw <= params.raw) {
            visitor.refused = 0;
            return Ok(());
        }
        visitor.refused += 1;
        if visitor.refused > PATIENCE {
            visitor.banned_until = now.plus(params.ban);
            visitor.refused = 0;
            return Err(ApiError::banned(visitor.banned_until.0 / 1_000_000));
        }
        Err(ApiError::too_much_weight(params.weight, "1 MINUTE", visitor.weight.end_millis(MINUTE)))
    }

    /// Counts an order; call before it is matched, and [`Limits::order_back`] if it was refused.
    ///
    /// # Errors
    /// 429 with -1015.
    pub(super) fn order(&mut self, account: AccountId, now: Nanos) -> Result<(), ApiError> {
        let params = self.params;
        let sender = self.senders.entry(account).or_default();
        let (short, day) = (sender.short.add(now, SHORT, 1), sender.day.add(now, DAY, 1));
        if params.orders_10s > 0 && short > params.orders_10s {
            self.order_back(account);
            let until = self.senders[&account].short.end_millis(SHORT);
            return Err(ApiError::too_many_orders(params.orders_10s, "10 SECOND", until));
        }
        if params.orders_day > 0 && day > params.orders_day {
            self.order_back(account);
            let until = self.senders[&account].day.end_millis(DAY);
            return Err(ApiError::too_many_orders(params.orders_day, "1 DAY", until));
        }
        Ok(())
    }

    /// An order that was refused, or that filled for the first time, no longer counts.
    pub(super) fn order_back(&mut self, account: AccountId) {
        let sender = self.senders.entry(account).or_default();
        sender.short.count = sender.short.count.saturating_sub(1);
        sender.day.count = sender.day.count.saturating_sub(1);
    }

    /// Weight used by an address in this minute.
    pub(super) fn weight_used(&mut self, address: IpAddr, now: Nanos) -> u64 {
        self.visitors.get_mut(&address).map_or(0, |visitor| visitor.weight.add(now, MINUTE, 0))
    }

    /// Orders counted for an account: in these 10 s, and today.
    pub(super) fn orders_used(&mut self, account: AccountId, now: Nanos) -> (u64, u64) {
        let sender = self.senders.entry(account).or_default();
        (sender.short.add(now, SHORT, 0), sender.day.add(now, DAY, 0))
    }

    /// `rateLimits` of `exchangeInfo`, without counts.
    pub(super) fn list(&self) -> String {
        let p = &self.params;
        array([
            row("REQUEST_WEIGHT", "MINUTE", 1, p.weight).end(),
            row("ORDERS", "SECOND", 10, p.orders_10s).end(),
            row("ORDERS", "DAY", 1, p.orders_day).end(),
            row("RAW_REQUESTS", "MINUTE", 5, p.raw).end(),
        ])
    }

    /// `rateLimits` of `account.rateLimits.orders`.
    pub(super) fn order_list(&mut self, account: AccountId, now: Nanos) -> String {
        let (short, day) = self.orders_used(account, now);
        let p = &self.params;
        array([
            row("ORDERS", "SECOND", 10, p.orders_10s).raw("count", short).end(),
            row("ORDERS", "DAY", 1, p.orders_day).raw("count", day).end(),
        ])
    }

    /// `rateLimits` of a WebSocket API reply.
    pub(super) fn reply_list(&mut self, address: IpAddr, account: Option<AccountId>, now: Nanos) -> String {
        let used = self.weight_used(address, now);
        let weight = row("REQUEST_WEIGHT", "MINUTE", 1, self.params.weight).raw("count", used).end();
        match account {
            None => array([weight]),
            Some(account) => {
                let orders = self.order_list(account, now);
                format!("[{},{weight}]", orders.trim_start_matches('[').trim_end_matches(']'))
            }
        }
    }
}

fn row(kind: &str, interval: &str, number: u64, limit: u64) -> Object {
    let limit = if limit == 0 { 1_000_000_000 } else { limit };
    Object::new().text("rateLimitType", kind).text("interval", interval).raw("intervalNum", number).raw("limit", limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_refuses_what_is_beyond_it_and_begins_anew_on_the_clock() {
        let mut limits = Limits::new(LimitParams { weight: 10, orders_10s: 2, ..LimitParams::default() });
        let (home, now) = (IpAddr::from([127, 0, 0, 1]), Nanos(1_700_000_000 * SECOND));
        assert_eq!(limits.request(home, 10, now), Ok(()));
        let refused = limits.request(home, 1, now).unwrap_err();
        assert_eq!((refused.status, refused.code), (429, -1003));
        assert_eq!(refused.retry_after.unwrap() % 60_000, 0, "the window ends on the minute");
        assert_eq!(limits.request(home, 1, now.plus(Span::seconds(60))), Ok(()));
        let account = AccountId(0);
        assert!(limits.order(account, now).is_ok() && limits.order(account, now).is_ok());
        assert_eq!(limits.order(account, now).unwrap_err().code, -1015);
        limits.order_back(account);
        assert_eq!(limits.order(account, now), Ok(()), "a fill gave one back");
    }

    #[test]
    fn an_address_that_ignores_429_is_banned_for_a_while() {
        let mut limits = Limits::new(LimitParams { weight: 1, ..LimitParams::default() });
        let (home, now) = (IpAddr::from([127, 0, 0, 1]), Nanos(1_700_000_000 * SECOND));
        let last = (0..=PATIENCE + 2).map(|_| limits.request(home, 1, now)).last().unwrap();
        assert_eq!(last.unwrap_err().status, 418);
        assert_eq!(limits.request(home, 1, now.plus(Span::seconds(180))), Ok(()));
    }
}
