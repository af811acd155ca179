// SPDX-License-Identifier: Apache-2.0
//! Hot. Writes one HTTP/2 connection: queued frames first, then frames of waiting streams by priority, as many as fit
//! into one write.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::ErrorKind;
use std::rc::Rc;
use std::task::Poll;

use crate::base::{Buf, Pace, Tick, limits};
use crate::edge::flow::signal::Signal;
use crate::edge::flow::thread::Thread;
use crate::edge::protocol::h2::session::Session;
use crate::edge::protocol::h2::stream_state::QueuedContent;
use crate::net::tls::Transport;
use crate::net::{Net, Stream};
use crate::wire::h2::connection::{Connection, Ending, Grant};
use crate::wire::h2::frame::HEADER_BYTES;
use crate::wire::h2::write;

/// How long the last words of a connection may take.
const LAST_WORDS_MS: u64 = 2_000;
/// Less room than this is not worth a frame.
const FRAME_MIN: usize = 1_024;
/// Room for the frames of streams in the first write after one that was not full; it grows while frames fill it.
const FIRST_ROOM: usize = limits::BUF_CLASSES[0];
/// The most room for them while much waits in the kernel: one frame of 16 KiB. What is urgent waits behind no more.
const ROOM_SLOW: usize = limits::BUF_CLASSES[1];
/// The largest buffer of one write, and the most room: four frames.
const WRITE_MAX: usize = limits::BUF_CLASSES[2];
/// Where the kernel holds no more unsent bytes than this, a write of `WRITE_MAX` keeps what is urgent waiting for no
/// longer than one of `ROOM_SLOW` does behind `UNSENT_HTTP2`.
const UNSENT_LITTLE: usize = 16 * 1024;
/// Unsent bytes that the kernel may hold (`TCP_NOTSENT_LOWAT`). With the default of megabytes an urgent response would
/// wait behind everything that a fast origin sent to a slow client; a few writes of `ROOM_SLOW` keep the line busy.
const UNSENT_HTTP2: u32 = 64 * 1024;

/// Writes until the connection is over.
pub(crate) async fn write_all<N: Net>(session: Rc<Session<N>>) {
    let mut room = FIRST_ROOM;
    loop {
        let size = session.machine.borrow().output_len() + session.spill.borrow().len();
        let mut buf = session.thread.pool.take((size + room).min(WRITE_MAX));
        session.gather(&mut buf);
        let is_full = buf.spare() <= FRAME_MIN;
        if session.machine.borrow().failed().is_some() {
            // If sending caused the failure, the reading task does not know it yet.
            session.interrupt();
        }
        if buf.is_empty() {
            room = FIRST_ROOM;
            session.thread.pool.put(buf);
            if session.over.get() {
                break;
            }
            poll_fn(|context| {
                let idle = !session.over.get() && !session.has_work();
                if idle {
                    session.writer.set(Some(context.waker().clone()));
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
            continue;
        }
        session.writing.set(true);
        let (written, buf) = session.transport.write(buf, session.write_until()).await;
        session.writing.set(false);
        // Downloads leave in frames of 16 KiB, and streams with little to send take little memory.
        room = if is_full { session.room_after(buf.capacity()) } else { FIRST_ROOM };
        session.thread.pool.put(buf);
        if let Err(error) = written {
            session.stuck.set(error.kind() == ErrorKind::TimedOut);
            session.transport.abort();
            session.end();
            session.interrupt();
            break;
        }
    }
    session.transport.finish();
    session.done.raise();
}

impl<N: Net> Session<N> {
    /// A connection over `transport`; its writing task starts at once. `pace` is demanded of the peer.
    /// Of a client, the thread holds at most `unread_max` bytes of unread content.
    pub(crate) fn start(
        thread: &Rc<Thread<N>>,
        transport: Rc<Transport<N::Stream>>,
        machine: Connection,
        pace: Pace,
        unread_max: Option<usize>,
    ) -> Rc<Session<N>> {
        let session = Rc::new(Session {
            thread: thread.clone(),
            transport,
            machine: RefCell::new(machine),
            heard: Cell::new(thread.net.now()),
            spoke: Cell::new(false),
            streams: RefCell::default(),
            spill: RefCell::default(),
            writer: Cell::default(),
            over: Cell::new(false),
            writing: Cell::new(false),
            unread_max,
            stuck: Cell::new(false),
            done: Signal::default(),
        });
        session.transport.limit_unsent(UNSENT_HTTP2);
        session.transport.set_pace(pace);
        thread.net.spawn(write_all(session.clone()));
        session
    }

    /// Room for the frames of streams behind a full write from a buffer of `capacity`.
    fn room_after(&self, capacity: usize) -> usize {
        match capacity {
            ..ROOM_SLOW => ROOM_SLOW,
            _ if self.transport.unsent() <= UNSENT_LITTLE => WRITE_MAX,
            _ => ROOM_SLOW,
        }
    }

    /// By when a write must be done, whatever the pace. Where every stream came to its end the last words are answers,
    /// else nobody waits for them.
    fn write_until(&self) -> Tick {
        let hurries = self.over.get() && !self.machine.borrow().is_drained();
        if hurries { self.thread.net.now().after_ms(LAST_WORDS_MS) } else { Tick::NEVER }
    }

    /// Gathers what can be written now.
    fn gather(&self, buf: &mut Buf) {
        loop {
            let mut spill = self.spill.borrow_mut();
            self.machine.borrow_mut().take_output(&mut spill);
            let all = buf.append(&spill);
            if !all {
                let room = buf.spare();
                let copied = buf.append(&spill[..room]);
                debug_assert!(copied, "exactly the room");
                spill.drain(..room);
                return;
            }
            spill.clear();
            drop(spill);
            if self.over.get() || !self.next_frame(buf) {
                return;
            }
        }
    }

    /// Takes frames from the streams, in their turn, until `buf` is full. True where something was queued meanwhile
    /// that must be written before any further frame.
    fn next_frame(&self, buf: &mut Buf) -> bool {
        let now = self.thread.net.now();
        let mut machine = self.machine.borrow_mut();
        let mut streams = self.streams.borrow_mut();
        while buf.spare() > FRAME_MIN {
            let Some(key) = machine.pick() else { return false };
            let Some(stream) = streams.get_mut(key.slot()).filter(|stream| stream.id == key.id()) else { continue };
            let Some(outgoing) = &mut stream.outgoing else { continue };
            let wanted = outgoing.buf.len().min(buf.spare() - HEADER_BYTES);
            let ends = outgoing.last && outgoing.trailers.is_empty() && wanted == outgoing.buf.len();
            let ending = if ends { Ending::Last } else { Ending::More };
            match machine.grant(key, wanted, ending, now) {
                Grant::Frame { header, len, .. } => {
                    let copied = buf.append(&header) && buf.append(&outgoing.buf.filled()[..len]);
                    debug_assert!(copied, "no more than the room was asked for");
                    outgoing.buf.consume(len);
                    if !outgoing.buf.is_empty() {
                        machine.offer(key);
                        continue;
                    }
                }
                Grant::Blocked => {
                    machine.offer(key);
                    return false;
                }
                Grant::Gone => {}
            }
            let Some(QueuedContent { buf: empty, last, trailers }) = stream.outgoing.take() else { continue };
            let lines = |out: &mut Vec<u8>, encoder: &mut _| write::trailer_lines(out, encoder, &trailers);
            let queued = last && !trailers.is_empty() && machine.send_trailers(key, lines).is_ok();
            stream.sent = Some(empty);
            stream.wake_sender();
            if queued {
                return true;
            }
        }
        false
    }

    /// Is there anything that the writer could write?
    fn has_work(&self) -> bool {
        self.machine.borrow().has_output() || !self.spill.borrow().is_empty() || self.machine.borrow().can_pick()
    }
}
