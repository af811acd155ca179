// SPDX-License-Identifier: Apache-2.0
//! Hot. A connection with or without TLS, as one type, so that the code above is compiled once for both.

use std::io;

use super::{Session, Tls};
use crate::base::{Address, Buf, Pace, Tick};
use crate::net::{Peek, Stream};

/// A plain stream or one inside TLS.
pub(crate) enum Transport<S> {
    /// As it comes.
    Plain(S),
    /// Inside TLS. Boxed: a session is large, and most connections of a shard may be plain.
    Tls(Box<Tls<S>>),
}

impl<S: Stream> Transport<S> {
    /// What the handshake agreed on; None for a plain stream.
    pub(crate) fn session(&self) -> Option<&Session> {
        match self {
            Transport::Plain(_) => None,
            Transport::Tls(tls) => Some(tls.session()),
        }
    }
}

impl<S: Stream> Stream for Transport<S> {
    async fn read(&self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        match self {
            Transport::Plain(plain) => plain.read(buf, until).await,
            Transport::Tls(tls) => tls.read(buf, until).await,
        }
    }

    async fn read_idle(&self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        match self {
            Transport::Plain(plain) => plain.read_idle(buf, until).await,
            Transport::Tls(tls) => tls.read_idle(buf, until).await,
        }
    }

    async fn readable(&self, until: Tick) -> io::Result<()> {
        match self {
            Transport::Plain(plain) => plain.readable(until).await,
            Transport::Tls(tls) => tls.readable(until).await,
        }
    }

    async fn write(&self, buf: Buf, until: Tick) -> (io::Result<()>, Buf) {
        match self {
            Transport::Plain(plain) => plain.write(buf, until).await,
            Transport::Tls(tls) => tls.write(buf, until).await,
        }
    }

    fn write_now(&self, bytes: &[u8]) -> usize {
        match self {
            Transport::Plain(plain) => plain.write_now(bytes),
            Transport::Tls(tls) => tls.write_now(bytes),
        }
    }

    fn interrupt(&self) {
        match self {
            Transport::Plain(plain) => plain.interrupt(),
            Transport::Tls(tls) => tls.interrupt(),
        }
    }

    fn stop_reading(&self) {
        match self {
            Transport::Plain(plain) => plain.stop_reading(),
            Transport::Tls(tls) => tls.stop_reading(),
        }
    }

    fn read_again(&self) {
        match self {
            Transport::Plain(plain) => plain.read_again(),
            Transport::Tls(tls) => tls.read_again(),
        }
    }

    fn finish(&self) {
        match self {
            Transport::Plain(plain) => plain.finish(),
            Transport::Tls(tls) => tls.finish(),
        }
    }

    fn abort(&self) {
        match self {
            Transport::Plain(plain) => plain.abort(),
            Transport::Tls(tls) => tls.abort(),
        }
    }

    fn limit_unsent(&self, bytes: u32) {
        match self {
            Transport::Plain(plain) => plain.limit_unsent(bytes),
            Transport::Tls(tls) => tls.limit_unsent(bytes),
        }
    }

    fn unsent(&self) -> usize {
        match self {
            Transport::Plain(plain) => plain.unsent(),
            Transport::Tls(tls) => tls.unsent(),
        }
    }

    fn set_pace(&self, pace: Pace) {
        match self {
            Transport::Plain(plain) => plain.set_pace(pace),
            Transport::Tls(tls) => tls.set_pace(pace),
        }
    }

    fn undelivered(&self) -> usize {
        match self {
            Transport::Plain(plain) => plain.undelivered(),
            Transport::Tls(tls) => tls.undelivered(),
        }
    }

    fn peek(&self) -> Peek {
        match self {
            Transport::Plain(plain) => plain.peek(),
            Transport::Tls(tls) => tls.peek(),
        }
    }

    fn drained(&self) -> bool {
        match self {
            Transport::Plain(plain) => plain.drained(),
            Transport::Tls(tls) => tls.drained(),
        }
    }

    fn peer(&self) -> &Address {
        match self {
            Transport::Plain(plain) => plain.peer(),
            Transport::Tls(tls) => tls.peer(),
        }
    }

    fn local(&self) -> &Address {
        match self {
            Transport::Plain(plain) => plain.local(),
            Transport::Tls(tls) => tls.local(),
        }
    }
}
