// SPDX-License-Identifier: Apache-2.0
//! Writes what shards want the operator to know to the process log, once where several shards say the same.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::Tick;
use crate::base::limits::{FAILING_ENDPOINTS_MAX, FAILURE_NOTICE_MS};
use crate::link::Notice;
use crate::net::machine;

/// Endpoints of which a warning was written in the current interval.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    failing: HashMap<(Arc<str>, Arc<str>), Failing>,
}

/// A failing endpoint.
#[derive(Debug)]
struct Failing {
    /// When the next warning may be written.
    due: Tick,
    /// Failures that shards reported since the last one.
    unsaid: u64,
}

impl Notices {
    /// Writes a notice, unless it repeats what another shard said a moment ago.
    pub(crate) fn log(&mut self, notice: Notice, now: Tick) {
        match notice {
            Notice::EndpointFails { upstream, endpoint, cause, failures } => {
                let Some(failures) = self.failures_to_log((upstream.clone(), endpoint.clone()), failures, now) else {
                    return;
                };
                let (reason, detail, remedy) = (cause.reason(), cause.detail(), cause.remedy());
                tracing::warn!(
                    %upstream, %endpoint, reason, failures,
                    "requests to an endpoint fail: {detail}; {remedy}"
                );
            }
            Notice::Descriptors { lacking } => {
                let limit =
                    machine::descriptor_limit().map_or_else(|_| "unknown".to_owned(), |limit| limit.to_string());
                tracing::warn!(
                    limit,
                    lacking,
                    "no file descriptor is free: idle connections are closed; raise the limit on open files \
                     (`LimitNOFILE`), or lower `connections_max`"
                );
            }
            Notice::Handshake { listener, client, server_name, cause, left_out } => {
                let sni = server_name.as_deref().unwrap_or("-");
                tracing::info!(%listener, %client, sni, left_out, "TLS handshake failed: {cause}");
            }
            Notice::Malformed { listener, client, protocol, rule, bytes, left_out } => {
                tracing::info!(%listener, %client, protocol, %bytes, left_out, "malformed request: {rule}");
            }
        }
    }

    /// How many failures of an endpoint a warning is to name now; `None` where one was written a moment ago.
    fn failures_to_log(&mut self, of: (Arc<str>, Arc<str>), failures: u64, now: Tick) -> Option<u64> {
        if self.failing.len() >= FAILING_ENDPOINTS_MAX {
            self.failing.retain(|_, failing| now < failing.due);
        }
        if self.failing.len() >= FAILING_ENDPOINTS_MAX && !self.failing.contains_key(&of) {
            return Some(failures);
        }
        let failing = self.failing.entry(of).or_insert(Failing { due: now, unsaid: 0 });
        failing.unsaid += failures;
        if now < failing.due {
            return None;
        }
        // A little less than the interval of shards, so that a shard's next notice is not taken for a repetition.
        failing.due = now.after_ms(FAILURE_NOTICE_MS - 1_000);
        Some(std::mem::take(&mut failing.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(number: usize) -> (Arc<str>, Arc<str>) {
        (Arc::from("pool"), Arc::from(format!("10.0.0.1:{number}")))
    }

    #[test]
    fn shards_that_say_the_same_are_logged_once_and_all_failures_are_counted() {
        let mut notices = Notices::default();
        let now = Tick::ZERO.after_ms(5);
        assert_eq!(notices.failures_to_log(endpoint(1), 1, now), Some(1));
        assert_eq!(notices.failures_to_log(endpoint(1), 1, now), None, "another shard");
        assert_eq!(notices.failures_to_log(endpoint(2), 1, now), Some(1), "another endpoint");
        let later = now.after_ms(FAILURE_NOTICE_MS);
        assert_eq!(notices.failures_to_log(endpoint(1), 70, later), Some(71));
    }

    #[test]
    fn many_failing_endpoints_take_bounded_memory_and_none_is_silent() {
        let mut notices = Notices::default();
        for number in 0..2 * FAILING_ENDPOINTS_MAX {
            assert_eq!(notices.failures_to_log(endpoint(number), 1, Tick::ZERO), Some(1));
        }
        assert_eq!(notices.failing.len(), FAILING_ENDPOINTS_MAX);
        let later = Tick::ZERO.after_ms(FAILURE_NOTICE_MS);
        assert_eq!(notices.failures_to_log(endpoint(0), 1, later), Some(1));
        assert_eq!(notices.failing.len(), 1, "old entries go");
    }
}
