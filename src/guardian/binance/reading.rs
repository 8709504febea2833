//! Reading the account: what it holds, what of its cash is accounted for, and what the venue says of how we ask.

use crate::core::payload::Quote;
use crate::core::{ContractKind, Instrument, InstrumentId, Money, Qty, SCALE, Span};
use crate::snapshot::monotonic_ns;
use crate::venue::binance::endpoints::Market;
use crate::venue::binance::errors::CLOCK;
use crate::venue::binance::rest::RestError;

use super::budget::Weights;
use super::{BinanceSession, Touches, widened};
use crate::guardian::observation::VenueFacts;

/// Executions of a symbol asked for at once.
const MOST_TRADES: u16 = 500;
/// Changes of a futures wallet asked for at once.
const MOST_INCOME: u16 = 1000;
/// The venue's clock is compared this often.
const SYNC_EVERY: Span = Span::seconds(10);

/// Positions, cash and equity.
type Account = (Vec<Qty>, Money, Money);

impl BinanceSession {
    /// Reads the account: equity, positions, orders, prices, the venue's clock.
    ///
    /// # Errors
    /// Any part of it that is missing: half a read is none. What moved the cash is not part of it: see
    /// [`VenueFacts::explained`].
    pub fn facts(&mut self, touches: &Touches) -> Result<VenueFacts, RestError> {
        self.read(touches).inspect_err(|error| self.heed(error))
    }

    fn read(&mut self, touches: &Touches) -> Result<VenueFacts, RestError> {
        let began_ns = monotonic_ns();
        if self.synced_ns == 0 || began_ns.saturating_sub(self.synced_ns) >= SYNC_EVERY.0 {
            self.ahead_ns = Some(self.sync()?);
            self.synced_ns = began_ns.max(1);
        }
        let weights = Weights::of(self.plan.market);
        let mut quotes = Vec::with_capacity(self.symbols.len());
        for symbol in &self.symbols {
            self.spent += weights.touch;
            quotes.push(self.client.book_ticker(&symbol.spec.symbol)?);
        }
        if let Ok(mut touches) = touches.lock() {
            let now = monotonic_ns();
            touches.iter_mut().zip(&quotes).for_each(|(touch, quote)| *touch = Some((quote.bid, quote.ask, now)));
        }
        self.spent += weights.orders * self.symbols.len() as u32;
        let mut entry_orders = 0;
        for order in self.open_orders()? {
            entry_orders += u32::from(!order.protective);
        }
        let ((positions, balance, equity), explained) = self.accounted(&quotes)?;
        self.reads += 1;
        let held = positions.iter().zip(&quotes).enumerate();
        let dust: Vec<Qty> = quotes.iter().enumerate().map(|(index, quote)| self.dust_of(index, quote)).collect();
        Ok(VenueFacts {
            number: self.reads,
            began_ns,
            equity,
            balance,
            nothing_held: held.into_iter().all(|(index, (held, quote))| self.is_dust(index, *held, quote)),
            positions: widened(&positions),
            dust: widened(&dust),
            entry_orders,
            transfers: self.cash.total(),
            pending: self.cash.pending(self.client.venue_now()),
            explained,
            clock_ahead_ns: self.ahead_ns,
        })
    }

    /// The account, and whether all of its cash is accounted for. Accounting keeps no read back: whatever becomes of
    /// the cash, what is held must be seen.
    fn accounted(&mut self, quotes: &[Quote]) -> Result<(Account, bool), RestError> {
        self.spent += Weights::of(self.plan.market).account;
        let mut account = self.account(quotes)?;
        let found = self.account_for(&mut account, quotes);
        let explained = found.unwrap_or_else(|error| {
            self.heed(&error);
            false
        });
        Ok((account, explained && !self.cash.is_open()))
    }

    /// Looks for what moved the cash; false where it did not stand still for that, which the next read tries again.
    fn account_for(&mut self, account: &mut Account, quotes: &[Quote]) -> Result<bool, RestError> {
        let weights = Weights::of(self.plan.market);
        let owned = self.owned(&account.0);
        if !self.cash.needs_look(account.1, &owned, self.client.venue_now()) {
            self.find_transfers()?;
            return Ok(true);
        }
        let mut trades = Vec::with_capacity(self.symbols.len());
        for symbol in &self.symbols {
            self.spent += weights.trades;
            trades.push(self.client.trades(&symbol.spec.symbol, MOST_TRADES)?);
        }
        self.spent += weights.account;
        let again = self.account(quotes)?;
        // The positions of futures come by a question of their own and are no part of this.
        let still = again.1 == account.1 && self.owned(&again.0) == owned;
        *account = again;
        if still {
            self.cash.explain(account.1, &owned, &trades, usize::from(MOST_TRADES), self.client.venue_now());
            self.find_transfers()?;
        }
        Ok(still)
    }

    /// Spot: what is owned of each base asset. Futures own nothing.
    fn owned(&self, positions: &[Qty]) -> Vec<Qty> {
        if self.plan.market == Market::UsdMFutures {
            return Vec::new();
        }
        let both = positions.iter().zip(&self.plan.inventory);
        both.map(|(held, inventory)| held.checked_add(*inventory).unwrap_or(Qty::MAX)).collect()
    }

    /// Futures: asks the venue what moved the wallet, when something did that no execution explains.
    fn find_transfers(&mut self) -> Result<(), RestError> {
        let Some(since) = self.cash.question(self.client.venue_now()) else { return Ok(()) };
        self.spent += Weights::of(self.plan.market).income;
        match self.client.income(since, MOST_INCOME) {
            // A full list may lack the latest.
            Ok(list) if list.len() >= usize::from(MOST_INCOME) => Ok(()),
            Ok(list) => {
                self.cash.learn(&list);
                Ok(())
            }
            Err(error) => {
                self.cash.ask_again();
                Err(error)
            }
        }
    }

    /// Spot: less than this of an instrument is not worth closing, and an engine books it away. Zero elsewhere.
    fn dust_of(&self, index: usize, quote: &Quote) -> Qty {
        let instrument = self.instruments.get(InstrumentId(index as u16));
        let Some(spec) = instrument.map(Instrument::spec).filter(|spec| spec.contract == ContractKind::Spot) else {
            return Qty::ZERO;
        };
        let worth = i128::from(self.dust.units()) * i128::from(SCALE);
        let units = worth.checked_div(i128::from(quote.bid.units())).and_then(|units| i64::try_from(units).ok());
        spec.min_lot.max(Qty::from_units(units.unwrap_or(0)))
    }

    /// The venue's clock minus ours; signatures carry its time from here on.
    pub(super) fn sync(&mut self) -> Result<i64, RestError> {
        self.spent += Weights::of(self.plan.market).time;
        let ahead = self.client.sync_clock(1)?;
        self.knows_time = true;
        Ok(ahead)
    }

    /// What an error asks of us besides what it says.
    pub(super) fn heed(&mut self, error: &RestError) {
        match error {
            RestError::Limited { retry_after, .. } => {
                self.quiet_until_ns = monotonic_ns().saturating_add(retry_after.0);
            }
            // A clock was stepped: the next read begins with the venue's time.
            _ if error.code() == Some(CLOCK) => self.synced_ns = 0,
            _ => {}
        }
    }

    /// So long the venue wants to hear nothing; more questions would make it a ban.
    pub(in crate::guardian) fn silence(&self) -> Span {
        Span(self.quiet_until_ns.saturating_sub(monotonic_ns()))
    }

    /// What was asked since the last call, as the venue weighs it.
    pub(in crate::guardian) fn take_spent(&mut self) -> u32 {
        std::mem::take(&mut self.spent)
    }
}
