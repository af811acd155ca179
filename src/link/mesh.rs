// SPDX-License-Identifier: Apache-2.0
//! Hot. Messages between shards: one bounded ring for each ordered pair of them, written by one thread and read by one.
//!
//! A message is never lost and never overtakes another of the same pair. Where a ring is full, the message stays with
//! its sender (`Sent::Kept`) and is sent once the receiver has made room: the receiver rings the sender's bell for
//! that. `ring` wakes receivers, once for all messages since the last call; call it once a turn of the event loop. A
//! shard that has ended gets nothing: what is for it is dropped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use crate::net::bell::Bell;

/// One shard's end of all rings.
#[derive(Debug)]
pub struct Mesh<M> {
    to: Vec<Option<Outgoing<M>>>,
    from: Vec<Option<Incoming<M>>>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is in the ring.
    Ring,
    /// The ring is full: so many messages, this one included, wait with the sender.
    Kept(usize),
    /// The receiver has ended.
    Dropped,
}

/// The writing end of a ring.
#[derive(Debug)]
pub struct Outgoing<M> {
    ring: Producer<M>,
    /// What the ring had no room for, in order.
    kept: VecDeque<M>,
    /// Somebody should be woken for what the ring holds.
    unannounced: bool,
    receiver: Bell,
    /// Set by the writer while it keeps messages, taken by the reader once there is room.
    starved: Arc<AtomicBool>,
}

/// The reading end of a ring.
#[derive(Debug)]
pub struct Incoming<M> {
    ring: Consumer<M>,
    sender: Bell,
    starved: Arc<AtomicBool>,
}

/// The mesh of shards that are woken by `bells`, one end for each.
pub fn mesh<M>(bells: &[Bell]) -> Vec<Mesh<M>> {
    let count = bells.len();
    let mut ends: Vec<Mesh<M>> = (0..count).map(|_| Mesh::new(count)).collect();
    for sender in 0..count {
        for receiver in (0..count).filter(|receiver| *receiver != sender) {
            let (outgoing, incoming) = ring(ring_messages(count), &bells[sender], &bells[receiver]);
            ends[sender].to[receiver] = Some(outgoing);
            ends[receiver].from[sender] = Some(incoming);
        }
    }
    ends
}

/// A ring from one thread to another.
pub fn ring<M>(messages: usize, sender: &Bell, receiver: &Bell) -> (Outgoing<M>, Incoming<M>) {
    let (producer, consumer) = RingBuffer::new(messages);
    let starved = Arc::new(AtomicBool::new(false));
    let outgoing = Outgoing {
        ring: producer,
        kept: VecDeque::new(),
        unannounced: false,
        receiver: receiver.clone(),
        // tidy(hot): once for each ring.
        starved: starved.clone(),
    };
    (outgoing, Incoming { ring: consumer, sender: sender.clone(), starved })
}

/// Messages that one ring holds: fewer where there are many rings, because their memory grows with the square of the
/// number of shards.
fn ring_messages(shards: usize) -> usize {
    (MESH_MESSAGES / shards.max(1)).clamp(RING_MESSAGES.0, RING_MESSAGES.1)
}

/// Messages on their way from one shard to all others together, in the rings.
const MESH_MESSAGES: usize = 4_096;
/// Fewest and most of one ring. With 64 shards all rings together hold 258 048.
const RING_MESSAGES: (usize, usize) = (64, 1_024);

impl<M> Mesh<M> {
    fn new(shards: usize) -> Mesh<M> {
        Mesh { to: (0..shards).map(|_| None).collect(), from: (0..shards).map(|_| None).collect() }
    }

    /// An end over these rings, by the number of the other shard.
    #[cfg(any(test, feature = "sim"))]
    pub fn of(to: Vec<Option<Outgoing<M>>>, from: Vec<Option<Incoming<M>>>) -> Mesh<M> {
        Mesh { to, from }
    }

    /// Sends a message to another shard. There is no ring to the shard itself: what it has to say to itself, it does.
    pub fn send(&mut self, receiver: usize, message: M) -> Sent {
        match self.to.get_mut(receiver) {
            Some(Some(outgoing)) => outgoing.send(message),
            Some(None) | None => Sent::Dropped,
        }
    }

    /// Sends what was kept, as far as there is room, and wakes all shards that messages wait for.
    pub fn ring(&mut self) {
        for outgoing in self.to.iter_mut().flatten() {
            outgoing.flush();
            outgoing.announce();
        }
    }

    /// Takes the messages that are here, with their senders: at most what the rings hold. What is sent meanwhile rings
    /// the bell again.
    pub fn receive(&mut self, mut each: impl FnMut(usize, M)) {
        for (sender, incoming) in self.from.iter_mut().enumerate() {
            if let Some(incoming) = incoming {
                incoming.receive(|message| each(sender, message));
            }
        }
    }

    /// Messages that wait with the sender because rings are full.
    pub fn kept(&self) -> usize {
        self.to.iter().flatten().map(|outgoing| outgoing.kept.len()).sum()
    }
}

impl<M> Outgoing<M> {
    /// Sends a message, or keeps it.
    pub fn send(&mut self, message: M) -> Sent {
        if self.ring.is_abandoned() {
            self.kept.clear();
            return Sent::Dropped;
        }
        if self.kept.is_empty() {
            let Err(PushError::Full(message)) = self.ring.push(message) else {
                self.unannounced = true;
                return Sent::Ring;
            };
            self.kept.push_back(message);
            self.flush();
        } else {
            self.kept.push_back(message);
        }
        if self.kept.is_empty() { Sent::Ring } else { Sent::Kept(self.kept.len()) }
    }

    /// Sends what was kept, as far as there is room.
    pub fn flush(&mut self) {
        if self.kept.is_empty() {
            return;
        }
        // First the flag, then another look at the ring; the reader makes room first and then looks at the flag. So
        // one of the two sees the other, and no message is left without a bell to come.
        self.starved.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        while let Some(message) = self.kept.pop_front() {
            if let Err(PushError::Full(message)) = self.ring.push(message) {
                self.kept.push_front(message);
                return;
            }
            self.unannounced = true;
        }
        self.starved.store(false, Ordering::Relaxed);
    }

    /// Wakes the reader, if anything was sent since the last call.
    pub fn announce(&mut self) {
        if std::mem::take(&mut self.unannounced) {
            self.receiver.ring();
        }
    }
}

impl<M> Incoming<M> {
    /// Takes the messages that are here; returns how many. The writer is woken where it waited for room.
    pub fn receive(&mut self, mut each: impl FnMut(M)) -> usize {
        let here = self.ring.slots();
        let mut taken = 0;
        while taken < here
            && let Ok(message) = self.ring.pop()
        {
            taken += 1;
            each(message);
        }
        if taken > 0 {
            fence(Ordering::SeqCst);
            if self.starved.swap(false, Ordering::Relaxed) {
                self.sender.ring();
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn bells(count: usize) -> Vec<Bell> {
        (0..count).map(|_| Bell::silent()).collect()
    }

    fn all(mesh: &mut Mesh<u32>) -> Vec<(usize, u32)> {
        let mut heard = Vec::new();
        mesh.receive(|sender, message| heard.push((sender, message)));
        heard
    }

    #[test]
    fn a_message_reaches_its_receiver_and_nobody_else() {
        let bells = bells(3);
        let mut ends = mesh::<u32>(&bells);
        assert_eq!(ends[0].send(2, 7), Sent::Ring);
        assert!(!bells[2].take(), "the receiver is woken once for all messages");
        assert_eq!(ends[0].send(2, 8), Sent::Ring);
        ends[0].ring();
        assert!(bells[2].take() && !bells[1].take());
        assert_eq!(all(&mut ends[2]), [(0, 7), (0, 8)]);
        assert_eq!(all(&mut ends[1]), []);
        ends[0].ring();
        assert!(!bells[2].take(), "nothing new, no bell");
        assert_eq!(ends[0].send(0, 1), Sent::Dropped, "there is no ring to oneself");
    }

    #[test]
    fn what_a_full_ring_does_not_take_is_kept_in_order_and_sent_when_there_is_room() {
        let bells = bells(2);
        let mut ends = mesh::<u32>(&bells);
        let room = ring_messages(2) as u32;
        for number in 0..room {
            assert_eq!(ends[0].send(1, number), Sent::Ring);
        }
        assert_eq!(ends[0].send(1, room), Sent::Kept(1));
        assert_eq!(ends[0].send(1, room + 1), Sent::Kept(2));
        assert_eq!(ends[0].kept(), 2);
        bells[0].take();
        let mut heard = all(&mut ends[1]);
        assert!(bells[0].take(), "the sender is woken when there is room");
        ends[0].ring();
        heard.extend(all(&mut ends[1]));
        assert!(heard.iter().map(|(_, number)| *number).eq(0..room + 2));
        assert!(!bells[0].take(), "nobody waits any more");
        assert_eq!(ends[0].kept(), 0);
    }

    #[test]
    fn what_is_for_a_shard_that_has_ended_is_dropped() {
        let mut ends = mesh::<u32>(&bells(2));
        drop(ends.pop());
        assert_eq!(ends[0].send(1, 1), Sent::Dropped);
    }

    #[test]
    fn rings_of_many_shards_are_short_and_of_few_are_long() {
        assert_eq!([1, 2, 8, 64, 1_000].map(ring_messages), [1_024, 1_024, 512, 64, 64]);
    }

    #[test]
    fn two_threads_lose_nothing_while_the_ring_is_nearly_always_full() {
        let (sending, receiving) = (Bell::silent(), Bell::silent());
        let (mut outgoing, mut incoming) = ring::<u32>(4, &sending, &receiving);
        const COUNT: u32 = 2_000;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..COUNT {
                    outgoing.send(number);
                    outgoing.announce();
                }
                // From here on only the bell says when to look again, as on a shard.
                while !outgoing.kept.is_empty() {
                    if sending.take() {
                        outgoing.flush();
                        outgoing.announce();
                    }
                    std::thread::yield_now();
                }
            });
            let mut next = 0;
            while next < COUNT {
                if receiving.take() {
                    while incoming.receive(|number| {
                        assert_eq!(number, next);
                        next += 1;
                    }) > 0
                    {}
                }
                std::thread::yield_now();
            }
        });
    }

    proptest! {
        #[test]
        fn every_message_arrives_once_and_in_order(steps in prop::collection::vec(prop::bool::weighted(0.8), 1..400)) {
            let bells = bells(2);
            let (mut outgoing, mut incoming) = ring::<u32>(3, &bells[0], &bells[1]);
            let (mut sent, mut heard) = (0_u32, Vec::new());
            for sends in steps {
                if sends {
                    outgoing.send(sent);
                    sent += 1;
                    outgoing.announce();
                    continue;
                }
                incoming.receive(|message| heard.push(message));
                if bells[0].take() {
                    outgoing.flush();
                    outgoing.announce();
                }
            }
            while heard.len() < sent as usize {
                prop_assert!(incoming.receive(|message| heard.push(message)) > 0);
                outgoing.flush();
            }
            prop_assert_eq!(heard, (0..sent).collect::<Vec<_>>());
        }
    }
}
