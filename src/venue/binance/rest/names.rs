//! Addresses of hosts, remembered. Looking a name up starts a thread each time and asks a server that may be down:
//! neither belongs between a breach and the order that answers it.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// A name is looked up again after this time: by whatever asks next, which is mostly a question that keeps a
/// connection warm.
const FRESH: Duration = Duration::from_secs(10);

/// The last answer for the one host that a client talks to.
#[derive(Debug)]
struct Known {
    host: String,
    addresses: Vec<SocketAddr>,
    since: Instant,
}

/// A resolver that remembers.
#[derive(Debug, Default)]
pub(super) struct Names {
    inner: DefaultResolver,
    known: Mutex<Option<Known>>,
}

impl Names {
    fn recall(&self, host: &str, within: Duration) -> Option<ResolvedSocketAddrs> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref().filter(|known| known.host == host && known.since.elapsed() < within)?;
        let mut addresses = self.empty();
        known.addresses.iter().for_each(|address| addresses.push(*address));
        Some(addresses)
    }
}

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default());
        let host = format!("{host}:{}", uri.port_u16().unwrap_or_default());
        if let Some(fresh) = self.recall(&host, FRESH) {
            return Ok(fresh);
        }
        match self.inner.resolve(uri, config, timeout) {
            Ok(found) => {
                let known = Known { host, addresses: found.to_vec(), since: Instant::now() };
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
                Ok(found)
            }
            // Where the venue was a while ago is better than nowhere.
            Err(error) => self.recall(&host, Duration::MAX).ok_or(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_remembered_for_a_while_and_for_ever_when_nobody_can_say_a_newer_one() {
        let names = Names::default();
        assert!(names.recall("http://venue:80", Duration::MAX).is_none());
        let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let remember = |since| {
            let known = Known { host: "http://venue:80".into(), addresses: vec![address], since };
            *names.known.lock().unwrap() = Some(known);
        };
        remember(Instant::now());
        assert_eq!(names.recall("http://venue:80", FRESH).unwrap().to_vec(), [address]);
        assert!(names.recall("http://other:80", FRESH).is_none());
        // A machine that has not been up for so long has no such instant.
        if let Some(then) = Instant::now().checked_sub(FRESH) {
            remember(then);
            assert!(names.recall("http://venue:80", FRESH).is_none());
            assert!(names.recall("http://venue:80", Duration::MAX).is_some());
        }
    }
}
