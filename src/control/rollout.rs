// SPDX-License-Identifier: Apache-2.0
//! The two steps that bring a plan into use: every shard prepares it, then every shard commits it.
//!
//! ```text
//!          begin            all Prepared, names settled          all Committed
//!  Idle ─────────► Preparing ──────────────────────► Committing ──────────────► Idle
//!                     │ too late
//!                     └──────────► Idle (Discard)
//! ```
//! Pure: takes messages and times as arguments and returns what to do.

use std::time::Duration;

use crate::base::Tick;
use crate::link::FromShard;

/// Longest wait until all shards have a plan ready; above it the plan is given up.
pub(super) const PREPARE_MAX: Duration = Duration::from_secs(30);
/// Longest wait for first answers of DNS before a plan is used without them.
pub(super) const SETTLE_MAX: Duration = Duration::from_secs(1);
/// A shard that does not take a plan into use for this long is reported, once for each such wait.
pub(super) const COMMIT_SLOW: Duration = Duration::from_secs(10);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RolloutStep {
    /// Nothing.
    Wait,
    /// Tell all shards to use the plan.
    Commit,
    /// Tell all shards to forget the plan.
    Discard,
    /// The plan is in use everywhere.
    Done,
    /// Say that so many shards have not taken it into use yet.
    Slow(usize),
}

/// The way of one plan, or none.
#[derive(Debug)]
pub(super) struct Rollout {
    shards: usize,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Idle,
    Preparing { generation: u64, ready: Vec<bool>, settle_until: Tick, until: Tick },
    Committing { generation: u64, done: Vec<bool>, slow_at: Tick },
}

impl Rollout {
    /// Over so many shards.
    pub(super) fn new(shards: usize) -> Rollout {
        Rollout { shards, stage: Stage::Idle }
    }

    /// True where no plan is on its way.
    pub(super) fn idle(&self) -> bool {
        match self.stage {
            Stage::Idle => true,
            Stage::Preparing { .. } | Stage::Committing { .. } => false,
        }
    }

    /// `Prepare` is being sent to all shards.
    pub(super) fn begin(&mut self, generation: u64, now: Tick) {
        debug_assert!(self.idle());
        let ready = vec![false; self.shards];
        self.stage =
            Stage::Preparing { generation, ready, settle_until: now.after(SETTLE_MAX), until: now.after(PREPARE_MAX) };
    }

    /// Takes a shard's message.
    pub(super) fn take_report(&mut self, shard: usize, message: &FromShard) {
        let (reported, marks) = match (message, &mut self.stage) {
            (FromShard::Prepared { generation: reported }, Stage::Preparing { generation, ready, .. }) => {
                (*reported == *generation, ready)
            }
            (FromShard::Committed { generation: reported }, Stage::Committing { generation, done, .. }) => {
                (*reported == *generation, done)
            }
            _ => return,
        };
        if let Some(mark) = marks.get_mut(shard).filter(|_| reported) {
            *mark = true;
        }
    }

    /// What to do now. `open_names` are questions to DNS that were never answered.
    pub(super) fn step(&mut self, open_names: usize, now: Tick) -> RolloutStep {
        match &mut self.stage {
            Stage::Idle => RolloutStep::Wait,
            Stage::Preparing { generation, ready, settle_until, until } => {
                let settled = open_names == 0 || now >= *settle_until;
                if ready.iter().all(|ready| *ready) && settled {
                    let done = vec![false; self.shards];
                    let slow_at = now.after(COMMIT_SLOW);
                    self.stage = Stage::Committing { generation: *generation, done, slow_at };
                    return RolloutStep::Commit;
                }
                if now < *until {
                    return RolloutStep::Wait;
                }
                self.stage = Stage::Idle;
                RolloutStep::Discard
            }
            Stage::Committing { done, slow_at, .. } => {
                let missing = done.iter().filter(|done| !**done).count();
                if missing == 0 {
                    self.stage = Stage::Idle;
                    return RolloutStep::Done;
                }
                if now < *slow_at {
                    return RolloutStep::Wait;
                }
                *slow_at = now.after(COMMIT_SLOW);
                RolloutStep::Slow(missing)
            }
        }
    }

    /// When `step` must be called even without a message.
    pub(super) fn wake_at(&self, open_names: usize) -> Tick {
        match &self.stage {
            Stage::Idle => Tick::NEVER,
            Stage::Preparing { ready, settle_until, until, .. } => {
                if open_names > 0 && ready.iter().all(|ready| *ready) { *settle_until } else { *until }
            }
            Stage::Committing { slow_at, .. } => *slow_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(generation: u64) -> FromShard {
        FromShard::Prepared { generation }
    }

    fn committed(generation: u64) -> FromShard {
        FromShard::Committed { generation }
    }

    #[test]
    fn commits_when_all_are_ready() {
        let mut rollout = Rollout::new(2);
        rollout.begin(7, Tick::ZERO);
        rollout.take_report(0, &prepared(7));
        rollout.take_report(0, &prepared(7));
        rollout.take_report(1, &prepared(6));
        rollout.take_report(9, &prepared(7));
        assert_eq!(rollout.step(0, Tick::ZERO), RolloutStep::Wait);
        rollout.take_report(1, &prepared(7));
        assert_eq!(rollout.step(0, Tick::ZERO), RolloutStep::Commit);
        assert_eq!(rollout.step(0, Tick::ZERO), RolloutStep::Wait);
        rollout.take_report(0, &committed(7));
        rollout.take_report(1, &committed(7));
        assert_eq!((rollout.step(0, Tick::ZERO), rollout.idle()), (RolloutStep::Done, true));
    }

    #[test]
    fn names_hold_it_up_for_a_second_at_most() {
        let mut rollout = Rollout::new(1);
        rollout.begin(1, Tick::ZERO);
        rollout.take_report(0, &prepared(1));
        assert_eq!(rollout.step(3, Tick::ZERO), RolloutStep::Wait);
        let settled = rollout.wake_at(3);
        assert_eq!(settled, Tick::ZERO.after(SETTLE_MAX));
        assert_eq!(rollout.step(3, settled), RolloutStep::Commit);
    }

    #[test]
    fn a_shard_that_never_gets_ready_ends_it() {
        let mut rollout = Rollout::new(2);
        rollout.begin(1, Tick::ZERO);
        rollout.take_report(0, &prepared(1));
        let late = rollout.wake_at(0);
        assert_eq!(late, Tick::ZERO.after(PREPARE_MAX));
        assert_eq!((rollout.step(0, late), rollout.idle()), (RolloutStep::Discard, true));
        rollout.begin(2, late);
        rollout.take_report(1, &prepared(1));
        rollout.take_report(0, &prepared(2));
        assert_eq!(rollout.step(0, late), RolloutStep::Wait);
    }

    #[test]
    fn a_slow_commit_is_said_again_and_again() {
        let mut rollout = Rollout::new(1);
        rollout.begin(1, Tick::ZERO);
        rollout.take_report(0, &prepared(1));
        assert_eq!(rollout.step(0, Tick::ZERO), RolloutStep::Commit);
        let slow = rollout.wake_at(0);
        assert_eq!((rollout.step(0, slow), rollout.step(0, slow)), (RolloutStep::Slow(1), RolloutStep::Wait));
        assert!(rollout.wake_at(0) > slow);
    }
}
