//! API keys and the proof that a request comes from their owner: signature over the exact bytes, and
//! a timestamp within `recvWindow`. Several keys may belong to one account, and each can be cut off.

use crate::core::{Nanos, Span};
use crate::venue::binance::sign::Verifier;

use super::caller::timestamp;
use super::error::ApiError;
use super::params::Params;
use super::records::AccountId;

/// Largest `recvWindow`, milliseconds.
const LONGEST_WINDOW: u64 = 60_000;
/// `recvWindow` when none is sent, milliseconds.
const USUAL_WINDOW: u64 = 5_000;
/// A client's clock may be this far ahead, exclusive.
const AHEAD: Span = Span::millis(1_000);

/// One API key.
#[derive(Clone, Debug)]
pub(super) struct ApiKey {
    /// What the client sends.
    pub key: String,
    /// Whose account it trades on.
    pub account: AccountId,
    /// Checks its signatures.
    pub verifier: Verifier,
    /// False: every request with it is refused, as if the venue had revoked it.
    pub enabled: bool,
}

impl ApiKey {
    /// True for a key that may log a session on and read binary streams.
    pub(super) const fn is_ed25519(&self) -> bool {
        matches!(self.verifier, Verifier::Ed25519(_))
    }
}

/// All keys.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyRing {
    keys: Vec<ApiKey>,
}

impl KeyRing {
    /// Adds a key, or replaces the one of that name.
    pub(super) fn add(&mut self, key: ApiKey) {
        self.keys.retain(|have| have.key != key.key);
        self.keys.push(key);
    }

    /// Cuts a key off, or lets it in again; false when there is no such key.
    pub(super) fn enable(&mut self, key: &str, enabled: bool) -> bool {
        let found = self.keys.iter_mut().find(|have| have.key == key);
        found.map(|key| key.enabled = enabled).is_some()
    }

    /// The key that a client names.
    ///
    /// # Errors
    /// -2014 for an impossible key, -2015 for an unknown one or one that was cut off.
    pub(super) fn find(&self, key: Option<&str>) -> Result<&ApiKey, ApiError> {
        let key = key.filter(|key| !key.is_empty()).ok_or(ApiError::KEY_FORMAT)?;
        if key.len() > 128 || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Err(ApiError::KEY_FORMAT);
        }
        self.keys.iter().find(|have| have.key == key && have.enabled).ok_or(ApiError::KEY_REJECTED)
    }
}

/// What a signature must cover: the REST form is one text, the WebSocket form has two spellings in use.
pub(super) enum Signed<'a> {
    /// These exact bytes.
    Exactly(&'a str),
    /// The parameters, plain or percent-encoded.
    Parameters(&'a Params),
}

/// Checks a signature.
///
/// # Errors
/// -1102 when there is none, -1022 when it does not fit.
pub(super) fn check_signature(key: &ApiKey, signed: &Signed<'_>, params: &Params) -> Result<(), ApiError> {
    let signature = params.required("signature")?.as_bytes();
    let fits = match signed {
        Signed::Exactly(text) => key.verifier.verify(text.as_bytes(), signature),
        Signed::Parameters(params) => [false, true]
            .into_iter()
            .any(|encoded| key.verifier.verify(params.signed_text(encoded).as_bytes(), signature)),
    };
    if fits { Ok(()) } else { Err(ApiError::SIGNATURE) }
}

/// Checks the timestamp of a signed request.
///
/// # Errors
/// -1102 without one, -1021 outside the window, -1131 for a window beyond a minute.
pub(super) fn check_time(params: &Params, now: Nanos) -> Result<(), ApiError> {
    params.required("timestamp")?;
    let sent = timestamp(params.number("timestamp")?.unwrap_or_default());
    let window = match params.get("recvWindow") {
        None => Span::millis(USUAL_WINDOW),
        Some(text) => window(text)?,
    };
    if sent >= now.plus(AHEAD) {
        return Err(ApiError::TIMESTAMP_AHEAD);
    }
    if now.since(sent) > window { Err(ApiError::TIMESTAMP_OLD) } else { Ok(()) }
}

/// Milliseconds with up to three digits after the point.
fn window(text: &str) -> Result<Span, ApiError> {
    let illegal = || ApiError::illegal("recvWindow", "^[0-9]{1,5}(\\.[0-9]{1,3})?$");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let plain = |part: &str| !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || fraction.len() > 3 {
        return Err(illegal());
    }
    let whole: u64 = whole.parse().map_err(|_| illegal())?;
    let micros: u64 = format!("{fraction:0<3}").parse().map_err(|_| illegal())?;
    if whole > LONGEST_WINDOW || (whole == LONGEST_WINDOW && micros > 0) {
        return Err(ApiError::RECV_WINDOW);
    }
    Ok(Span(whole * 1_000_000 + micros * 1_000))
}

/// The bytes of a REST request that its signature covers: query and body without `signature=...`.
pub(super) fn rest_payload(query: &str, body: &str) -> String {
    let strip =
        |part: &str| part.split('&').filter(|pair| !pair.starts_with("signature=")).collect::<Vec<_>>().join("&");
    strip(query) + &strip(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_good_for_its_window_and_not_from_the_future() {
        let now = Nanos(1_700_000_000_000 * 1_000_000);
        let check = |query: &str| check_time(&Params::from_form(query, "").unwrap(), now);
        assert_eq!(check("timestamp=1700000000000"), Ok(()));
        assert_eq!(check("timestamp=1700000000000000"), Ok(()), "microseconds");
        assert_eq!(check("timestamp=1699999995000"), Ok(()));
        assert_eq!(check("timestamp=1699999994999"), Err(ApiError::TIMESTAMP_OLD));
        assert_eq!(check("timestamp=1699999994999&recvWindow=5001"), Ok(()));
        assert_eq!(check("timestamp=1699999999998&recvWindow=1.5"), Err(ApiError::TIMESTAMP_OLD));
        assert_eq!(check("timestamp=1700000000999"), Ok(()));
        assert_eq!(check("timestamp=1700000001000"), Err(ApiError::TIMESTAMP_AHEAD));
        assert_eq!(check("timestamp=1&recvWindow=60001"), Err(ApiError::RECV_WINDOW));
        assert_eq!(check("recvWindow=5"), Err(ApiError::mandatory("timestamp")));
        assert!(check("timestamp=99999999999999999999&recvWindow=5").is_err());
        assert!(check("timestamp=1700000000000&recvWindow=abc").is_err());
    }

    #[test]
    fn the_signature_is_cut_out_wherever_it_stands() {
        assert_eq!(rest_payload("a=1&signature=x&b=2", "c=3&signature=y"), "a=1&b=2c=3");
    }
}
