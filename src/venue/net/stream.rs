//! A TCP stream that notes when bytes came and went, bare or under TLS. The stamps are taken around
//! the system call itself: nothing between the wire and the engine is left out of a latency.

use std::io::{self, Read, Write};

use mio::net::TcpStream;
use rustls::{ClientConnection, StreamOwned};

use crate::core::Nanos;

/// When bytes were last written: around the system call.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct WriteStamps {
    /// Just before.
    pub before: Nanos,
    /// Just after.
    pub after: Nanos,
}

/// A TCP stream with the times of its last read and write.
pub struct Stamped {
    tcp: TcpStream,
    clock: fn() -> Nanos,
    read: Nanos,
    write: WriteStamps,
}

impl Stamped {
    /// Stamps by this clock.
    pub fn new(tcp: TcpStream, clock: fn() -> Nanos) -> Self {
        Self { tcp, clock, read: Nanos::NONE, write: WriteStamps::default() }
    }

    /// Right after the last read that returned bytes.
    pub fn last_read(&self) -> Nanos {
        self.read
    }

    /// Around the last write that took bytes.
    pub fn last_write(&self) -> WriteStamps {
        self.write
    }
}

impl Read for Stamped {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.tcp.read(buffer)?;
        self.read = (self.clock)();
        Ok(count)
    }
}

impl Write for Stamped {
    #[inline]
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let before = (self.clock)();
        let count = self.tcp.write(buffer)?;
        self.write = WriteStamps { before, after: (self.clock)() };
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a WebSocket runs on.
pub(super) enum Wire {
    Plain(Stamped),
    Tls(Box<StreamOwned<ClientConnection, Stamped>>),
}

impl Wire {
    #[inline]
    pub(super) fn stamped(&self) -> &Stamped {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref(),
        }
    }

    pub(super) fn tcp_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(stream) => &mut stream.tcp,
            Self::Tls(stream) => &mut stream.get_mut().tcp,
        }
    }
}

impl Read for Wire {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    #[inline]
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buffer),
            Self::Tls(stream) => stream.write(buffer),
        }
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
