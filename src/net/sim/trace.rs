// SPDX-License-Identifier: Apache-2.0
//! What happened in a run, for people who look for the reason of a failure, and a digest that proves two runs equal.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::rc::Rc;

use crate::base::Tick;

/// How much of a run is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// So many of the last events.
    Last(usize),
    /// All.
    #[cfg_attr(not(any(test, feature = "sim")), expect(dead_code, reason = "for the simulator"))]
    All,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A task, by number.
    Task(u64),
    /// One end of a connection: its number, and whether it is the end that was accepted.
    Stream(u64, bool),
    /// The run itself.
    World,
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Task(task) => write!(out, "task {task}"),
            Subject::Stream(connection, false) => write!(out, "stream {connection}a"),
            Subject::Stream(connection, true) => write!(out, "stream {connection}b"),
            Subject::World => out.write_str("world"),
        }
    }
}

#[derive(Debug)]
struct Entry {
    at: Tick,
    host: Rc<str>,
    subject: Subject,
    verb: &'static str,
    count: u64,
    note: Option<Box<str>>,
}

/// The events of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    depth: Depth,
    entries: VecDeque<Entry>,
    dropped: u64,
    digest: u64,
}

impl Trace {
    /// A trace with nothing in it.
    pub(crate) fn new(depth: Depth) -> Trace {
        Trace { depth, entries: VecDeque::new(), dropped: 0, digest: 0xCBF2_9CE4_8422_2325 }
    }

    /// Adds an event; `count` is bytes or whatever the verb counts.
    pub(crate) fn event(&mut self, at: Tick, host: &Rc<str>, subject: Subject, verb: &'static str, count: u64) {
        self.push(Entry { at, host: host.clone(), subject, verb, count, note: None });
    }

    /// Adds a remark.
    pub(crate) fn note(&mut self, at: Tick, host: &Rc<str>, note: String) {
        let (subject, note) = (Subject::World, Some(note.into_boxed_str()));
        self.push(Entry { at, host: host.clone(), subject, verb: "note", count: 0, note });
    }

    fn push(&mut self, entry: Entry) {
        self.mix(&entry.at.nanos().to_le_bytes());
        self.mix(entry.verb.as_bytes());
        self.mix(&entry.count.to_le_bytes());
        self.mix(entry.note.as_deref().unwrap_or_default().as_bytes());
        match entry.subject {
            Subject::Task(id) => self.mix(&id.to_le_bytes()),
            Subject::Stream(id, accepted) => self.mix(&(id * 2 + u64::from(accepted)).to_be_bytes()),
            Subject::World => {}
        }
        if let Depth::Last(most) = self.depth {
            if most == 0 {
                return;
            }
            if self.entries.len() >= most {
                self.entries.pop_front();
                self.dropped += 1;
            }
        }
        self.entries.push_back(entry);
    }

    /// FNV-1a, which is enough to tell two runs apart.
    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    /// A number that two runs share only if the same happened at the same time in both.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// The events as lines of text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if self.dropped > 0 {
            let _ = writeln!(text, "({} earlier events)", self.dropped);
        }
        for entry in &self.entries {
            let millis = entry.at.nanos() as f64 / 1e6;
            let _ = write!(text, "{millis:>14.6} ms  {:<10} ", entry.host);
            let _ = match (&entry.note, entry.count) {
                (Some(note), _) => writeln!(text, "{note}"),
                (None, 0) => writeln!(text, "{} {}", entry.subject, entry.verb),
                (None, count) => writeln!(text, "{} {} {count}", entry.subject, entry.verb),
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_keeps_what_its_depth_says_and_its_digest_is_of_everything() {
        let traces = [Depth::All, Depth::Last(2), Depth::Last(0)].map(|depth| {
            let mut trace = Trace::new(depth);
            (0..5).for_each(|count| trace.event(Tick::ZERO, &Rc::from("host"), Subject::World, "seen", count));
            trace
        });
        assert_eq!(traces.each_ref().map(|trace| trace.text().lines().count()), [5, 3, 0]);
        assert!(traces[1].text().starts_with("(3 earlier events)"));
        assert!(traces.iter().all(|trace| trace.digest() == traces[0].digest()));
    }
}
