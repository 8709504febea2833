//! Where the venue lives, as data: one struct for production, testnet, futures and this machine.
//! Every base can be overridden in configuration.

use serde::{Deserialize, Serialize};

/// Which of the venue's markets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    /// Spot: what is owned can be sold, nothing else.
    #[default]
    Spot,
    /// USD-margined perpetual futures.
    UsdMFutures,
}

/// Bases of the venue's services, without a slash at the end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    /// HTTP API: `https://api.binance.com`.
    pub rest: String,
    /// JSON stream of best prices; `/stream?streams=` is appended.
    pub quotes: String,
    /// JSON stream of trades: the same base on spot.
    pub trades: String,
    /// Binary streams (spot only; empty where there are none).
    pub binary: String,
    /// WebSocket API, with its path: `wss://ws-api.binance.com:443/ws-api/v3`.
    pub websocket_api: String,
    /// Account events of futures, see [`Endpoints::account_events`]. Empty on spot, where they come over the WebSocket
    /// API.
    pub private: String,
}

impl Endpoints {
    /// Real money.
    #[must_use]
    pub fn production(market: Market) -> Self {
        match market {
            Market::Spot => Self::of([
                "https://api.binance.com",
                "wss://stream.binance.com:443",
                "wss://stream.binance.com:443",
                "wss://stream-sbe.binance.com:443",
                "wss://ws-api.binance.com:443/ws-api/v3",
                "",
            ]),
            Market::UsdMFutures => Self::of([
                "https://fapi.binance.com",
                "wss://fstream.binance.com/public",
                "wss://fstream.binance.com/market",
                "",
                "wss://ws-fapi.binance.com/ws-fapi/v1",
                "wss://fstream.binance.com/private",
            ]),
        }
    }

    /// Play money at the venue's own test installation.
    #[must_use]
    pub fn testnet(market: Market) -> Self {
        match market {
            Market::Spot => Self::of([
                "https://testnet.binance.vision",
                "wss://stream.testnet.binance.vision",
                "wss://stream.testnet.binance.vision",
                "wss://stream-sbe.testnet.binance.vision",
                "wss://ws-api.testnet.binance.vision/ws-api/v3",
                "",
            ]),
            // Stream hosts of the futures testnet are not documented as split; one host serves all.
            Market::UsdMFutures => Self::of([
                "https://demo-fapi.binance.com",
                "wss://stream.binancefuture.com",
                "wss://stream.binancefuture.com",
                "",
                "wss://testnet.binancefuture.com/ws-fapi/v1",
                "wss://stream.binancefuture.com",
            ]),
        }
    }

    /// The simulated venue on this machine: everything behind one address such as `127.0.0.1:9080`.
    #[must_use]
    pub fn loopback(address: &str, market: Market, tls: bool) -> Self {
        let (http, ws) = if tls { ("https", "wss") } else { ("http", "ws") };
        let api = match market {
            Market::Spot => "/ws-api/v3",
            Market::UsdMFutures => "/ws-fapi/v1",
        };
        let streams = format!("{ws}://{address}");
        Self {
            rest: format!("{http}://{address}"),
            quotes: streams.clone(),
            trades: streams.clone(),
            binary: if market == Market::Spot { format!("{streams}/sbe") } else { String::new() },
            websocket_api: format!("{ws}://{address}{api}"),
            private: if market == Market::Spot { String::new() } else { format!("{streams}/private") },
        }
    }

    /// Where the account events of this key are. Hosts that serve market and account apart take the key as a parameter
    /// below `/private`; an unsplit one, as the futures test network's, takes it as a path: `/ws/<listenKey>`.
    #[must_use]
    pub fn account_events(&self, listen_key: &str) -> String {
        let base = &self.private;
        if base.ends_with("/private") {
            format!("{base}/ws?listenKey={listen_key}")
        } else {
            format!("{base}/ws/{listen_key}")
        }
    }

    fn of([rest, quotes, trades, binary, websocket_api, private]: [&str; 6]) -> Self {
        let [rest, quotes, trades] = [rest, quotes, trades].map(str::to_owned);
        let [binary, websocket_api, private] = [binary, websocket_api, private].map(str::to_owned);
        Self { rest, quotes, trades, binary, websocket_api, private }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_events_of_futures_have_an_address_at_each_venue() {
        for (endpoints, wanted) in [
            (Endpoints::production(Market::UsdMFutures), "wss://fstream.binance.com/private/ws?listenKey=KEY"),
            (Endpoints::testnet(Market::UsdMFutures), "wss://stream.binancefuture.com/ws/KEY"),
            (
                Endpoints::loopback("127.0.0.1:9080", Market::UsdMFutures, false),
                "ws://127.0.0.1:9080/private/ws?listenKey=KEY",
            ),
            (
                Endpoints::loopback("127.0.0.1:9080", Market::UsdMFutures, true),
                "wss://127.0.0.1:9080/private/ws?listenKey=KEY",
            ),
        ] {
            assert_eq!(endpoints.account_events("KEY"), wanted);
        }
    }
}
