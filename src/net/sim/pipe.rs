// SPDX-License-Identifier: Apache-2.0
//! One direction of a simulated connection: bytes on their way and how they arrive.
//!
//! Pure: time is an argument, waiting is answered with when to ask again. Bytes arrive in the order they were put, none
//! is lost unless the connection breaks, and never more than `Course::window` are inside.

use std::collections::VecDeque;

use crate::base::{Rng, Tick};
use crate::net::sim::faults::Course;

/// One direction.
#[derive(Debug)]
pub(crate) struct Pipe {
    course: Course,
    rng: Rng,
    /// Everything put and not yet taken.
    bytes: VecDeque<u8>,
    /// Bytes that have arrived, counted from the first ever put.
    arrived: u64,
    /// When what comes up to which byte arrives, for what has not; both rise.
    arrivals: VecDeque<(Tick, u64)>,
    put: u64,
    taken: u64,
    last_arrival: Tick,
    /// The next piece of a write is not accepted before this.
    paused_until: Tick,
    /// When the writer's end (FIN) arrives.
    end: Option<Tick>,
    /// When the reader learns that the connection is broken.
    reader_broken: Option<Tick>,
    /// When the writer learns it.
    writer_broken: Option<Tick>,
    /// The cut of the course has happened.
    severed: bool,
    /// The reader closed: what is put now is answered with a reset.
    reader_gone: bool,
}

/// What became of bytes offered to a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// So many were accepted, at least one.
    Took(usize),
    /// So many were accepted, but nobody will read them: the connection breaks, as the peer has closed.
    Unwanted(usize),
    /// So many were accepted, and here the connection is cut by a fault.
    Cut(usize),
    /// No room. Ask again when something was taken, or at the tick if there is one.
    Full(Option<Tick>),
    /// The connection is broken, or this direction was ended.
    Broken,
}

/// What a reader gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// So many bytes, at least one.
    Took(usize),
    /// The writer's end; there is no more.
    End,
    /// The connection is broken.
    Broken,
    /// Nothing yet. Ask again when something was put, or at the tick if there is one.
    Nothing(Option<Tick>),
}

impl Pipe {
    /// An empty pipe of this course; `rng` decides its splits and stalls.
    pub(crate) fn new(course: Course, rng: Rng) -> Pipe {
        Pipe {
            course,
            rng,
            bytes: VecDeque::new(),
            arrived: 0,
            arrivals: VecDeque::new(),
            put: 0,
            taken: 0,
            last_arrival: Tick::ZERO,
            paused_until: Tick::ZERO,
            end: None,
            reader_broken: None,
            writer_broken: None,
            severed: false,
            reader_gone: false,
        }
    }

    /// Offers `bytes`, at least one.
    pub(crate) fn put(&mut self, now: Tick, bytes: &[u8]) -> Put {
        if self.end.is_some() || self.writer_broken.is_some_and(|at| at <= now) {
            return Put::Broken;
        }
        if self.reader_gone {
            return Put::Unwanted(bytes.len());
        }
        if self.severed {
            // The writer learns of it when the reset arrives.
            return Put::Full(self.writer_broken);
        }
        if now < self.paused_until {
            return Put::Full(Some(self.paused_until));
        }
        let room = self.course.window.saturating_sub(self.bytes.len());
        let mut count = bytes.len().min(room).min(self.course.write_max);
        let until_cut = self.course.cut.map(|at| at.saturating_sub(self.put));
        let cut = until_cut.is_some_and(|left| left <= count as u64);
        if cut {
            count = until_cut.unwrap_or(0) as usize;
        } else if count == 0 {
            return Put::Full(self.writer_broken);
        }
        self.accept(now, &bytes[..count]);
        self.severed = cut;
        if cut { Put::Cut(count) } else { Put::Took(count) }
    }

    fn accept(&mut self, now: Tick, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.bytes.extend(bytes);
        self.put += bytes.len() as u64;
        self.last_arrival = self.last_arrival.max(self.course.arrival(now, bytes.len(), &mut self.rng));
        self.arrivals.push_back((self.last_arrival, self.put));
        if self.course.write_max != usize::MAX {
            self.paused_until = Tick::from_nanos(now.nanos() + self.rng.below(self.course.pause + 1));
        }
    }

    /// Reads into `into`, which is not empty.
    pub(crate) fn take(&mut self, now: Tick, into: &mut [u8]) -> Take {
        let broken = self.reader_broken.is_some_and(|at| at <= now);
        let arrived = self.arrived(now);
        if arrived == 0 || (broken && !self.course.keeps_unread) {
            return self.without_bytes(now);
        }
        let wished = arrived.min(into.len());
        let count = match self.course.read_max {
            usize::MAX => wished,
            most => wished.min(1 + self.rng.below(most as u64) as usize),
        };
        let (front, back) = self.bytes.as_slices();
        let (first, second) = into[..count].split_at_mut(count.min(front.len()));
        first.copy_from_slice(&front[..first.len()]);
        second.copy_from_slice(&back[..second.len()]);
        self.bytes.drain(..count);
        self.taken += count as u64;
        Take::Took(count)
    }

    /// What a reader would get now, without taking it; `Took` says how many bytes wait.
    pub(crate) fn look(&mut self, now: Tick) -> Take {
        let broken = self.reader_broken.is_some_and(|at| at <= now);
        match self.arrived(now) {
            0 => self.without_bytes(now),
            _ if broken && !self.course.keeps_unread => Take::Broken,
            arrived => Take::Took(arrived),
        }
    }

    fn without_bytes(&self, now: Tick) -> Take {
        if self.reader_broken.is_some_and(|at| at <= now) {
            return Take::Broken;
        }
        let next_bytes = self.arrivals.front().map(|(at, _)| *at);
        if next_bytes.is_none() && self.end.is_some_and(|at| at <= now) {
            return Take::End;
        }
        let next = next_bytes.or(self.end);
        Take::Nothing([next, self.reader_broken].into_iter().flatten().min())
    }

    /// Bytes that have arrived and were not taken.
    pub(crate) fn arrived(&mut self, now: Tick) -> usize {
        while let Some((_, upto)) = self.arrivals.pop_front_if(|(at, _)| *at <= now) {
            self.arrived = upto;
        }
        (self.arrived - self.taken) as usize
    }

    /// Bytes that the reader took.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes inside, arrived or not.
    pub(crate) fn inside(&self) -> usize {
        self.bytes.len()
    }

    /// When the last byte that is inside arrives (now, where none is on its way).
    pub(crate) fn drained_at(&self, now: Tick) -> Tick {
        self.last_arrival.max(now)
    }

    /// One-way latency in nanoseconds.
    pub(crate) fn latency(&self) -> u64 {
        self.course.latency
    }

    /// The writer ends its side.
    pub(crate) fn finish(&mut self, now: Tick) {
        if self.end.is_none() {
            let at = Tick::from_nanos(now.nanos() + self.course.latency).max(self.last_arrival);
            self.end = Some(at);
        }
    }

    /// The reader learns at `at` that the connection is broken; what had not arrived by then never will.
    pub(crate) fn break_reader(&mut self, at: Tick) {
        let at = self.reader_broken.map_or(at, |earlier| earlier.min(at));
        self.reader_broken = Some(at);
        while self.arrivals.back().is_some_and(|(arrives, _)| *arrives > at) {
            self.arrivals.pop_back();
        }
        let upto = self.arrivals.back().map_or(self.arrived, |(_, upto)| *upto);
        self.bytes.truncate((upto - self.taken) as usize);
        self.put = upto;
    }

    /// The writer learns at `at` that the connection is broken.
    pub(crate) fn break_writer(&mut self, at: Tick) {
        self.writer_broken = Some(self.writer_broken.map_or(at, |earlier| earlier.min(at)));
    }

    /// The reader closed.
    pub(crate) fn lose_reader(&mut self) {
        self.reader_gone = true;
        self.bytes.clear();
        self.arrivals.clear();
        self.arrived = self.put;
        self.taken = self.put;
    }
}

#[cfg(test)]
mod tests;
