//! The venue's refusals as data: what a status and code mean for an order, over HTTP and WebSocket
//! alike. Codes are stable; texts are consulted only where one code covers several reasons.
//!
//! | outcome | what is known |
//! |---|---|
//! | refused | nothing was done |
//! | limited | nothing was done, and we must be silent for a while |
//! | unknown | it may have been done: ask |

use crate::core::Span;
use crate::core::payload::RejectCode;

/// What a refusal says about the fate of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Definitely not done.
    Refused,
    /// Definitely not done; asked too often.
    Limited,
    /// Possibly done.
    Unknown,
}

/// Codes that leave the outcome open: unknown error, disconnected, unexpected answer, time-out.
const UNKNOWN: [i64; 4] = [-1000, -1001, -1006, -1007];
/// Too many orders: the account's count of them is full, and nothing else.
pub const TOO_MANY_ORDERS: i64 = -1015;
/// Too many requests, too many orders.
const LIMITED: [i64; 2] = [-1003, TOO_MANY_ORDERS];
/// Overloaded: not executed.
const OVERLOADED: i64 = -1008;
/// The new order was refused; the text says why.
const NEW_ORDER_REJECTED: i64 = -2010;

/// What an answer other than success means.
#[must_use]
pub fn outcome(status: u16, code: i64, message: &str) -> Outcome {
    match (status, code) {
        (429 | 418, _) => Outcome::Limited,
        _ if LIMITED.contains(&code) => Outcome::Limited,
        _ if UNKNOWN.contains(&code) => Outcome::Unknown,
        // Futures say 503 for three things; two of them are definite.
        (503, OVERLOADED) => Outcome::Refused,
        (503, 0) if message.contains("Service Unavailable") => Outcome::Refused,
        // An order with this client id is open: ours, sent before. It lives.
        (_, NEW_ORDER_REJECTED) if message.starts_with("Duplicate order") => Outcome::Unknown,
        (408 | 500.., _) | (_, DUPLICATE_CLIENT_ID) => Outcome::Unknown,
        _ => Outcome::Refused,
    }
}

/// Futures' own code for a client id that is already in use.
const DUPLICATE_CLIENT_ID: i64 = -4116;

/// What the order manager is told about a definite refusal of an order.
#[must_use]
pub fn reject_code(status: u16, code: i64, message: &str) -> RejectCode {
    if matches!(status, 429 | 418) || LIMITED.contains(&code) || code == OVERLOADED {
        return RejectCode::RateLimit;
    }
    if code == NEW_ORDER_REJECTED || code == -1013 {
        let by_text = BY_TEXT.iter().find(|(part, _)| message.contains(part));
        if let Some((_, reason)) = by_text {
            return *reason;
        }
    }
    BY_CODE.iter().find(|(listed, _)| *listed == code).map_or(RejectCode::Other, |(_, reason)| *reason)
}

/// Reasons under [`NEW_ORDER_REJECTED`] and -1013, by a part of the text.
const BY_TEXT: [(&str, RejectCode); 7] = [
    ("insufficient balance", RejectCode::InsufficientFunds),
    ("immediately match and take", RejectCode::Requote),
    ("Market is closed", RejectCode::NoMarket),
    ("no liquidity", RejectCode::NoMarket),
    ("Stop price would trigger", RejectCode::Requote),
    ("Filter failure", RejectCode::Filter),
    ("not supported for this symbol", RejectCode::Filter),
];

/// Reasons by code: spot, then futures.
const BY_CODE: [(i64, RejectCode); 22] = [
    (-1013, RejectCode::Filter),
    (-1111, RejectCode::Filter),
    (-1100, RejectCode::Other),
    (-1021, RejectCode::Other),
    (-1121, RejectCode::NoMarket),
    (-2018, RejectCode::InsufficientFunds),
    (-2019, RejectCode::InsufficientFunds),
    (-2020, RejectCode::NoMarket),
    (-2022, RejectCode::Other),
    (-2027, RejectCode::Filter),
    (-4001, RejectCode::Filter),
    (-4002, RejectCode::Filter),
    (-4003, RejectCode::Filter),
    (-4004, RejectCode::Filter),
    (-4005, RejectCode::Filter),
    (-4014, RejectCode::Filter),
    (-4023, RejectCode::Filter),
    (-4131, RejectCode::Requote),
    (-4140, RejectCode::NoMarket),
    (-4164, RejectCode::Filter),
    (-5021, RejectCode::NoMarket),
    (-5022, RejectCode::Requote),
];

/// The window in which there were [too many orders](TOO_MANY_ORDERS), aligned to the venue's clock: "current limit is
/// 50 orders per 10 SECOND."
#[must_use]
pub fn order_window(message: &str) -> Span {
    let named = [("DAY", 86_400), ("MINUTE", 60)].into_iter().find(|(unit, _)| message.contains(unit));
    Span::seconds(named.map_or(10, |(_, seconds)| seconds))
}

/// Reject reasons of an executionReport (`r`), by name.
#[must_use]
pub fn reject_reason(reason: &str) -> RejectCode {
    match reason {
        "INSUFFICIENT_BALANCES" | "INSUFFICIENT_BALANCE" => RejectCode::InsufficientFunds,
        "WOULD_MATCH_IMMEDIATELY" => RejectCode::Requote,
        "MARKET_CLOSED" | "NO_LIQUIDITY" => RejectCode::NoMarket,
        _ => RejectCode::Other,
    }
}

/// Codes that mean the key itself is refused: stop and tell a person.
pub const KEY_REFUSED: [i64; 4] = [-1022, -1099, -2014, -2015];
/// Our clock and the venue's disagree.
pub const CLOCK: i64 = -1021;
/// No such order.
pub const NO_SUCH_ORDER: i64 = -2013;
/// A cancel was refused: the order is done or unknown.
pub const CANCEL_REJECTED: i64 = -2011;
/// The account's events are already coming over this connection.
pub const ALREADY_SUBSCRIBED: i64 = -2035;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_done_is_never_a_refusal() {
        for (status, code, message) in [
            (500, 0, ""),
            (502, 0, "<html>"),
            (504, -1007, "Timeout waiting for response from backend server."),
            (400, -1006, ""),
            (200, -1000, ""),
            (408, 0, ""),
            (503, 0, "Unknown error, please check your request or try again later."),
            (400, -2010, "Duplicate order sent."),
            (400, -4116, "ClientOrderId is duplicated."),
        ] {
            assert_eq!(outcome(status, code, message), Outcome::Unknown, "{status} {code} {message}");
        }
        for (status, code, message) in
            [(429, -1003, ""), (418, 0, ""), (400, -1015, "Too many new orders."), (429, -1015, "")]
        {
            assert_eq!(outcome(status, code, message), Outcome::Limited, "{status} {code} {message}");
        }
        for (status, code, message) in [
            (400, -2010, "Account has insufficient balance"),
            (503, -1008, ""),
            (503, 0, "Service Unavailable."),
            (403, 0, ""),
        ] {
            assert_eq!(outcome(status, code, message), Outcome::Refused, "{status} {code} {message}");
        }
    }

    #[test]
    fn reasons_are_told_apart() {
        for (status, code, message, reason) in [
            (400, -2010, "Account has insufficient balance for requested action.", RejectCode::InsufficientFunds),
            (400, -2010, "Order would immediately match and take.", RejectCode::Requote),
            (400, -2010, "Market is closed.", RejectCode::NoMarket),
            (400, -2010, "This action is disabled on this account.", RejectCode::Other),
            (400, -1013, "Filter failure: LOT_SIZE", RejectCode::Filter),
            (400, -1111, "Parameter 'price' has too much precision.", RejectCode::Filter),
            (429, -1003, "Too much request weight used", RejectCode::RateLimit),
            (503, -1008, "", RejectCode::RateLimit),
            (400, -2019, "Margin is insufficient.", RejectCode::InsufficientFunds),
            (400, -5022, "", RejectCode::Requote),
            (400, -1021, "", RejectCode::Other),
        ] {
            assert_eq!(reject_code(status, code, message), reason, "{code} {message}");
        }
    }

    #[test]
    fn the_window_of_too_many_orders_is_named() {
        for (message, seconds) in [
            ("Too many new orders; current limit is 50 orders per 10 SECOND.", 10),
            ("Too many new orders; current limit is 1200 orders per 1 MINUTE.", 60),
            ("Too many new orders; current limit is 160000 orders per 1 DAY.", 86_400),
            ("", 10),
        ] {
            assert_eq!(order_window(message), Span::seconds(seconds), "{message}");
        }
    }
}
