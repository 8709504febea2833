//! Enumerations that travel in payload words: numbered, named, explained. A number that this version
//! does not know reads as `None`, never as something else.

/// Declares an enumeration that travels in a payload word: numbered, named, explained.
macro_rules! word_enum {
    ($(#[$outer:meta])* $type:ident { $($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)* }) => {
        $(#[$outer])*
        #[repr(u8)]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $type { $($(#[$doc])* $name = $number,)* }

        impl $type {
            /// Every value, in numeric order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The value with this number, or `None` for one this version does not know.
            #[must_use]
            pub const fn from_word(word: u64) -> Option<Self> {
                match word { $($number => Some(Self::$name),)* _ => None }
            }

            /// The name used in text output.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

word_enum! {
    /// How long an order lives.
    TimeInForce {
        /// Immediate or cancel: what does not trade at once is gone.
        Ioc = 1, "IOC";
        /// Rests at its limit until filled or cancelled.
        Limit = 2, "LIMIT";
    }
}

word_enum! {
    /// What an order is for.
    OrderRole {
        /// Opens a position.
        Entry = 1, "entry";
        /// Closes a position; never refused by an entry check.
        Exit = 2, "exit";
    }
}

word_enum! {
    /// Why a position was closed.
    ExitReason {
        /// z came back through `exit_z`.
        Reverted = 1, "reverted";
        /// The loss reached the stop distance.
        StopLoss = 2, "stop-loss";
        /// The gain reached the take-profit distance.
        TakeProfit = 3, "take-profit";
        /// Held for `max_hold`.
        MaxHold = 4, "max-hold";
        /// The session ended, or an operator said so.
        Operator = 5, "operator";
    }
}

word_enum! {
    /// What the gate said.
    Action {
        /// Do nothing.
        NoAction = 0, "NO_ACTION";
        /// Enter long.
        ExecuteBuy = 1, "EXECUTE_BUY";
        /// Enter short.
        ExecuteSell = 2, "EXECUTE_SELL";
    }
}

word_enum! {
    /// Why the engine did not send an order, or stopped trying. Each has its own counter.
    Refusal {
        /// The gate answered `NO_ACTION`: probability not above the threshold.
        Gated = 1, "gated";
        /// A position or an order is already alive on this instrument.
        Busy = 2, "busy";
        /// The sized order is below the minimum lot.
        BelowMinimumLot = 3, "below-minimum-lot";
        /// The order would exceed the maximum notional.
        Notional = 4, "notional";
        /// Open lots, with those in flight, would exceed the maximum.
        OpenLots = 5, "open-lots";
        /// The limit price is too far from the mid.
        PriceCollar = 6, "price-collar";
        /// Too many orders in the last interval.
        OrderRate = 7, "order-rate";
        /// The same instrument and side was sent a moment ago.
        Duplicate = 8, "duplicate";
        /// The last quote is too old.
        StaleMarketData = 9, "stale-market-data";
        /// Venue and local clocks disagree, or time went backwards.
        Clock = 10, "clock";
        /// The guardian has latched, or demands reduce-only.
        GuardianLatched = 11, "guardian-latched";
        /// The guardian has not been heard of for too long.
        GuardianSilent = 12, "guardian-silent";
        /// An own resting order stands on the other side.
        SelfTrade = 13, "self-trade";
        /// Entries are stopped: by an operator, a full disk, or the session's end.
        EntriesStopped = 14, "entries-stopped";
        /// The venue refused the order and its one retry.
        RetriesExhausted = 15, "retries-exhausted";
        /// The entry lapsed without a fill.
        Unfilled = 16, "unfilled";
        /// The contract cannot be accounted exactly (inverse contracts).
        Contract = 17, "unsupported-contract";
        /// A feature is undefined or infinite; the oracle was not asked.
        UndefinedFeature = 18, "undefined-feature";
        /// Arithmetic left its range; nothing was sent.
        Overflow = 19, "overflow";
        /// The balance is not positive.
        NoFunds = 20, "no-funds";
        /// The fate of an earlier order is unknown.
        UnknownOrder = 21, "unknown-order";
        /// The order connection is down, or venue and books are not reconciled yet.
        NotReconciled = 22, "not-reconciled";
        /// On spot only what is owned can be sold.
        NoInventory = 23, "no-inventory";
        /// What is left of a position is below the lot step and cannot be sold.
        Dust = 24, "dust";
    }
}

word_enum! {
    /// Why the venue refused an order.
    RejectCode {
        /// No further reason.
        Other = 1, "other";
        /// The price moved: try again at the new one.
        Requote = 2, "requote";
        /// Not enough margin or balance.
        InsufficientFunds = 3, "insufficient-funds";
        /// Price, lot or notional breaks a filter.
        Filter = 4, "filter";
        /// Too many requests.
        RateLimit = 5, "rate-limit";
        /// No market to trade against.
        NoMarket = 6, "no-market";
    }
}

word_enum! {
    /// What an operator or supervisor ordered.
    ControlCode {
        /// The session starts; word 1 is the balance.
        Start = 1, "start";
        /// No new entries from here on; exits go on.
        StopEntries = 2, "stop-entries";
        /// Entries are allowed again.
        AllowEntries = 3, "allow-entries";
        /// Close everything now.
        Flatten = 4, "flatten";
        /// The guardian is alive and well.
        GuardianAlive = 5, "guardian-alive";
        /// The guardian has latched.
        GuardianLatched = 6, "guardian-latched";
        /// What was owned of the instrument before pawl came, never a position; word 1 in units of 1e-8.
        Baseline = 7, "baseline";
    }
}

word_enum! {
    /// What a person must see.
    AlertCode {
        /// An execution report names an order that this session never sent.
        UnknownExecution = 1, "unknown-execution";
        /// Fills exceed the order's quantity.
        Overfill = 2, "overfill";
        /// An order's acknowledgement did not come in time.
        AckTimeout = 3, "ack-timeout";
        /// The venue has never heard of an order that was sent.
        OrderLost = 4, "order-lost";
        /// An exit could not be placed or did not fill.
        ExitFailing = 5, "exit-failing";
        /// A fill or fee could not be accounted: arithmetic left its range.
        AccountOverflow = 6, "account-overflow";
        /// The order connection is down: everything in flight is unknown.
        LinkDown = 7, "link-down";
        /// Found: the venue's position in units of 1e-8. Expected: ours. The venue's was booked.
        PositionMismatch = 8, "position-mismatch";
        /// Found: the venue's cash in units of 1e-8. Expected: ours. The venue's was booked.
        BalanceMismatch = 9, "balance-mismatch";
        /// An order of an earlier session was open at the venue; it is cancelled.
        OrphanOrder = 10, "orphan-order";
        /// An order that pawl never sent is open at the venue.
        ForeignOrder = 11, "foreign-order";
        /// A reconciliation was not answered in time and is asked for again.
        ReconcileLate = 12, "reconcile-late";
    }
}

word_enum! {
    /// A connection to the venue.
    LinkChannel {
        /// Market data.
        Market = 1, "market";
        /// Order entry and the account's own events.
        Orders = 2, "orders";
    }
}

word_enum! {
    /// How a connection fares.
    LinkState {
        /// Connected, logged on, subscribed.
        Up = 1, "up";
        /// Lost; what was in flight is unknown.
        Down = 2, "down";
    }
}
