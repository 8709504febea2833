//! Which of the engine's and the guardian's codes a person hears of, how grave they are, and what to do: data, not branches.

use super::alert::{Mood, Severity};
use crate::core::payload::{AlertCode, Refusal, RejectCode};
use crate::guardian::events::Code;

/// What is said about a code.
pub(super) struct Words {
    /// How grave.
    pub(super) severity: Severity,
    /// What happened, in capitals where a person would shout it.
    pub(super) title: &'static str,
    /// What the system does; may be empty.
    pub(super) doing: &'static str,
    /// What the person must do; may be empty.
    pub(super) todo: &'static str,
}

const fn words(severity: Severity, title: &'static str, doing: &'static str, todo: &'static str) -> Words {
    Words { severity, title, doing, todo }
}

/// The engine's alerts; `None` for one that another record tells better.
pub(super) fn alert_words(code: Option<AlertCode>) -> Option<Words> {
    use Severity::{Critical, Warning};
    Some(match code {
        // The connection's own record says which and since when.
        Some(AlertCode::LinkDown) => return None,
        Some(AlertCode::PositionMismatch) => words(
            Critical,
            "POSITION MISMATCH",
            "the venue is right: its position was booked",
            "find out who traded this account",
        ),
        Some(AlertCode::BalanceMismatch) => {
            words(Warning, "Balance differs from the venue's", "the venue is right: its balance was booked", "")
        }
        Some(AlertCode::OrphanOrder) => {
            words(Warning, "Order of an earlier session was open at the venue", "it is being cancelled", "")
        }
        Some(AlertCode::ForeignOrder) => words(
            Warning,
            "FOREIGN ORDER at the venue",
            "pawl never sent it and leaves it alone",
            "find out who else trades this account",
        ),
        Some(AlertCode::ReconcileLate) => words(
            Warning,
            "Venue does not answer the reconciliation",
            "asking again; no entries until it is answered",
            "",
        ),
        Some(AlertCode::UnknownExecution) => words(
            Critical,
            "UNKNOWN EXECUTION",
            "the venue reports a trade that this session did not send; it is booked",
            "compare positions with the venue now",
        ),
        Some(AlertCode::Overfill) => words(
            Critical,
            "OVERFILL",
            "more was filled than ordered; it is booked",
            "compare positions with the venue now",
        ),
        Some(AlertCode::AckTimeout) => {
            words(Warning, "Order unanswered", "its fate is unknown: asking the venue, counting it as open", "")
        }
        Some(AlertCode::OrderLost) => words(Warning, "Order lost", "the venue has never heard of it", ""),
        Some(AlertCode::ExitFailing) => words(
            Critical,
            "EXIT FAILING",
            "trying again at a worse price",
            "close the position by hand if no CLOSED follows",
        ),
        Some(AlertCode::AccountOverflow) => words(
            Critical,
            "ACCOUNTING FAILED",
            "entries are stopped; exits go on",
            "compare balance and positions with the venue",
        ),
        // A code of a newer engine: better a strange alert than none.
        #[allow(unreachable_patterns, reason = "codes are added by the engine, not here")]
        Some(_) | None => words(Critical, "ENGINE ALERT of a kind this pawl does not know", "", "read the journal"),
    })
}

/// What the notifier adds to an event of the guardian's, which brings its own title, text and gravity: how it
/// feels, and what the person must do (may be empty). Every code is here: a new one does not compile without.
pub(super) const fn guardian_words(code: Code) -> (Mood, &'static str) {
    match code {
        Code::GuardianStarted
        | Code::EngineAttached
        | Code::EngineStopped
        | Code::DayOpened
        | Code::CashMoved
        | Code::ConditionWarned
        | Code::EngineFenced
        | Code::LiquidationProgress
        | Code::EntriesCancelled
        | Code::RequestTaken
        | Code::LatchReset
        | Code::Drill => (Mood::Plain, ""),
        Code::GuardianStopped => (Mood::Plain, "start it again: without it the engine opens nothing"),
        Code::ConditionBreached | Code::LevelRaised => (Mood::Bad, ""),
        Code::ConditionCleared | Code::Flat => (Mood::Good, ""),
        Code::Latched | Code::LatchFailed => {
            (Mood::Bad, "pawl run will refuse to start; find the cause, then pawl guardian reset --reason")
        }
        Code::ExcessClosed => (Mood::Plain, "find out who opened it"),
        Code::NotFlat => (Mood::Bad, "CALL THE DESK: the account is not flat"),
    }
}

/// Alerts about the account; the instrument in their record means nothing.
pub(super) const fn is_of_account(code: Option<AlertCode>) -> bool {
    matches!(code, Some(AlertCode::BalanceMismatch | AlertCode::ReconcileLate | AlertCode::LinkDown))
}

/// Reasons for not trading that a person hears of; `None` for those that are daily business.
pub(super) fn refusal_words(reason: Refusal) -> Option<Words> {
    use Severity::{Critical, Warning};
    let no_entry = "no entry was sent; exits go on";
    let (severity, title, todo) = match reason {
        Refusal::GuardianLatched => (Critical, "Entry refused: GUARDIAN LATCHED", "see pawl guardian status"),
        Refusal::GuardianSilent => (Critical, "Entry refused: GUARDIAN SILENT", "start the guardian"),
        Refusal::NoFunds => (Critical, "Entry refused: NO FUNDS", "look at the account"),
        Refusal::Overflow => (Critical, "Entry refused: arithmetic left its range", "look at the configuration"),
        Refusal::UnknownOrder => (Warning, "Entry refused: an earlier order's fate is unknown", ""),
        Refusal::Clock => (Warning, "Entry refused: clocks disagree", "check chrony"),
        Refusal::StaleMarketData => (Warning, "Entry refused: market data is stale", ""),
        Refusal::RetriesExhausted => (Warning, "Entry given up: refused twice by the venue", ""),
        Refusal::OrderRate => (Warning, "Entry refused: order rate", ""),
        Refusal::OpenLots => (Warning, "Entry refused: open lots at their maximum", ""),
        Refusal::PriceCollar => (Warning, "Entry refused: price too far from the mid", ""),
        Refusal::EntriesStopped => (Warning, "Entry refused: entries are stopped", ""),
        Refusal::Contract => {
            (Warning, "Entry refused: this contract cannot be accounted", "take it out of the session")
        }
        _ => return None,
    };
    let doing = if reason == Refusal::Dust { "" } else { no_entry };
    Some(words(severity, title, doing, todo))
}

/// Refusals by the venue that a person hears of.
pub(super) fn reject_words(code: RejectCode) -> Option<Words> {
    let (title, todo) = match code {
        RejectCode::InsufficientFunds => ("Order rejected: INSUFFICIENT FUNDS", "look at margin and balance"),
        RejectCode::RateLimit => ("Order rejected: too many requests", ""),
        RejectCode::Filter => ("Order rejected: breaks a rule of the venue", "compare the instrument with the venue's"),
        RejectCode::Other => ("Order rejected by the venue", ""),
        _ => return None,
    };
    Some(words(Severity::Warning, title, "", todo))
}
