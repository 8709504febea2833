//! What the venue answers when it says no: Binance's codes with Binance's exact texts, because
//! clients branch on both. Source: the venue's `errors.md`.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A refusal on its way to a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ApiError {
    /// HTTP status, and `status` of a WebSocket API reply.
    pub status: u16,
    /// Binance's code; negative.
    pub code: i32,
    /// Binance's text.
    pub message: Cow<'static, str>,
    /// When to try again, epoch milliseconds; with 429 and 418.
    pub retry_after: Option<u64>,
    /// More members of the error object, as JSON text (`cancelReplace`).
    pub data: Option<String>,
}

impl ApiError {
    const fn fixed(status: u16, code: i32, message: &'static str) -> Self {
        Self { status, code, message: Cow::Borrowed(message), retry_after: None, data: None }
    }

    fn with(code: i32, message: String) -> Self {
        Self { status: 400, code, message: Cow::Owned(message), retry_after: None, data: None }
    }

    /// `{"code":..,"msg":".."}`, with the data of the kinds that have some.
    pub(super) fn json(&self) -> String {
        let mut out = format!("{{\"code\":{},\"msg\":", self.code);
        super::json::escape(&mut out, &self.message);
        if let Some(data) = &self.data {
            let _ = write!(out, ",\"data\":{data}");
        }
        out.push('}');
        out
    }
}

/// Refusals whose text never varies.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $status:literal, $code:literal, $message:literal;)*) => {
        impl ApiError { $($(#[$doc])* pub(super) const $name: Self = Self::fixed($status, $code, $message);)* }
    };
}

refusals! {
    /// Internal failure: the outcome is unknown to the client.
    UNKNOWN = 503, -1000, "An unknown error occurred while processing the request.";
    /// Internal failure.
    DISCONNECTED = 500, -1001, "Internal error; unable to process your request. Please try again.";
    /// The outcome is unknown to the client.
    TIMEOUT = 503, -1007, "Timeout waiting for response from backend server. Send status unknown; execution status unknown.";
    /// Quantity not above zero.
    INVALID_QUANTITY = 400, -1013, "Invalid quantity.";
    /// Price not above zero.
    INVALID_PRICE = 400, -1013, "Invalid price.";
    /// A combination of parameters that is no order here.
    UNSUPPORTED_COMBINATION = 400, -1014, "Unsupported order combination.";
    /// Not served here.
    UNSUPPORTED = 400, -1020, "This operation is not supported.";
    /// Too old.
    TIMESTAMP_OLD = 400, -1021, "Timestamp for this request is outside of the recvWindow.";
    /// From the future.
    TIMESTAMP_AHEAD = 400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.";
    /// The signature does not fit the bytes.
    SIGNATURE = 400, -1022, "Signature for this request is not valid.";
    /// The same parameter twice.
    DUPLICATE_PARAMETER = 400, -1101, "Duplicate values for a parameter detected.";
    /// Time in force unknown.
    INVALID_TIF = 400, -1115, "Invalid timeInForce.";
    /// Order type unknown.
    INVALID_TYPE = 400, -1116, "Invalid orderType.";
    /// Side unknown.
    INVALID_SIDE = 400, -1117, "Invalid side.";
    /// Kline interval unknown.
    INVALID_INTERVAL = 400, -1120, "Invalid interval.";
    /// Symbol unknown.
    INVALID_SYMBOL = 400, -1121, "Invalid symbol.";
    /// Futures: the user stream's key is not known.
    INVALID_LISTEN_KEY = 400, -1125, "This listenKey does not exist.";
    /// Neither or both of two parameters.
    BAD_COMBINATION = 400, -1128, "Combination of optional parameters invalid.";
    /// Above 60,000 ms.
    RECV_WINDOW = 400, -1131, "recvWindow must be less than 60000";
    /// Not JSON.
    INVALID_JSON = 400, -1135, "Invalid JSON Request";
    /// `cancelRestrictions` unknown.
    INVALID_RESTRICTIONS = 400, -1145, "`cancelRestrictions` has to be either `ONLY_NEW` or `ONLY_PARTIALLY_FILLED`.";
    /// `timeUnit` unknown.
    INVALID_TIME_UNIT = 400, -1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.";
    /// Not enough of the asset.
    INSUFFICIENT_BALANCE = 400, -2010, "Account has insufficient balance for requested action.";
    /// The client order id belongs to an open order.
    DUPLICATE_ORDER = 400, -2010, "Duplicate order sent.";
    /// A post-only order that would trade.
    WOULD_MATCH = 400, -2010, "Order would immediately match and take.";
    /// No market yet.
    MARKET_CLOSED = 400, -2010, "Market is closed.";
    /// `quoteOrderQty` buys less than the smallest quantity.
    BOOK_TOO_THIN = 400, -2010, "Order book liquidity is less than symbol minimum quantity.";
    /// Injected: the venue refuses for reasons of its own.
    REFUSED = 400, -2010, "This action is disabled on this account.";
    /// Injected: the price moved.
    REQUOTE = 400, -2010, "The market has moved; requote.";
    /// Nothing to cancel.
    CANCEL_UNKNOWN = 400, -2011, "Unknown order sent.";
    /// The order is not in the state that the cancel asks for.
    CANCEL_RESTRICTED = 400, -2011, "Order was not canceled due to cancel restrictions.";
    /// Never heard of.
    NO_SUCH_ORDER = 400, -2013, "Order does not exist.";
    /// Key with illegal characters.
    KEY_FORMAT = 401, -2014, "API-key format invalid.";
    /// Key unknown, cut off, or of the wrong kind.
    KEY_REJECTED = 401, -2015, "Invalid API-key, IP, or permissions for action.";
    /// Cancel-replace, both halves.
    REPLACE_FAILED = 400, -2022, "Order cancel-replace failed.";
    /// Cancel-replace, one half.
    REPLACE_PARTLY_FAILED = 409, -2021, "Order cancel-replace partially failed.";
    /// Amend to a quantity that is no reduction.
    AMEND_REFUSED = 400, -2038, "Order amend is rejected: the quantity must be above what has traded and below what was ordered.";
    /// The user stream is already open on this connection.
    STREAM_ACTIVE = 400, -2035, "User Data Stream subscription already active.";
    /// It is not open.
    STREAM_INACTIVE = 400, -2036, "User Data Stream subscription not active.";
    /// Futures: nothing to reduce.
    REDUCE_ONLY = 400, -2022, "ReduceOnly Order is rejected.";
    /// Futures: not enough margin.
    MARGIN = 400, -2019, "Margin is insufficient.";
    /// Futures: a post-only order that would trade.
    POST_ONLY = 400, -5022, "Due to the order could not be executed as maker, the Post Only order will be rejected.";
}

impl ApiError {
    /// A path or method that does not exist.
    pub(super) fn not_found() -> Self {
        Self::fixed(404, -1020, "This operation is not supported.")
    }

    /// -1013 of a filter.
    pub(super) fn filter(name: &str) -> Self {
        Self::with(-1013, format!("Filter failure: {name}"))
    }

    /// -1102: a mandatory parameter.
    pub(super) fn mandatory(name: &str) -> Self {
        Self::with(-1102, format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."))
    }

    /// -1102: one of two parameters.
    pub(super) fn one_of(first: &str, second: &str) -> Self {
        Self::with(-1102, format!("Param '{first}' or '{second}' must be sent, but both were empty/null!"))
    }

    /// -1106.
    pub(super) fn not_required(name: &str) -> Self {
        Self::with(-1106, format!("Parameter '{name}' sent when not required."))
    }

    /// -1100.
    pub(super) fn illegal(name: &str, legal: &str) -> Self {
        Self::with(-1100, format!("Illegal characters found in parameter '{name}'; legal range is '{legal}'."))
    }

    /// -1111.
    pub(super) fn precision(name: &str) -> Self {
        Self::with(-1111, format!("Parameter '{name}' has too much precision."))
    }

    /// -1130.
    pub(super) fn invalid(name: &str) -> Self {
        Self::with(-1130, format!("Data sent for parameter '{name}' is not valid."))
    }

    /// -1003, HTTP 429.
    pub(super) fn too_much_weight(limit: u64, interval: &str, retry_after: u64) -> Self {
        let message = format!(
            "Too much request weight used; current limit is {limit} request weight per {interval}. Please use WebSocket Streams for live updates to avoid polling the API."
        );
        Self { status: 429, retry_after: Some(retry_after), ..Self::with(-1003, message) }
    }

    /// -1003, HTTP 418: the address is banned.
    pub(super) fn banned(until: u64) -> Self {
        let message = format!(
            "Way too much request weight used; IP banned until {until}. Please use WebSocket Streams for live updates to avoid bans."
        );
        Self { status: 418, retry_after: Some(until), ..Self::with(-1003, message) }
    }

    /// -1015, HTTP 429.
    pub(super) fn too_many_orders(limit: u64, interval: &str, retry_after: u64) -> Self {
        let message = format!("Too many new orders; current limit is {limit} orders per {interval}.");
        Self { status: 429, retry_after: Some(retry_after), ..Self::with(-1015, message) }
    }
}
