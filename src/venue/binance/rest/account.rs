//! What an account holds: balances, and the margin and positions of futures. One row that is no number of ours never
//! hides the others.

use serde::Deserialize;

use super::lenient;
use crate::core::{Money, Price, Qty};

/// What is owned of one asset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Balance {
    /// `BTC`.
    pub asset: String,
    /// Free to use.
    pub free: Qty,
    /// Locked in open orders.
    pub locked: Qty,
}

/// What a futures account holds of one margin asset, in that asset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MarginAsset {
    /// `USDT`.
    pub asset: String,
    /// Wallet balance.
    pub wallet: Money,
    /// Wallet plus unrealised profit.
    pub equity: Money,
    /// Free for new positions.
    pub available: Money,
}

/// The account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountState {
    /// False when the venue forbids trading.
    pub can_trade: bool,
    /// Spot: assets owned. Futures: margin assets, wallet balance as free.
    pub balances: Vec<Balance>,
    /// Assets whose balance is no number of ours (over 92 billion, or more than 8 digits).
    pub unreadable: Vec<String>,
    /// Futures: each margin asset.
    pub margin: Vec<MarginAsset>,
    /// Futures: the account's wallet plus unrealised profit, in [`TOTALS`]; see [`AccountState::margin_in`]. `None` on
    /// spot, which has no such figure.
    pub equity: Option<Money>,
    /// Futures: the account's wallet balance, in [`TOTALS`].
    pub wallet: Option<Money>,
    /// Futures: free for new positions, in [`TOTALS`].
    pub available: Option<Money>,
}

/// The totals of a futures account are documented as "only for USDT asset" (single-asset mode, `GET /fapi/v3/account`):
/// what is traded against another asset is not in them.
pub const TOTALS: &str = "USDT";

impl AccountState {
    /// Futures: what the account holds of the asset that its symbols are quoted in. `None` where the venue does not
    /// say: the totals are of another asset then.
    #[must_use]
    pub fn margin_in(&self, quote: &str) -> Option<MarginAsset> {
        if let Some(row) = self.margin.iter().find(|row| row.asset == quote) {
            return Some(row.clone());
        }
        if quote != TOTALS || self.unreadable.iter().any(|asset| asset == quote) {
            return None;
        }
        let (wallet, equity, available) = (self.wallet?, self.equity?, self.available?);
        Some(MarginAsset { asset: quote.to_owned(), wallet, equity, available })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpotAccount {
    #[serde(default)]
    can_trade: bool,
    balances: Vec<RawBalance>,
}

#[derive(Deserialize)]
struct RawBalance {
    asset: String,
    free: String,
    locked: String,
}

impl From<SpotAccount> for AccountState {
    fn from(raw: SpotAccount) -> Self {
        let (mut balances, mut unreadable) = (Vec::new(), Vec::new());
        for RawBalance { asset, free, locked } in raw.balances {
            match (free.parse(), locked.parse()) {
                (Ok(free), Ok(locked)) => balances.push(Balance { asset, free, locked }),
                _ => unreadable.push(asset),
            }
        }
        let (can_trade, margin) = (raw.can_trade, Vec::new());
        Self { can_trade, balances, unreadable, margin, equity: None, wallet: None, available: None }
    }
}

/// `/fapi/v3/account`, and `v2/account.status` of the WebSocket API, which says the same.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::venue::binance) struct FuturesAccount {
    #[serde(default = "yes")]
    can_trade: bool,
    total_margin_balance: Option<String>,
    total_wallet_balance: Option<String>,
    available_balance: Option<String>,
    #[serde(default)]
    assets: Vec<FuturesAsset>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FuturesAsset {
    asset: String,
    wallet_balance: Option<String>,
    margin_balance: Option<String>,
    available_balance: Option<String>,
}

impl From<FuturesAccount> for AccountState {
    fn from(raw: FuturesAccount) -> Self {
        // Exactly: a balance that was rounded would be explained by no execution.
        let money = |text: &Option<String>| text.as_ref()?.parse::<Money>().ok();
        let (mut balances, mut margin, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        for row in raw.assets {
            let figures = (money(&row.wallet_balance), money(&row.margin_balance), money(&row.available_balance));
            let asset = row.asset;
            let (Some(wallet), Some(equity), Some(available)) = figures else {
                unreadable.push(asset);
                continue;
            };
            let free = Qty::from_units(wallet.units());
            balances.push(Balance { asset: asset.clone(), free, locked: Qty::ZERO });
            margin.push(MarginAsset { asset, wallet, equity, available });
        }
        Self {
            can_trade: raw.can_trade,
            balances,
            unreadable,
            margin,
            equity: money(&raw.total_margin_balance),
            wallet: money(&raw.total_wallet_balance),
            available: money(&raw.available_balance),
        }
    }
}

/// A position of futures.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PositionState {
    /// Upper case.
    pub symbol: String,
    /// Above zero is long.
    pub signed_qty: Qty,
    /// True when what is held is no number of ours: `signed_qty` is zero then, and says nothing.
    pub unreadable: bool,
    /// Average entry price, rounded to units of ours; zero when it is no number of ours.
    pub entry_price: Price,
    /// The venue's mark; zero when it is no number of ours.
    pub mark_price: Price,
    /// Unrealised profit at the mark; zero when it is no number of ours.
    pub unrealised: Money,
}

/// What is said of an account in hedge mode, and what to do about it.
pub const HEDGE_MODE: &str = "a futures account in hedge mode (a long and a short position of one symbol at once); \
     close its positions and orders, then switch it to one-way mode: Preferences, Position Mode, One-way Mode, or POST \
     /fapi/v1/positionSide/dual with dualSidePosition=false";

/// The answer of `/fapi/v1/positionSide/dual`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PositionMode {
    pub(super) dual_side_position: bool,
}

/// True for `positionSide` of an account in hedge mode: `BOTH` is the one position of a symbol in one-way mode.
pub(in crate::venue::binance) fn is_hedged(position_side: Option<&str>) -> bool {
    matches!(position_side, Some("LONG" | "SHORT"))
}

/// A row of `/fapi/v3/positionRisk`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawPosition {
    symbol: String,
    pub(super) position_side: Option<String>,
    #[serde(default, deserialize_with = "lenient::option")]
    position_amt: Option<Qty>,
    #[serde(default, deserialize_with = "lenient::or_zero")]
    entry_price: Price,
    #[serde(default, deserialize_with = "lenient::or_zero")]
    mark_price: Price,
    #[serde(rename = "unRealizedProfit", default, deserialize_with = "lenient::or_zero")]
    unrealised: Money,
}

impl From<RawPosition> for PositionState {
    fn from(raw: RawPosition) -> Self {
        Self {
            symbol: raw.symbol,
            signed_qty: raw.position_amt.unwrap_or_default(),
            unreadable: raw.position_amt.is_none(),
            entry_price: raw.entry_price,
            mark_price: raw.mark_price,
            unrealised: raw.unrealised,
        }
    }
}
