// SPDX-License-Identifier: Apache-2.0
//! How many client connections fit the process's limit on file descriptors.

use crate::base::limits::REFUSALS_MAX;
use crate::config::compile::Compiler;
use crate::config::report::Report;

/// What `"auto"` gives where descriptors do not matter.
const AUTO_MAX: u64 = 100_000;
/// Descriptors that are neither for clients nor for upstreams: logs, files, the admin listener, the control socket.
const RESERVE: u64 = 192;
/// Where the limit is small, the reserve is at most this part of it.
const RESERVE_DIVISOR: u64 = 4;
/// Where fewer client connections than this fit, the limit is surely a mistake.
const FEW: u64 = 64;
/// What each shard has open for itself: its ring, its bells, its timer, and clients that it refuses.
const PER_SHARD: u64 = 6 + REFUSALS_MAX as u64;

impl Compiler<'_> {
    /// Client connections of the whole process. Half of the descriptors are for upstream connections.
    pub(super) fn connections_max(&mut self) -> u64 {
        let written = &self.draft.spec.server.connections_max;
        let wanted = written.value.0.map_or(AUTO_MAX, u64::from);
        let Some(limit) = self.environment.descriptors else { return wanted };
        let sockets: usize = self.draft.spec.listener.iter().map(|listener| listener.value.bind.0.len()).sum();
        let shards = self.shards as u64 * (PER_SHARD + sockets as u64);
        let reserve = RESERVE.min(limit / RESERVE_DIVISOR) + shards;
        let fit = (limit.saturating_sub(reserve) / 2).max(1);
        let said = written.value.0.is_some();
        if wanted > fit && (said || fit < FEW) {
            let before = if said { format!("`connections_max` is {wanted}, but the") } else { "the".to_owned() };
            let title = format!(
                "{before} limit on open files is {limit} (hard limit of RLIMIT_NOFILE): {fit} client connections fit"
            );
            let enough = if said { wanted } else { AUTO_MAX };
            let help = format!("raise the limit to {} (`LimitNOFILE=`, `ulimit -Hn`)", 2 * enough + RESERVE + shards);
            self.faults.push(Report::warning(written.location, title).help(help));
        }
        wanted.min(fit)
    }
}
