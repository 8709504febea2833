//! One connection's socket: TCP, with TLS around it where asked. Never blocks.

use std::io::{self, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;

use super::wire::{Incoming, Wire};

/// Most bytes kept for a client that does not read; beyond it the connection is dropped.
const MOST_UNSENT: usize = 4 << 20;
/// Bytes read at a time.
const CHUNK: usize = 16 << 10;
/// Chunks read before others get their turn.
const TURN: usize = 16;

/// Whether a connection goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    /// It does.
    Alive,
    /// There is more to read: come back.
    More,
    /// It is over.
    Dead,
}

/// A connection.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    tls: Option<Box<rustls::ServerConnection>>,
    pub(super) wire: Wire,
    /// Close once everything is sent.
    pub(super) closing: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, tls: Option<&Arc<rustls::ServerConfig>>) -> Result<Self, rustls::Error> {
        let tls = tls.map(|config| rustls::ServerConnection::new(Arc::clone(config)).map(Box::new)).transpose()?;
        Ok(Self { stream, tls, wire: Wire::new(), closing: false })
    }

    /// Reads what is there.
    pub(super) fn read(&mut self, sink: &mut Vec<Incoming>) -> Life {
        let mut chunk = [0; CHUNK];
        for _ in 0..TURN {
            let count = match &mut self.tls {
                None => self.stream.read(&mut chunk),
                Some(tls) => read_tls(tls, &mut self.stream, &mut chunk),
            };
            match count {
                Ok(0) => {
                    sink.push(Incoming::Closed);
                    return Life::Dead;
                }
                Ok(count) => self.wire.feed(&chunk[..count], sink),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Life::Alive,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    sink.push(Incoming::Closed);
                    return Life::Dead;
                }
            }
        }
        Life::More
    }

    /// Sends what it can; [`Life::More`] means that the socket is full.
    pub(super) fn write(&mut self) -> Life {
        match self.try_write() {
            Ok(()) if self.closing => Life::Dead,
            Ok(()) => Life::Alive,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.wire.output().len() > MOST_UNSENT {
                    Life::Dead
                } else {
                    Life::More
                }
            }
            Err(_) => Life::Dead,
        }
    }

    fn try_write(&mut self) -> io::Result<()> {
        let out = self.wire.output();
        let Some(tls) = &mut self.tls else {
            while !out.is_empty() {
                match self.stream.write(out) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(count) => drop(out.drain(..count)),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            return Ok(());
        };
        while !out.is_empty() || tls.wants_write() {
            // rustls takes up to its own bound; the rest waits here, where it is counted.
            let taken = tls.writer().write(out)?;
            out.drain(..taken);
            while tls.wants_write() {
                tls.write_tls(&mut self.stream)?;
            }
            if taken == 0 && tls.is_handshaking() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Plain bytes from a TLS connection; 0 at its end.
fn read_tls(tls: &mut rustls::ServerConnection, stream: &mut TcpStream, chunk: &mut [u8]) -> io::Result<usize> {
    loop {
        match tls.reader().read(chunk) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
        if tls.read_tls(stream)? == 0 {
            return Ok(0);
        }
        if let Err(error) = tls.process_new_packets() {
            // The alert that says why is worth a try.
            let _ = tls.write_tls(stream);
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        // The handshake is answered at once.
        while tls.wants_write() {
            match tls.write_tls(stream) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
}
