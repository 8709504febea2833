//! The first stage: adapter events become clean events.

use serde::{Deserialize, Serialize};

use crate::core::Span;

/// How the feed treats what comes in.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedParams {
    /// The last quote of a burst of this length wins; zero (the default) passes every quote.
    pub debounce: Span,
}
