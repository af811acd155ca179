// SPDX-License-Identifier: Apache-2.0
//! Hot. The stages of one exchange in their order: what one makes, the next one takes.
//!
//! ```text
//! content ─► stage ─► out ─► stage ─► out ─► sent whenever STAGE_OUT_BYTES wait
//! ```
//! The last stage that has input always goes first, so that no output waits behind more of it.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::base::Fault;
use crate::base::limits::STAGE_OUT_BYTES;
use crate::edge::adapt::stage::Stage;
use crate::edge::adapt::transform::{BROKEN, HeldHead, Transform, Treatment};
use crate::edge::flow::stream::Outgoing;
use crate::wire::coding::encoder::Step;

/// Stages in their order. There is one for each protocol and policy that asks for one, so the code bounds their number.
#[derive(Default)]
pub(crate) struct Chain<'a> {
    slots: SmallVec<[Slot<'a>; 2]>,
    /// Which stage keeps the head.
    holder: Option<usize>,
}

struct Slot<'a> {
    stage: Stage<'a>,
    treatment: Treatment,
    /// Bytes at the front of the stage's `out` that the next one has taken.
    taken: usize,
}

/// Content that passes through the stages.
pub(crate) struct Round<'c> {
    /// What no stage has taken yet.
    pub content: &'c [u8],
    /// The trailers, behind the content that is the last.
    pub trailers: Cow<'c, [u8]>,
    then: Then,
    /// How many stages have done `then`.
    done: usize,
}

/// What each stage does when it has no more input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It waits for more.
    Wait,
    /// It gives out what it holds back.
    Flush,
    /// It ends.
    Finish,
}

/// Why `run` returned.
pub(crate) enum Made {
    /// The head can be sent, and is to be composed before `run` is called again.
    Head(Box<HeldHead>),
    /// `out` holds `STAGE_OUT_BYTES`: they are to be sent before `run` is called again.
    Full,
    /// The round is over.
    All,
}

impl<'a> Chain<'a> {
    /// Adds a stage behind the others.
    pub(crate) fn append(&mut self, stage: Stage<'a>) {
        self.slots.push(Slot { stage, treatment: Treatment::Skips, taken: 0 });
    }

    /// Adds a stage in front of the others.
    pub(crate) fn prepend(&mut self, stage: Stage<'a>) {
        self.slots.insert(0, Slot { stage, treatment: Treatment::Skips, taken: 0 });
    }

    /// Removes the stage in front, and with it everything that it holds.
    pub(crate) fn remove_first(&mut self) -> Option<Stage<'a>> {
        self.holder = None;
        (!self.slots.is_empty()).then(|| self.slots.remove(0).stage)
    }

    /// The stage in front.
    pub(crate) fn first(&mut self) -> Option<&mut Stage<'a>> {
        self.slots.first_mut().map(|slot| &mut slot.stage)
    }

    /// All stages in their order.
    pub(crate) fn stages(&self) -> impl Iterator<Item = &Stage<'a>> {
        self.slots.iter().map(|slot| &slot.stage)
    }

    /// A final response begins. False where a stage keeps its head.
    pub(crate) fn head(&mut self, outgoing: &mut Outgoing<'_>) -> bool {
        for slot in &mut self.slots {
            (slot.treatment, slot.taken) = (Treatment::Skips, 0);
        }
        self.head_from(0, outgoing)
    }

    /// The head that a stage kept goes on to the stages behind it. False where one of those keeps it.
    pub(crate) fn head_released(&mut self, outgoing: &mut Outgoing<'_>) -> bool {
        let behind = self.holder.take().map_or(0, |at| at + 1);
        self.head_from(behind, outgoing)
    }

    fn head_from(&mut self, from: usize, outgoing: &mut Outgoing<'_>) -> bool {
        self.holder = None;
        for (at, slot) in self.slots.iter_mut().enumerate().skip(from) {
            slot.treatment = slot.stage.head(outgoing);
            if slot.treatment == Treatment::Holds {
                self.holder = Some(at);
                return false;
            }
        }
        true
    }

    /// Does a stage make other content of what comes?
    pub(crate) fn recodes(&self) -> bool {
        self.slots.iter().any(Slot::recodes)
    }

    /// Shows content to the stages that only look at it. `trailers` where it is the last.
    pub(crate) fn inspect(&mut self, content: &[u8], mut trailers: Option<&mut Cow<'_, [u8]>>) -> Result<(), Fault> {
        for slot in self.slots.iter_mut().filter(|slot| slot.treatment == Treatment::Inspects) {
            slot.stage.push(content)?;
            if let Some(trailers) = &mut trailers {
                slot.stage.finish(trailers)?;
            }
        }
        Ok(())
    }

    /// What the last stage made.
    pub(crate) fn out(&mut self) -> Option<&mut Vec<u8>> {
        self.slots.iter_mut().rfind(|slot| slot.recodes()).map(|slot| slot.stage.out())
    }

    /// Passes content on from stage to stage, as far as it goes before something must be sent.
    pub(crate) fn run(&mut self, round: &mut Round<'_>) -> Result<Made, Fault> {
        loop {
            if let Some(at) = self.holder
                && let Some(head) = self.slots[at].stage.release()
            {
                return Ok(Made::Head(head));
            }
            if self.out().is_some_and(|out| out.len() >= STAGE_OUT_BYTES) {
                return Ok(Made::Full);
            }
            if let Some(at) = self.last_with_input(round) {
                self.push(at, round)?;
                continue;
            }
            let Some(at) = (round.done..self.slots.len()).find(|at| self.slots[*at].recodes()) else {
                return Ok(Made::All);
            };
            let stage = &mut self.slots[at].stage;
            let more = match round.then {
                Then::Wait => false,
                Then::Flush => stage.flush()?.more,
                Then::Finish => stage.finish(&mut round.trailers)?.more,
            };
            if !more {
                round.done = at + 1;
            }
        }
    }

    /// The last stage for which there is input.
    fn last_with_input(&mut self, round: &Round<'_>) -> Option<usize> {
        let mut found = None;
        let mut waits = !round.content.is_empty();
        for (at, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.recodes()) {
            found = if waits { Some(at) } else { found };
            waits = slot.taken < slot.stage.out().len();
        }
        found
    }

    /// Gives a stage what waits for it.
    fn push(&mut self, at: usize, round: &mut Round<'_>) -> Result<(), Fault> {
        let (before, from) = self.slots.split_at_mut(at);
        let stage = &mut from[0].stage;
        let Some(before) = before.iter_mut().rfind(|slot| slot.recodes()) else {
            let step = stage.push(round.content)?;
            round.content = &round.content[step.taken..];
            return progress(step);
        };
        let made = before.stage.out();
        let step = stage.push(&made[before.taken..])?;
        before.taken += step.taken;
        if before.taken == made.len() {
            made.clear();
            before.taken = 0;
        }
        progress(step)
    }
}

/// A stage that neither takes nor makes anything would be called for ever.
fn progress(step: Step) -> Result<(), Fault> {
    if step.taken > 0 || step.more { Ok(()) } else { Err(BROKEN) }
}

impl Slot<'_> {
    fn recodes(&self) -> bool {
        matches!(self.treatment, Treatment::Recodes | Treatment::Holds)
    }
}

impl<'c> Round<'c> {
    /// Content behind which more comes.
    pub(crate) fn more(content: &'c [u8], then: Then) -> Round<'c> {
        Round { content, trailers: Cow::Borrowed(b""), then, done: 0 }
    }

    /// The last content.
    pub(crate) fn last(content: &'c [u8], trailers: &'c [u8]) -> Round<'c> {
        Round { content, trailers: Cow::Borrowed(trailers), then: Then::Finish, done: 0 }
    }

    /// Nothing comes behind its content.
    pub(crate) fn is_last(&self) -> bool {
        self.then == Then::Finish
    }

    /// What the stage in front has made is the last.
    pub(crate) fn behind_first() -> Round<'static> {
        Round { content: b"", trailers: Cow::Borrowed(b""), then: Then::Finish, done: 1 }
    }
}
