//! Who asks, when, and in which unit of time the answer is wanted.

use std::net::IpAddr;

use crate::core::Nanos;

use super::error::ApiError;
use super::records::AccountId;

/// Unit of every time in an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum TimeUnit {
    /// The default.
    #[default]
    Milli,
    /// `MICROSECOND`.
    Micro,
}

impl TimeUnit {
    /// An instant as the client wants it.
    pub(super) const fn of(self, time: Nanos) -> u64 {
        match self {
            Self::Milli => time.0 / 1_000_000,
            Self::Micro => time.0 / 1_000,
        }
    }

    /// From a header or URL parameter.
    ///
    /// # Errors
    /// -1194.
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        match text.to_ascii_uppercase().as_str() {
            "MILLISECOND" => Ok(Self::Milli),
            "MICROSECOND" => Ok(Self::Micro),
            _ => Err(ApiError::INVALID_TIME_UNIT),
        }
    }
}

/// One request's origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    /// Where it came from: request weight is counted by address.
    pub address: IpAddr,
    /// Whose money; set once the signature held.
    pub account: Option<AccountId>,
    /// The venue's time.
    pub now: Nanos,
    /// Unit of times in the answer.
    pub unit: TimeUnit,
}

impl Caller {
    /// The venue's time in the caller's unit.
    pub(super) const fn time(&self) -> u64 {
        self.unit.of(self.now)
    }
}

/// A client's timestamp, milliseconds or microseconds by its magnitude, as nanoseconds.
pub(super) fn timestamp(number: u64) -> Nanos {
    let micros = if number >= 100_000_000_000_000 { number } else { number.saturating_mul(1_000) };
    Nanos(micros.saturating_mul(1_000))
}
