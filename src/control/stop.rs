// SPDX-License-Identifier: Apache-2.0
//! Graceful shutdown: readiness fails first where load balancers are given time, shards drain up to a deadline, then
//! stop. A second request stops them at once. A successor that is starting stops as well.

use std::time::Duration;

use crate::base::Tick;
use crate::control::admin::StopMode;
use crate::control::log::Log;
use crate::control::plane::Plane;
use crate::control::state::State;
use crate::link::{Counter, RouteCounter, ToShard};
use crate::net::machine;

/// Longest drain after a shard died: its connections are lost, those of the others get this long.
const DRAIN_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Drain where no plan says how long.
const DRAIN_DEFAULT: Duration = Duration::from_secs(30);
/// Longest wait for the threads of shards after `Stop` was sent.
const END_MAX: Duration = Duration::from_secs(5);
/// Longest wait for the access log to be written to its end.
const LOG_CLOSE: Duration = Duration::from_secs(5);

impl Plane {
    /// A stop was requested.
    pub(super) fn stop(&mut self, mode: StopMode) {
        if let Some(successor) = &self.successor {
            successor.stop(mode);
        }
        match (&self.state, mode) {
            (State::Serving, StopMode::Drain) => {
                let (delay, wait) = (self.drain_delay(), self.drain_wait());
                self.supervisor.stopping(delay + wait + END_MAX + LOG_CLOSE);
                if delay.is_zero() {
                    return self.drain(wait, 0);
                }
                tracing::info!(seconds = delay.as_secs_f64(), "not ready any more; listeners go on until the drain");
                self.reloads.give_up();
                self.state = State::Leaving { until: machine::now().after(delay) };
            }
            (State::Starting, _) | (State::Serving, StopMode::Now) => {
                self.supervisor.stopping(END_MAX + LOG_CLOSE);
                self.end(0);
            }
            (State::Leaving { .. }, _) => {
                tracing::info!("asked again: stopping at once");
                self.end(0);
            }
            (State::Draining { code, .. }, _) => {
                tracing::info!("second stop request: stopping immediately");
                self.end(*code);
            }
            (State::Ending { .. } | State::Ended { .. }, _) => {}
        }
    }

    /// A successor accepts connections now: finish what runs here.
    pub(super) fn replaced(&mut self) {
        self.admin = None;
        self.control = None;
        if matches!(self.state, State::Serving) {
            self.drain(self.drain_wait(), 0);
        }
    }

    fn drain_delay(&self) -> Duration {
        self.current.as_ref().map_or(Duration::ZERO, |current| current.plan.process.drain_delay)
    }

    fn drain_wait(&self) -> Duration {
        self.current.as_ref().map_or(DRAIN_DEFAULT, |current| current.plan.process.drain)
    }

    fn drain(&mut self, wait: Duration, code: u8) {
        tracing::info!(seconds = wait.as_secs(), "graceful shutdown: waiting for running requests");
        self.reloads.give_up();
        self.shards.send_all(|_| ToShard::Drain);
        // Closes our own copies too; otherwise the kernel would accept clients that nobody serves.
        self.sockets.close();
        self.state =
            State::Draining { until: machine::now().after(wait), drained: vec![false; self.shards.count()], code };
    }

    /// Ends the process at once.
    pub(super) fn end(&mut self, code: u8) {
        self.reloads.give_up();
        // Listening sockets go first, here and on the shards: nobody connects to a process that ends.
        self.sockets.close();
        // What was granted before this reaches the shards before `Stop`, and comes back from them.
        self.quotas.close();
        self.shards.send_all(|_| ToShard::Stop);
        self.state = State::Ending { until: machine::now().after(END_MAX), code };
    }

    /// A shard has no connection left.
    pub(super) fn drained(&mut self, shard: usize) {
        if let State::Draining { drained, .. } = &mut self.state
            && let Some(mark) = drained.get_mut(shard)
        {
            *mark = true;
        }
    }

    /// A shard failed: the process exits with an error, so that its supervisor restarts it.
    pub(super) fn shard_failed(&mut self, shard: usize, reason: &str) {
        match &mut self.state {
            State::Starting => {
                tracing::error!(shard, reason, "a shard failed; the process ends");
                self.end(1);
            }
            State::Serving | State::Leaving { .. } => {
                tracing::error!(shard, reason, "a shard failed; the process ends when the others have finished");
                let wait = self.drain_wait().min(DRAIN_AFTER_FAILURE);
                self.drain(wait, 1);
                self.drained(shard);
            }
            State::Draining { code, drained, .. } => {
                if let Some(mark) = drained.get_mut(shard).filter(|mark| !**mark) {
                    tracing::error!(shard, reason, "a shard failed");
                    *mark = true;
                    *code = 1;
                }
            }
            State::Ending { .. } | State::Ended { .. } => {}
        }
    }

    /// Checks for shards whose threads have ended or that take no messages.
    pub(super) fn look_after_shards(&mut self) {
        let ended: Vec<usize> = self.shards.ended().collect();
        ended.into_iter().for_each(|shard| self.shard_failed(shard, "its thread ended"));
        let stuck: Vec<usize> = self.shards.stuck().collect();
        stuck.into_iter().for_each(|shard| self.shard_failed(shard, "it takes no messages"));
    }

    /// Moves on to the next state when the current one is over.
    pub(super) fn step_stop(&mut self, now: Tick) {
        match &self.state {
            State::Leaving { until } if now >= *until => self.drain(self.drain_wait(), 0),
            State::Draining { until, drained, code } => {
                let left = drained.iter().filter(|done| !**done).count();
                if left > 0 && now < *until {
                    return;
                }
                if left > 0 {
                    let open = self.tally.current(Counter::Connections);
                    tracing::warn!(
                        shards = left,
                        connections = open,
                        "the deadline is over; what still runs is cut off"
                    );
                }
                self.end(*code);
            }
            State::Ending { until, code } => {
                let over = self.shards.ended().count() == self.shards.count();
                if !over && now < *until {
                    return;
                }
                if !over {
                    tracing::error!("not all shards ended in time");
                }
                self.state = State::Ended { code: *code };
            }
            State::Starting | State::Serving | State::Leaving { .. } | State::Ended { .. } => {}
        }
    }

    /// Writes the log to its end and says what was done in all this time.
    pub(super) fn last_words(&mut self) {
        let dropped = self.log_dropped();
        if let Some(log) = self.log.take() {
            log.close(LOG_CLOSE);
        }
        if self.current.is_none() {
            return;
        }
        let sums = self.tally.sums();
        let count = |counter| sums.since_start(counter);
        let classes = RouteCounter::STATUSES;
        let requests: u64 = classes.into_iter().map(count).sum();
        let by_class: Vec<String> =
            classes.into_iter().map(|class| format!("{} {}", class.name(), count(class))).collect();
        tracing::info!(
            uptime = %duration_words(machine::now().since(self.setup.started)),
            connections = sums.value(Counter::Accepted),
            requests,
            classes = %by_class.join(", "),
            aborted = count(RouteCounter::Aborted),
            rejected = sums.value(Counter::Rejected),
            unrouted = sums.value(Counter::Unrouted),
            log_lines_dropped = dropped + sums.value(Counter::LogLinesDropped),
            "stopped"
        );
    }

    /// Log lines that the writers of this process dropped.
    pub(super) fn log_dropped(&self) -> u64 {
        self.log_dropped_before + self.log.as_ref().map_or(0, Log::dropped)
    }
}

/// A time in short form: `3d 4h`, `5m 6s`, `7s`.
pub(crate) fn duration_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(parts.len() - 1);
    let words: Vec<String> = parts[first..].iter().take(2).map(|(count, unit)| format!("{count}{unit}")).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_parts_at_most() {
        let cases = [(0, "0s"), (7, "7s"), (306, "5m 6s"), (3_600, "1h 0m"), (273_600, "3d 4h")];
        for (seconds, words) in cases {
            assert_eq!(duration_words(Duration::from_secs(seconds)), words);
        }
    }
}
