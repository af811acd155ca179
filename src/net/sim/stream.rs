// SPDX-License-Identifier: Apache-2.0
//! A simulated connection's end: the rules of `net::Stream`, over two pipes.
//!
//! Misuse that would lose data or memory on real completion I/O fails the run: two reads or two writes at once, and any
//! use of a stream after one of its futures was dropped half-way.

mod transfer;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::Waker;

use crate::base::{Address, Buf, Judge, Pace, Rng, Tick, Verdict};
use crate::net::sim::faults::{Course, Faults};
use crate::net::sim::pipe::{Pipe, Put, Take};
use crate::net::sim::tasks::HostId;
use crate::net::sim::trace::Subject;
use crate::net::sim::world::World;

/// One direction and who waits for it.
struct Wire {
    pipe: RefCell<Pipe>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
    /// When a reader that waits is woken for bytes on their way.
    alarm: Cell<Tick>,
}

impl Wire {
    fn new(course: Course, rng: Rng) -> Rc<Wire> {
        let pipe = RefCell::new(Pipe::new(course, rng));
        Rc::new(Wire { pipe, reader: RefCell::default(), writer: RefCell::default(), alarm: Cell::new(Tick::ZERO) })
    }

    /// Bytes were put. Their reader is woken when they arrive and not before, as an operation in the kernel completes
    /// when it has bytes. A reader that comes later sets a timer of its own.
    fn tell_reader(&self, world: &World) {
        let now = world.now.get();
        match self.pipe.borrow_mut().look(now) {
            Take::Nothing(Some(at)) if self.alarm.get() <= now => {
                if let Some(waker) = &*self.reader.borrow() {
                    self.alarm.set(at);
                    world.wake_at(at, waker.clone());
                }
            }
            Take::Nothing(_) => {}
            Take::Took(_) | Take::End | Take::Broken => {
                if let Some(waker) = self.reader.take() {
                    waker.wake();
                }
            }
        }
    }

    fn wake_writer(&self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    fn wake_both(&self) {
        for waiting in [&self.reader, &self.writer] {
            if let Some(waker) = waiting.take() {
                waker.wake();
            }
        }
    }
}

/// One end of a simulated connection.
pub struct SimStream {
    world: Rc<World>,
    id: u64,
    connection: u64,
    accepted: bool,
    host: HostId,
    local: Address,
    peer: Address,
    incoming: Rc<Wire>,
    outgoing: Rc<Wire>,
    reading: Cell<bool>,
    writing: Cell<bool>,
    /// A `read` timed out: no more reads.
    read_over: Cell<bool>,
    /// A `write` failed or timed out, or our side was ended: no more writes.
    write_over: Cell<bool>,
    interrupted: Cell<bool>,
    stopped: Cell<bool>,
    aborted: Cell<bool>,
    /// A future was dropped half-way: the stream may only be closed.
    lost: Cell<bool>,
    /// The last read left room in its buffer.
    drained: Cell<bool>,
    pace: Cell<Pace>,
    judge: Judge,
}

/// Which of the three kinds of reading.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadKind {
    /// `read`
    Bytes,
    /// `read_idle`
    IdleBytes,
    /// `readable`
    Ready,
}

impl ReadKind {
    /// Does `interrupt` end it?
    pub(crate) fn interruptible(self) -> bool {
        match self {
            ReadKind::Bytes => false,
            ReadKind::IdleBytes | ReadKind::Ready => true,
        }
    }
}

/// Who is connected, for a new pair of ends.
pub(crate) struct Parties {
    /// Who connects.
    pub opener: (HostId, Address),
    /// Who accepts.
    pub accepter: (HostId, Address),
}

/// A new connection: the end that was opened and the end to be accepted.
pub(crate) fn connection(world: &Rc<World>, parties: Parties, faults: &Faults) -> (SimStream, SimStream) {
    let connection = world.fresh_id();
    let mut rng = Rng::new(world.settings.seed ^ connection.wrapping_mul(0xD6E8_FEB8_6659_FD93));
    let mut wire = || Wire::new(Course::draw(faults, &mut rng), Rng::new(rng.next_u64()));
    let (there, back) = (wire(), wire());
    let (opener, accepter) = (parties.opener, parties.accepter);
    let opened = SimStream::new(world, connection, opener.clone(), accepter.1.clone(), (back.clone(), there.clone()));
    let mut accepted = SimStream::new(world, connection, accepter, opener.1, (there, back));
    accepted.accepted = true;
    (opened, accepted)
}

impl SimStream {
    fn new(
        world: &Rc<World>,
        connection: u64,
        (host, local): (HostId, Address),
        peer: Address,
        (incoming, outgoing): (Rc<Wire>, Rc<Wire>),
    ) -> SimStream {
        let id = world.fresh_id();
        world.live.borrow_mut().insert(id, (host, format!("stream {connection} {local} <-> {peer}")));
        SimStream {
            world: world.clone(),
            id,
            connection,
            accepted: false,
            host,
            local,
            peer,
            incoming,
            outgoing,
            reading: Cell::new(false),
            writing: Cell::new(false),
            read_over: Cell::new(false),
            write_over: Cell::new(false),
            interrupted: Cell::new(false),
            stopped: Cell::new(false),
            aborted: Cell::new(false),
            lost: Cell::new(false),
            drained: Cell::new(true),
            pace: Cell::new(Pace::NONE),
            judge: Judge::default(),
        }
    }

    /// The connection's number, as the trace shows it; both ends have the same.
    pub fn connection(&self) -> u64 {
        self.connection
    }

    fn event(&self, verb: &'static str, count: usize) {
        self.world.event(self.host, Subject::Stream(self.connection, self.accepted), verb, count as u64);
    }

    fn operation(&self) {
        self.world.operation(self.host);
    }

    fn misuse(&self, what: &str) -> io::Error {
        let text = format!("misuse of stream {} {} <-> {}: {what}", self.connection, self.local, self.peer);
        self.world.fail(self.host, text.clone());
        io::Error::other(text)
    }

    /// The connection breaks for the peer, one latency from `from`.
    fn break_peer(&self, from: Tick) {
        let latency = self.outgoing.pipe.borrow().latency();
        let at = Tick::from_nanos(from.nanos() + latency);
        self.outgoing.pipe.borrow_mut().break_reader(at);
        self.incoming.pipe.borrow_mut().break_writer(at);
        self.outgoing.wake_both();
        self.incoming.wake_both();
    }

    /// The connection breaks for us at `at`.
    fn break_here(&self, at: Tick) {
        self.incoming.pipe.borrow_mut().break_reader(at);
        self.outgoing.pipe.borrow_mut().break_writer(at);
        self.outgoing.wake_both();
        self.incoming.wake_both();
    }

    fn start_read(&self) -> io::Result<()> {
        if self.reading.get() {
            return Err(self.misuse("two reads at once"));
        }
        if self.lost.get() {
            return Err(self.misuse("a read after one of its futures was dropped half-way"));
        }
        Ok(())
    }

    fn start_write(&self) -> io::Result<()> {
        if self.writing.get() {
            return Err(self.misuse("two writes at once"));
        }
        if self.lost.get() {
            return Err(self.misuse("a write after one of its futures was dropped half-way"));
        }
        Ok(())
    }

    /// What every read gives from now on, where the reading side has ended.
    fn read_ended(&self) -> Option<io::Result<usize>> {
        match (self.aborted.get(), self.read_over.get(), self.stopped.get()) {
            (true, ..) => Some(Err(io::ErrorKind::ConnectionAborted.into())),
            (false, true, _) => Some(Err(io::ErrorKind::TimedOut.into())),
            (false, false, true) => Some(Ok(0)),
            (false, false, false) => None,
        }
    }

    /// The result of a read that needs no waiting, or when to look again.
    fn try_read(&self, want: ReadKind, buf: Option<&mut Buf>) -> Result<io::Result<usize>, Option<Tick>> {
        if let Some(ended) = self.read_ended() {
            // Whoever waits for readiness learns the reason from the read behind it.
            return Ok(if want == ReadKind::Ready { Ok(0) } else { ended });
        }
        if want.interruptible() && self.interrupted.take() {
            self.event("interrupted", 0);
            return Ok(Err(io::ErrorKind::Interrupted.into()));
        }
        let now = self.world.now.get();
        let taken = match buf {
            Some(buf) if buf.spare() == 0 => return Ok(Ok(0)),
            Some(buf) => {
                let taken = self.incoming.pipe.borrow_mut().take(now, buf.spare_mut());
                if let Take::Took(count) = taken {
                    buf.fill(count);
                    self.event("read", count);
                    self.incoming.wake_writer();
                }
                taken
            }
            None => self.incoming.pipe.borrow_mut().look(now),
        };
        match taken {
            Take::Took(count) => Ok(Ok(count)),
            Take::End => {
                self.event("saw the end", 0);
                Ok(Ok(0))
            }
            Take::Broken => {
                self.event("saw a reset", 0);
                if want == ReadKind::Ready { Ok(Ok(0)) } else { Ok(Err(io::ErrorKind::ConnectionReset.into())) }
            }
            Take::Nothing(next) => Err(next),
        }
    }

    /// Writes what fits; the result, or when to try again.
    fn try_write(&self, buf: &mut Buf) -> Result<io::Result<()>, Option<Tick>> {
        while !buf.is_empty() {
            if self.aborted.get() {
                return Ok(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            if self.write_over.get() {
                return Ok(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let put = self.outgoing.pipe.borrow_mut().put(self.world.now.get(), buf.filled());
            match put {
                Put::Took(count) | Put::Unwanted(count) | Put::Cut(count) => {
                    buf.consume(count);
                    self.event("wrote", count);
                    self.after_put(put);
                }
                Put::Full(next) => return Err(next),
                Put::Broken => {
                    self.write_over.set(true);
                    self.event("cannot write: broken", 0);
                    let broken = if self.connection.is_multiple_of(2) {
                        io::ErrorKind::BrokenPipe
                    } else {
                        io::ErrorKind::ConnectionReset
                    };
                    return Ok(Err(broken.into()));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Looks how much the peer has taken.
    fn look(&self) -> Verdict {
        self.judge.look(self.pace.get(), self.world.now.get(), self.outgoing.pipe.borrow().taken() as i64)
    }

    fn after_put(&self, put: Put) {
        let now = self.world.now.get();
        let there = self.outgoing.pipe.borrow().latency();
        let back = self.incoming.pipe.borrow().latency();
        match put {
            Put::Took(_) => self.outgoing.tell_reader(&self.world),
            Put::Unwanted(_) => self.break_here(Tick::from_nanos(now.nanos() + there + back)),
            Put::Cut(_) => {
                self.event("cut by a fault", 0);
                self.break_peer(now);
                self.break_here(Tick::from_nanos(now.nanos() + back));
            }
            Put::Full(_) | Put::Broken => {}
        }
    }

    fn close(&self) {
        let now = self.world.now.get();
        if self.aborted.get() {
            return;
        }
        let unread = self.incoming.pipe.borrow_mut().arrived(now);
        if unread > 0 {
            // As the kernel does: bytes that nobody will read are answered with a reset.
            self.event("closed with a reset, unread bytes:", unread);
            self.break_peer(now);
        } else {
            self.event("closed", 0);
            self.outgoing.pipe.borrow_mut().finish(now);
            let (coming, arrives) = {
                let incoming = self.incoming.pipe.borrow();
                (incoming.inside() > 0, incoming.drained_at(now))
            };
            if coming {
                self.break_peer(arrives);
            }
        }
        self.incoming.pipe.borrow_mut().lose_reader();
        self.outgoing.wake_both();
        self.incoming.wake_both();
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.close();
        self.world.live.borrow_mut().remove(&self.id);
    }
}
