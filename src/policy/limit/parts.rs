// SPDX-License-Identifier: Apache-2.0
//! Hot. What a policy has of limits on one shard: most have one, a limit of several windows has one for each.

use smallvec::SmallVec;

use crate::base::{Tick, Wall};
use crate::policy::limit::gcra::Rate;
use crate::policy::limit::ids::{LimitId, ShardId};
use crate::policy::limit::message::Message;
use crate::policy::limit::part::{Counts, Part};
use crate::policy::limit::terms::Terms;

/// The limits of one policy on one shard, in the order of its plan.
#[derive(Debug)]
pub struct Parts {
    list: SmallVec<[Part; 1]>,
    /// Requests that passed, where not each of them needs the last limit.
    passed: Option<u64>,
    /// What is counted are no requests: only keys are told of.
    counts_bytes: bool,
}

/// A limit as a plan has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitTerms {
    /// Which.
    pub id: LimitId,
    /// How much it allows.
    pub rate: Rate,
}

impl Parts {
    /// These.
    pub fn new(parts: impl Iterator<Item = Part>) -> Parts {
        Parts { list: parts.collect(), passed: None, counts_bytes: false }
    }

    /// The same, of bytes and not of requests.
    pub fn of_bytes(self) -> Parts {
        Parts { counts_bytes: true, ..self }
    }

    /// The same, and requests that pass are told by `pass`, because each needs some of the limits only.
    pub fn told_of_passes(self) -> Parts {
        Parts { passed: Some(0), ..self }
    }

    /// A request passed.
    pub fn pass(&mut self) {
        self.passed = self.passed.map(|passed| passed + 1);
    }

    /// All of them.
    pub fn list(&mut self) -> &mut [Part] {
        &mut self.list
    }

    /// Looks at the calendar, where it is time; see `Part::look`.
    pub fn look(&mut self, now: Tick, wall: Wall) {
        self.list.iter_mut().for_each(|part| part.look(now, || wall));
    }

    /// Would a plan with these change any of the rates?
    pub fn differs(&self, terms: impl Iterator<Item = LimitTerms>) -> bool {
        self.list.iter().zip(terms).any(|(part, terms)| !part.terms().rate.allows_as(&terms.rate))
    }

    /// Takes over the rates of a new plan, of this generation.
    pub fn follow(&mut self, terms: impl Iterator<Item = LimitTerms>, version: u64, now: Tick) {
        for (part, terms) in self.list.iter_mut().zip(terms) {
            if !part.terms().rate.allows_as(&terms.rate) {
                part.set_terms(Terms { version, rate: terms.rate }, now);
            }
        }
    }

    /// A message from another shard about one of them.
    pub fn receive(&mut self, from: ShardId, message: &Message, now: Tick, wall: impl FnOnce() -> Wall) {
        if let Some(part) = self.list.iter_mut().find(|part| part.limit() == message.limit) {
            part.look(now, wall);
            part.receive(from, message, now);
        }
    }

    /// Is there a message to send, or a key to wake?
    pub fn has_news(&self) -> bool {
        self.list.iter().any(Part::has_news)
    }

    /// Gives all that was leased back.
    pub fn surrender(&mut self, now: Tick) {
        self.list.iter_mut().for_each(|part| part.surrender(now));
    }

    /// A key may have all of its limits again.
    pub fn reset(&mut self, key: u64, now: Tick) {
        self.list.iter_mut().for_each(|part| part.reset(key, now));
    }

    /// Gives up what is idle, a part of the keys at a time. Call it a few times a second.
    pub fn sweep(&mut self, now: Tick, wall: Wall) {
        for part in &mut self.list {
            part.look(now, || wall);
            part.sweep(now);
        }
    }

    /// What happened since the last call: requests of the policy, and keys of all its limits. A request that needs
    /// several limits passed where it passed the last of them, or as `pass` says.
    pub fn take_counts(&mut self) -> Counts {
        let mut all = Counts::default();
        for part in &mut self.list {
            let counts = part.take_counts();
            all = Counts {
                admitted: counts.admitted,
                refused: all.refused + counts.refused,
                reported: all.reported + counts.reported,
                waited: all.waited + counts.waited,
                uncounted: all.uncounted + counts.uncounted,
                returned: counts.returned,
                given_up: all.given_up + counts.given_up,
                held: all.held + counts.held,
                accounts: all.accounts + counts.accounts,
            };
        }
        if let Some(passed) = &mut self.passed {
            all.admitted = std::mem::take(passed);
        }
        if self.counts_bytes {
            let Counts { given_up, held, accounts, .. } = all;
            return Counts { given_up, held, accounts, ..Counts::default() };
        }
        all
    }

    /// Do the counts of every limit agree?
    pub fn check(&self) -> Result<(), &'static str> {
        self.list.iter().try_for_each(Part::check)
    }
}
