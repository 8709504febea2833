//! The venue's limits, kept before it has to refuse: requests are weighed and orders counted in
//! windows aligned to the venue's clock, as the venue counts them.
//!
//! An entry leaves a tenth of each limit to exits, cancels and questions. After a 429 or 418 nothing
//! is sent until the venue's `retryAfter`; where only the orders were too many, only they wait.

use crate::core::{Nanos, Span};

/// What a window allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitParams {
    /// Request weight a minute. The venue's documents say 6000 on spot, 2400 on futures.
    pub weight_per_minute: u32,
    /// Orders in ten seconds. The documents show 50 on spot, 300 on futures.
    pub orders_per_10s: u32,
    /// Orders in a day.
    pub orders_per_day: u32,
}

impl Default for LimitParams {
    fn default() -> Self {
        Self { weight_per_minute: 6000, orders_per_10s: 50, orders_per_day: 160_000 }
    }
}

/// How important a request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Importance {
    /// Opens something: the first to be left out.
    Entry,
    /// Closes, cancels or asks.
    Rest,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    span: Span,
    limit: u32,
    used: u32,
    index: u64,
}

impl Window {
    const fn new(span: Span, limit: u32) -> Self {
        Self { span, limit, used: 0, index: 0 }
    }

    fn room(&mut self, now: Nanos, cost: u32, importance: Importance) -> bool {
        let index = now.0 / self.span.0;
        if index != self.index {
            (self.index, self.used) = (index, 0);
        }
        let limit = if importance == Importance::Entry { self.limit - self.limit / 10 } else { self.limit };
        self.used.saturating_add(cost) <= limit
    }
}

/// When the window of this length that holds `now` ends.
#[must_use]
pub fn window_end(now: Nanos, span: Span) -> Nanos {
    let span = span.0.max(1);
    Nanos((now.0 / span).saturating_add(1).saturating_mul(span))
}

/// The running windows.
#[derive(Clone, Debug)]
pub struct Limits {
    weight: Window,
    orders: [Window; 2],
    /// The venue's own count of our orders is full until then.
    orders_until: Nanos,
    silent_until: Nanos,
}

impl Limits {
    /// Nothing used yet.
    #[must_use]
    pub fn new(params: &LimitParams) -> Self {
        Self {
            weight: Window::new(Span::seconds(60), params.weight_per_minute),
            orders: [
                Window::new(Span::seconds(10), params.orders_per_10s),
                Window::new(Span::seconds(86_400), params.orders_per_day),
            ],
            orders_until: Nanos::NONE,
            silent_until: Nanos::NONE,
        }
    }

    /// Takes the weight of a request at the venue's time `now`; false when it must not be sent.
    pub fn take(&mut self, now: Nanos, weight: u32, importance: Importance) -> bool {
        if now < self.silent_until || !self.weight.room(now, weight, importance) {
            return false;
        }
        self.weight.used += weight;
        true
    }

    /// Takes the weight and the count of an order.
    pub fn take_order(&mut self, now: Nanos, weight: u32, importance: Importance) -> bool {
        if now < self.orders_until
            || !self.orders.iter_mut().all(|window| window.room(now, 1, importance))
            || !self.take(now, weight, importance)
        {
            return false;
        }
        for window in &mut self.orders {
            window.used += 1;
        }
        true
    }

    /// The venue wants silence until then.
    pub fn silence(&mut self, until: Nanos) {
        self.silent_until = self.silent_until.max(until);
    }

    /// The venue takes no more orders until then; everything else may be sent.
    pub fn stop_orders(&mut self, until: Nanos) {
        self.orders_until = self.orders_until.max(until);
    }

    /// When a request that was not [taken](Self::take) at the venue's time `now` is worth another try.
    #[must_use]
    pub fn opens(&self, now: Nanos) -> Nanos {
        if now < self.silent_until { self.silent_until } else { window_end(now, self.weight.span) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_leave_a_tenth_to_exits_and_a_new_window_begins_on_the_clock() {
        let mut limits = Limits::new(&LimitParams { weight_per_minute: 1000, orders_per_10s: 20, orders_per_day: 30 });
        let at = |second: u64| Nanos(Span::seconds(1_700_000_000 + second).0);
        let mut count =
            |second, importance| (0..100).take_while(|_| limits.take_order(at(second), 1, importance)).count();
        assert_eq!(count(1, Importance::Entry), 18);
        assert_eq!(count(9, Importance::Rest), 2);
        assert_eq!(count(9, Importance::Rest), 0);
        // 1,700,000,010 begins a window of ten seconds; the day allows ten more.
        assert_eq!(count(10, Importance::Entry), 7);
        assert_eq!(count(10, Importance::Rest), 3);
        limits.silence(at(100));
        assert!(!limits.take(at(99), 1, Importance::Rest));
        assert!(limits.take(at(100), 1, Importance::Rest));
        assert!(!limits.take(at(100), 1000, Importance::Rest));
    }

    #[test]
    fn too_many_orders_stop_orders_and_nothing_else() {
        let mut limits = Limits::new(&LimitParams { weight_per_minute: 10, orders_per_10s: 20, orders_per_day: 30 });
        let at = |second: u64| Nanos(Span::seconds(1_700_000_000 + second).0);
        limits.stop_orders(at(10));
        limits.stop_orders(at(5));
        assert!(!limits.take_order(at(9), 1, Importance::Rest));
        assert!(limits.take(at(9), 1, Importance::Rest));
        assert!(limits.take_order(at(10), 1, Importance::Rest));
        // What does not fit is worth a try when the silence, or the minute, is over: 1,699,999,980 began one.
        limits.silence(at(20));
        assert_eq!((limits.opens(at(19)), limits.opens(at(20))), (at(20), at(40)));
    }
}
