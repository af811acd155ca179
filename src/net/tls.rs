// SPDX-License-Identifier: Apache-2.0
//! Hot. A TLS stream over any other `Stream`: rustls implements the protocol, this file moves the bytes.
//!
//! One task may read and write at once. Ciphertext is sent in the order in which rustls makes it, because a sender must
//! hold the turn (`turn`). When a read makes rustls respond (to a key update), the reader sends the response if it gets
//! the turn; otherwise the current sender sends it. The connection is never borrowed across an await.
//!
//! Ciphertext is received into the spare memory of the reader's own buffer, handed to rustls, and overwritten with
//! the plaintext, which is never longer. So a read takes no second buffer, and an idle connection holds none. A write
//! takes one from the pool while it is in flight, and sends all its records in one call.
//!
//! A connection that ends without close_notify gives `ErrorKind::UnexpectedEof`, not zero (RFC 8446 section 6.1).

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use crate::base::limits::BUF_CLASSES;
use crate::base::{Address, Buf, BufPool, Pace, Tick};
use crate::net::{Peek, Stream};

mod client;
mod client_certificate;
mod failure;
mod material;
mod names;
mod server;
mod session;
mod sink;
#[cfg(test)]
mod tests;
mod transport;
mod turn;

pub(crate) use client::{ClientMaterial, Roots, Verify, client_config, server_name, with_own_sessions};
pub(crate) use failure::Failure;
pub(crate) use material::{Certificate, CertificateFacts, MaterialError, certificate_facts, certificates, private_key};
pub(crate) use names::CertificateNames;
pub(crate) use server::{ClientAuth, ServerMaterial, Tickets, Versions, server_config};
pub(crate) use session::Session;
pub(crate) use transport::Transport;

use failure::{first_bytes, plain_alert};
use session::session_of;
use sink::Sink;
use turn::{Ending, Turn, TurnGuard};

/// A stream inside TLS.
pub(crate) struct Tls<S> {
    inner: S,
    connection: RefCell<Connection>,
    pool: BufPool,
    session: Session,
    turn: Turn,
    /// Decrypted bytes that wait inside rustls.
    waiting: Cell<usize>,
    /// `stop_reading` was called: the end that comes is ours, not the peer's.
    stopped: Cell<bool>,
    ending: Cell<Ending>,
    /// Ciphertext after which our side ends, where it could not be sent at once.
    tail: Cell<Option<Buf>>,
}

/// How a read waits on the stream below.
#[derive(Clone, Copy)]
enum Wait {
    Read,
    Idle,
}

/// What is said in plain to a client that begins with these bytes; `None` where they may be TLS.
pub(crate) type PlainReply = fn(&[u8]) -> Option<&'static [u8]>;

/// Accepts TLS from a client: the handshake, until `until`. A client that does not speak TLS gets what `plain` says.
pub(crate) async fn accept<S: Stream>(
    stream: S,
    config: Arc<ServerConfig>,
    pool: BufPool,
    until: Tick,
    plain: PlainReply,
) -> Result<Tls<S>, Failure> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    Tls::shake_hands(stream, connection.into(), pool, (until, plain)).await
}

/// Starts TLS to the server `name`: the handshake, until `until`.
pub(crate) async fn connect<S: Stream>(
    stream: S,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    pool: BufPool,
    until: Tick,
) -> Result<Tls<S>, Failure> {
    let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    Tls::shake_hands(stream, connection.into(), pool, (until, |_| None)).await
}

impl<S: Stream> Tls<S> {
    /// What the handshake agreed on.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    async fn shake_hands(
        inner: S,
        mut connection: Connection,
        pool: BufPool,
        (until, plain): (Tick, PlainReply),
    ) -> Result<Tls<S>, Failure> {
        // Writes are cut to the size of a buffer here, so that rustls has no reason to cut them, too.
        connection.set_buffer_limit(None);
        let mut tls = Tls {
            inner,
            connection: RefCell::new(connection),
            pool,
            session: Session::default(),
            turn: Turn::default(),
            waiting: Cell::new(0),
            stopped: Cell::new(false),
            ending: Cell::new(Ending::Open),
            tail: Cell::new(None),
        };
        let mut buf = tls.pool.take(HANDSHAKE_READ);
        let mut first = None;
        let result = loop {
            if let Err(error) = tls.answer(until).await {
                break Err(error);
            }
            if !tls.connection.get_mut().is_handshaking() {
                break Ok(());
            }
            buf.reset(0);
            let (read, back) = tls.inner.read(buf, until).await;
            buf = back;
            if first.is_none()
                && let Some(reply) = plain(buf.filled())
            {
                first = Some(first_bytes(buf.filled()));
                let _ = tls.inner.write(Buf::copied(reply), until).await;
                tls.inner.finish();
                break Err(io::ErrorKind::InvalidData.into());
            }
            let taken = read.and_then(|count| match count {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => {
                    first.get_or_insert_with(|| first_bytes(buf.filled()));
                    tls.keep(buf.filled())
                }
            });
            if let Err(error) = taken {
                break Err(error);
            }
        };
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData) {
            buf = tls.drain(buf, until).await;
        }
        tls.pool.put(buf);
        if let Err(error) = result {
            let server_name = session_of(tls.connection.get_mut()).server_name;
            return Err(Failure { error, server_name, first: first.unwrap_or_default() });
        }
        tls.session = session_of(tls.connection.get_mut());
        Ok(tls)
    }

    /// Reads what the peer still sends after our last words. If it were left in the kernel, closing would send a reset,
    /// which makes the peer drop those words.
    async fn drain(&self, mut buf: Buf, until: Tick) -> Buf {
        if self.answer(until).await.is_err() {
            return buf;
        }
        for _ in 0..DRAIN_READS {
            buf.reset(0);
            let (read, back) = self.inner.read(buf, until).await;
            buf = back;
            if !matches!(read, Ok(1..)) {
                break;
            }
        }
        buf
    }

    /// Hands received bytes of the handshake to rustls. What it decrypts already stays inside: less than one buffer.
    fn keep(&self, mut ciphertext: &[u8]) -> io::Result<()> {
        while !ciphertext.is_empty() {
            if self.connection.borrow_mut().read_tls(&mut ciphertext)? == 0 {
                break;
            }
            self.process()?;
        }
        Ok(())
    }

    /// Hands rustls the `count` bytes of ciphertext at the front of `region`, and puts what it decrypts in their
    /// place. Gives the count of that; more may wait inside rustls.
    ///
    /// rustls refuses ciphertext while more than 16 KiB of plaintext wait inside. That cannot happen: plaintext is
    /// taken out into the room of the ciphertext already handed over, and only one record may have begun before it.
    fn replace(&self, region: &mut [u8], count: usize) -> io::Result<usize> {
        let (mut taken, mut filled) = (0, 0);
        while taken < count {
            let read = self.connection.borrow_mut().read_tls(&mut &region[taken..count])?;
            if read == 0 {
                // After close_notify, everything else is ignored (RFC 8446 section 6.1).
                break;
            }
            taken += read;
            self.process()?;
            filled += self.plaintext(&mut region[filled..taken])?;
        }
        filled += self.plaintext(&mut region[filled..])?;
        Ok(filled)
    }

    /// Tells rustls that the stream below has ended.
    fn end(&self) -> io::Result<()> {
        self.connection.borrow_mut().read_tls(&mut io::empty())?;
        self.process()
    }

    fn process(&self) -> io::Result<()> {
        let processed = self.connection.borrow_mut().process_new_packets();
        match processed {
            Ok(state) => {
                self.waiting.set(state.plaintext_bytes_to_read());
                Ok(())
            }
            Err(error) => {
                if self.owes_alert() {
                    self.ending.set(Ending::Done);
                    // It fits: nothing was sent on this connection before.
                    self.inner.write_now(&plain_alert(&error));
                    self.inner.finish();
                }
                self.last_words();
                Err(io::Error::new(io::ErrorKind::InvalidData, error))
            }
        }
    }

    /// After an error: did rustls make no alert of it (RFC 8446 section 6.2), while one can still be read without keys?
    fn owes_alert(&self) -> bool {
        let connection = self.connection.borrow();
        self.ending.get() == Ending::Open && !connection.wants_write() && connection.protocol_version().is_none()
    }

    /// Copies out what waits inside rustls.
    fn plaintext(&self, target: &mut [u8]) -> io::Result<usize> {
        if self.waiting.get() == 0 || target.is_empty() {
            return Ok(0);
        }
        let count = self.connection.borrow_mut().reader().read(target)?;
        self.waiting.set(self.waiting.get() - count);
        Ok(count)
    }

    /// Fills `buf` with what is decrypted already. None where that is nothing and the connection is open.
    fn ready(&self, buf: &mut Buf) -> Option<io::Result<usize>> {
        if self.waiting.get() > 0 {
            let result = self.plaintext(buf.spare_mut());
            return Some(result.inspect(|count| buf.fill(*count)));
        }
        match self.connection.borrow_mut().reader().read(buf.spare_mut()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            // Nothing waits, so this is an end: zero after close_notify, an error without it.
            result => Some(result),
        }
    }

    async fn receive(&self, mut buf: Buf, until: Tick, wait: Wait) -> (io::Result<usize>, Buf) {
        if buf.spare() == 0 {
            return (Ok(0), buf);
        }
        let before = buf.len();
        loop {
            if let Some(result) = self.ready(&mut buf) {
                return (result, buf);
            }
            if let Err(error) = self.answer(until).await {
                return (Err(error), buf);
            }
            let (result, back) = match wait {
                Wait::Read => self.inner.read(buf, until).await,
                Wait::Idle => self.inner.read_idle(buf, until).await,
            };
            buf = back;
            buf.truncate(before);
            let result = match result {
                Ok(0) if self.stopped.get() => return (Ok(0), buf),
                Ok(0) => self.end().map(|()| 0),
                Ok(count) => self.replace(buf.spare_mut(), count),
                Err(error) => Err(error),
            };
            match result {
                Ok(0) => {}
                Ok(count) => {
                    buf.fill(count);
                    return (Ok(count), buf);
                }
                Err(error) => return (Err(error), buf),
            }
        }
    }

    /// Sends what rustls wants to say by itself, unless somebody is sending: that one then sends this, too.
    async fn answer(&self, until: Tick) -> io::Result<()> {
        if let Some(tail) = self.tail.take() {
            let (result, tail) = self.inner.write(tail, until).await;
            self.pool.put(tail);
            self.inner.finish();
            return result;
        }
        if !self.connection.borrow().wants_write() {
            return Ok(());
        }
        match self.turn.take_if_free() {
            Some(turn) => self.send(Buf::empty(), until, turn).await.0,
            None => Ok(()),
        }
    }

    /// Encrypts and sends `buf`, and whatever else rustls wants to send.
    async fn send(&self, mut buf: Buf, until: Tick, turn: TurnGuard<'_>) -> (io::Result<()>, Buf) {
        let result = loop {
            let (ciphertext, taken) = match self.encrypt(buf.filled()) {
                Ok(encrypted) => encrypted,
                Err(error) => break Err(error),
            };
            if ciphertext.is_empty() {
                break Ok(());
            }
            let (result, ciphertext) = self.inner.write(ciphertext, until).await;
            self.pool.put(ciphertext);
            if let Err(error) = result {
                break Err(error);
            }
            buf.consume(taken);
        };
        drop(turn);
        if self.ending.get() == Ending::Asked {
            self.last_words();
        }
        (result, buf)
    }

    /// The records of the front of `plaintext`, after what rustls had to send before, and how many bytes of it they
    /// hold. Empty where there is nothing to send.
    fn encrypt(&self, plaintext: &[u8]) -> io::Result<(Buf, usize)> {
        let mut connection = self.connection.borrow_mut();
        // As many records as fit a buffer of the size that the plaintext is in.
        let most = if plaintext.len() > BUF_CLASSES[2] { WRITE_MAX } else { WRITE_SMALL };
        let chunk = &plaintext[..plaintext.len().min(most)];
        let taken = match chunk.is_empty() {
            true => 0,
            false => connection.writer().write(chunk)?,
        };
        if !connection.wants_write() {
            // Bytes that make no record would be tried for ever.
            return if chunk.is_empty() { Ok((Buf::empty(), 0)) } else { Err(io::ErrorKind::WriteZero.into()) };
        }
        let records = taken / RECORD + 1;
        let mut ciphertext = self.pool.take(taken + records * RECORD_OVERHEAD + OWN_RECORDS);
        while connection.wants_write() && ciphertext.spare() > 0 {
            connection.write_tls(&mut Sink(&mut ciphertext))?;
        }
        Ok((ciphertext, taken))
    }

    /// Sends close_notify, or the alert of a fatal error, and then the end of our side, without waiting. What does
    /// not fit is sent by the next read: a connection that is closed with care is read until the peer closes it, too.
    fn last_words(&self) {
        let Some(turn) = self.turn.take_if_free() else {
            self.ending.set(Ending::Asked);
            return;
        };
        if self.ending.replace(Ending::Done) == Ending::Done {
            return;
        }
        self.connection.borrow_mut().send_close_notify();
        if let Ok((mut words, _)) = self.encrypt(&[]) {
            let count = self.inner.write_now(words.filled());
            words.consume(count);
            if !words.is_empty() {
                self.tail.set(Some(words));
                return;
            }
            self.pool.put(words);
        }
        self.inner.finish();
        drop(turn);
    }
}

impl<S: Stream> Stream for Tls<S> {
    async fn read(&self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        self.receive(buf, until, Wait::Read).await
    }

    async fn read_idle(&self, buf: Buf, until: Tick) -> (io::Result<usize>, Buf) {
        self.receive(buf, until, Wait::Idle).await
    }

    /// What can be read may turn out to be no plaintext (a key update, half a record).
    async fn readable(&self, until: Tick) -> io::Result<()> {
        match self.waiting.get() {
            0 => self.inner.readable(until).await,
            _ => Ok(()),
        }
    }

    async fn write(&self, buf: Buf, until: Tick) -> (io::Result<()>, Buf) {
        if buf.is_empty() {
            return (Ok(()), buf);
        }
        let turn = self.turn.take().await;
        self.send(buf, until, turn).await
    }

    /// Nothing can be sent in part inside TLS, so nothing is.
    fn write_now(&self, _bytes: &[u8]) -> usize {
        0
    }

    fn interrupt(&self) {
        self.inner.interrupt();
    }

    fn stop_reading(&self) {
        self.stopped.set(true);
        self.inner.stop_reading();
    }

    fn read_again(&self) {
        self.stopped.set(false);
        self.inner.read_again();
    }

    /// Sends close_notify and FIN. Where the kernel has no room for close_notify, the next read sends both.
    fn finish(&self) {
        self.last_words();
    }

    fn abort(&self) {
        self.inner.abort();
    }

    fn limit_unsent(&self, bytes: u32) {
        self.inner.limit_unsent(bytes);
    }

    fn unsent(&self) -> usize {
        self.inner.unsent()
    }

    /// Ciphertext that waits counts as bytes, also where it is none (close_notify, a session ticket): a connection
    /// that is to be used again should have been quiet.
    fn set_pace(&self, pace: Pace) {
        self.inner.set_pace(pace);
    }

    fn undelivered(&self) -> usize {
        self.inner.undelivered()
    }

    fn peek(&self) -> Peek {
        match self.waiting.get() {
            0 => self.inner.peek(),
            _ => Peek::Readable,
        }
    }

    fn drained(&self) -> bool {
        self.waiting.get() == 0 && self.inner.drained()
    }

    fn peer(&self) -> &Address {
        self.inner.peer()
    }

    fn local(&self) -> &Address {
        self.inner.local()
    }
}

/// Most plaintext in one record (RFC 8446 section 5.1).
const RECORD: usize = 16 * 1024;
/// Header, explicit nonce and tag of a record, in the version where they are longest.
const RECORD_OVERHEAD: usize = 32;
/// Room for what rustls sends by itself: a key update, an alert, two session tickets. What does not fit is sent after.
const OWN_RECORDS: usize = 512;
/// Plaintext that is encrypted at once: as many records as fit the largest buffer.
const WRITE_MAX: usize = 15 * RECORD;
/// The same for the second largest.
const WRITE_SMALL: usize = 3 * RECORD;
/// Reads behind a failed handshake at most.
const DRAIN_READS: usize = 32;
/// The first read of a handshake; a client's first message is 0.3 to 2 KiB.
const HANDSHAKE_READ: usize = 4 * 1024;
