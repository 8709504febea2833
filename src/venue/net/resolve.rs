//! Host names to addresses without ever blocking the caller: a look-up runs on a thread of its own,
//! and what an earlier one found is used meanwhile.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, Receiver, TryRecvError};

/// Addresses of one host.
pub(super) struct Resolver {
    host: String,
    port: u16,
    found: Vec<SocketAddr>,
    next: usize,
    running: Option<Receiver<std::io::Result<Vec<SocketAddr>>>>,
}

impl Resolver {
    pub(super) fn new(host: &str, port: u16) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let found = host.parse::<IpAddr>().map(|ip| vec![SocketAddr::new(ip, port)]).unwrap_or_default();
        Self { host, port, found, next: 0, running: None }
    }

    /// The address to try now. `Ok(None)` while nothing is known yet.
    pub(super) fn next(&mut self) -> Result<Option<SocketAddr>, String> {
        if self.host.parse::<IpAddr>().is_err() {
            self.refresh()?;
        }
        if self.found.is_empty() {
            return Ok(None);
        }
        self.next = (self.next + 1) % self.found.len();
        Ok(Some(self.found[self.next]))
    }

    /// Takes what a look-up found; starts one when none has found anything, or the round is over.
    fn refresh(&mut self) -> Result<(), String> {
        match self.running.as_ref().map(Receiver::try_recv) {
            Some(Ok(Ok(addresses))) => {
                self.running = None;
                self.found = addresses;
            }
            Some(Ok(Err(error))) => {
                self.running = None;
                if self.found.is_empty() {
                    return Err(format!("cannot resolve {}: {error}", self.host));
                }
            }
            Some(Err(TryRecvError::Disconnected)) => self.running = None,
            None if self.found.is_empty() || self.next + 1 >= self.found.len() => {
                let (sender, receiver) = mpsc::channel();
                let (host, port) = (self.host.clone(), self.port);
                std::thread::Builder::new()
                    .name("resolve".into())
                    .spawn(move || {
                        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
                        // The client may be gone by now; then nobody wants to know.
                        let _ = sender.send(found);
                    })
                    .map_err(|error| format!("cannot start a look-up: {error}"))?;
                self.running = Some(receiver);
            }
            Some(Err(TryRecvError::Empty)) | None => {}
        }
        Ok(())
    }
}
