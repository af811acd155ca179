// SPDX-License-Identifier: Apache-2.0
//! The control plane's ends of the links to all shards. Sends without waiting, and detects threads that have ended.
//!
//! Messages that do not fit into a full queue wait here in order and are retried. A shard for which `WAITING_MAX`
//! messages wait counts as stuck.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tokio::sync::Notify;

use crate::link::{FROM_SHARD_MAX, FromShard, Outbox, REPORTS_MAX, ShardEnd, TO_SHARD_MAX, ToShard, mesh};
use crate::net::Bell;
use crate::net::sockets::ListenSocket;

/// Messages that wait for one shard beyond its queue; above it the shard counts as stuck.
const WAITING_MAX: usize = 65_536;

/// What the control plane holds of one shard.
#[derive(Debug)]
pub(crate) struct ControlEnd {
    /// To the shard.
    pub inbox: Sender<ToShard<ListenSocket>>,
    /// Rung after each message.
    pub bell: Bell,
    /// Set when the shard's thread is over.
    pub ended: Arc<AtomicBool>,
}

/// The messages of all shards.
#[derive(Debug)]
pub(crate) struct FromShards {
    queue: Receiver<(usize, FromShard)>,
    reports: Vec<Receiver<FromShard>>,
    wake: Arc<Notify>,
}

impl FromShards {
    /// Waits until a shard sent a message or ended. May be dropped.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Makes the next `woken` return at once.
    pub(crate) fn again(&self) {
        self.wake.notify_one();
    }

    /// The next message, if one is there: reports before everything else.
    pub(crate) fn next(&self) -> Option<(usize, FromShard)> {
        let report = (0..).zip(&self.reports).find_map(|(shard, queue)| Some((shard, queue.try_recv().ok()?)));
        report.or_else(|| self.other())
    }

    /// The next message that is no report, if one is there.
    pub(crate) fn other(&self) -> Option<(usize, FromShard)> {
        self.queue.try_recv().ok()
    }
}

/// What goes into a shard's thread.
#[derive(Debug)]
pub(crate) struct ShardParts {
    /// The shard's end of the link.
    pub end: ShardEnd<ListenSocket>,
    /// Wakes the shard.
    pub bell: Bell,
    /// To be dropped when the thread is over, however it ends.
    pub guard: EndGuard,
}

/// Tells the control plane that a shard's thread is over, when it is dropped.
#[derive(Debug)]
pub(crate) struct EndGuard {
    ended: Arc<AtomicBool>,
    wake: Arc<Notify>,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// Both sides of the links to so many shards.
pub(crate) fn links(
    count: usize,
    bell: impl Fn() -> io::Result<Bell>,
) -> io::Result<(Vec<ControlEnd>, Vec<ShardParts>, FromShards)> {
    let (queue_in, queue) = bounded(FROM_SHARD_MAX);
    let wake = Arc::new(Notify::new());
    let (mut ends, mut parts) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut all_reports = Vec::with_capacity(count);
    let bells = (0..count).map(|_| bell()).collect::<io::Result<Vec<Bell>>>()?;
    let meshes = mesh(&bells);
    for (shard, (bell, mesh)) in bells.into_iter().zip(meshes).enumerate() {
        let (inbox, shard_inbox) = bounded(TO_SHARD_MAX);
        let (reports_in, reports) = bounded(REPORTS_MAX);
        let ended = Arc::new(AtomicBool::new(false));
        let waker = Arc::clone(&wake);
        let (queue, wake_up) = (queue_in.clone(), move || waker.notify_one());
        let outbox = Outbox { queue, reports: reports_in, wake: Arc::new(wake_up), shard };
        all_reports.push(reports);
        let guard = EndGuard { ended: Arc::clone(&ended), wake: Arc::clone(&wake) };
        parts.push(ShardParts { end: ShardEnd { shard, inbox: shard_inbox, outbox, mesh }, bell: bell.clone(), guard });
        ends.push(ControlEnd { inbox, bell, ended });
    }
    Ok((ends, parts, FromShards { queue, reports: all_reports, wake }))
}

/// All shards.
#[derive(Debug)]
pub(crate) struct Shards {
    links: Vec<Link>,
}

#[derive(Debug)]
struct Link {
    end: ControlEnd,
    waiting: VecDeque<ToShard<ListenSocket>>,
    stuck: bool,
}

impl Shards {
    /// Over these ends, by the shards' numbers.
    pub(crate) fn new(ends: Vec<ControlEnd>) -> Shards {
        Shards { links: ends.into_iter().map(|end| Link { end, waiting: VecDeque::new(), stuck: false }).collect() }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.links.len()
    }

    /// Sends to one shard.
    pub(crate) fn send(&mut self, shard: usize, message: ToShard<ListenSocket>) {
        let Some(link) = self.links.get_mut(shard) else { return };
        if link.waiting.len() < WAITING_MAX {
            link.waiting.push_back(message);
        } else {
            link.stuck = true;
        }
        link.flush();
    }

    /// Sends to every shard.
    pub(crate) fn send_all(&mut self, mut message: impl FnMut(usize) -> ToShard<ListenSocket>) {
        for shard in 0..self.links.len() {
            self.send(shard, message(shard));
        }
    }

    /// Retries queued messages. True where some are still queued.
    pub(crate) fn flush(&mut self) -> bool {
        self.links.iter_mut().for_each(Link::flush);
        self.links.iter().any(|link| !link.waiting.is_empty())
    }

    /// The shards whose threads are over.
    pub(crate) fn ended(&self) -> impl Iterator<Item = usize> {
        (0..).zip(&self.links).filter(|(_, link)| link.end.ended.load(Ordering::Acquire)).map(|(shard, _)| shard)
    }

    /// The shards that take no messages.
    pub(crate) fn stuck(&self) -> impl Iterator<Item = usize> {
        (0..).zip(&self.links).filter(|(_, link)| link.stuck).map(|(shard, _)| shard)
    }
}

impl Link {
    fn flush(&mut self) {
        let mut sent = false;
        while let Some(message) = self.waiting.pop_front() {
            match self.end.inbox.try_send(message) {
                Ok(()) => sent = true,
                Err(TrySendError::Full(message)) => {
                    self.waiting.push_front(message);
                    break;
                }
                // The thread is over, which its guard reports.
                Err(TrySendError::Disconnected(_)) => self.waiting.clear(),
            }
        }
        if sent {
            self.end.bell.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_loses_nothing_and_keeps_order() {
        let (ends, parts, _) = links(2, || Ok(Bell::silent())).expect("links");
        let mut shards = Shards::new(ends);
        let count = TO_SHARD_MAX as u64 + 10;
        for generation in 0..count {
            shards.send(1, ToShard::Commit { generation });
        }
        assert!(shards.flush());
        assert!(parts[1].bell.take() && !parts[0].bell.take());
        let mut seen = Vec::new();
        while seen.len() < count as usize {
            while let Ok(ToShard::Commit { generation }) = parts[1].end.inbox.try_recv() {
                seen.push(generation);
            }
            shards.flush();
        }
        assert!(seen.into_iter().eq(0..count));
        assert!(!shards.flush());
    }

    #[test]
    fn a_shard_that_takes_nothing_is_stuck() {
        let (ends, _parts, _) = links(1, || Ok(Bell::silent())).expect("links");
        let mut shards = Shards::new(ends);
        for _ in 0..TO_SHARD_MAX + WAITING_MAX {
            shards.send(0, ToShard::Drain);
        }
        assert_eq!(shards.stuck().count(), 0);
        shards.send(0, ToShard::Drain);
        assert_eq!(shards.stuck().collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn a_flood_of_log_lines_loses_no_report() {
        let (_ends, parts, shards) = links(2, || Ok(Bell::silent())).expect("links");
        let outbox = &parts[1].end.outbox;
        while outbox.send(FromShard::LogLines(Vec::new())).is_ok() {}
        outbox.send(FromShard::Prepared { generation: 7 }).expect("a queue of its own");
        parts[0].end.outbox.send(FromShard::Drained).expect("a queue of its own");
        assert!(matches!(shards.next(), Some((0, FromShard::Drained))));
        assert!(matches!(shards.next(), Some((1, FromShard::Prepared { generation: 7 }))));
        let lines = std::iter::from_fn(|| shards.next()).count();
        assert_eq!(lines, FROM_SHARD_MAX);
    }

    #[test]
    fn an_ended_thread_is_known() {
        let (ends, mut parts, _) = links(2, || Ok(Bell::silent())).expect("links");
        let mut shards = Shards::new(ends);
        assert_eq!(shards.ended().count(), 0);
        let _ = std::thread::spawn({
            let part = parts.remove(1);
            move || {
                let _guard = part.guard;
                panic!("as a test");
            }
        })
        .join();
        assert_eq!(shards.ended().collect::<Vec<_>>(), [1]);
        shards.send(1, ToShard::Stop);
        assert!(!shards.flush());
    }
}
