// SPDX-License-Identifier: Apache-2.0
//! The gateway's limits on gRPC calls in one world.

use crate::base::Rng;
use crate::sim::mood::FaultLevel;

/// Limits on calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message of a caller.
    pub request_max: u64,
    /// Largest message of an origin.
    pub response_max: u64,
    /// How late the gateway and the network may be after a deadline.
    pub slack_ms: u64,
}

impl Limits {
    /// Caps that valid messages stay below, in a world of bodies up to `body_max`.
    pub fn draw(rng: &mut Rng, mood: FaultLevel, body_max: u64) -> Limits {
        let slack_ms = if mood == FaultLevel::Wild { 200_000 } else { 120_000 };
        let most = body_max.min(20_000);
        Limits { request_max: 100 + rng.below(most), response_max: 100 + rng.below(most), slack_ms }
    }

    /// The route of calls.
    pub fn toml(&self, tries: u64) -> String {
        let Limits { request_max, response_max, .. } = self;
        format!(
            r#"
            [[route]]
            path_prefix = "/tagged.Calls"
            to = "two"
            retry = {{ tries = {tries}, grpc_statuses = ["UNAVAILABLE"] }}
            grpc = {{ request_message = "{request_max}B", response_message = "{response_max}B", web = true }}
            "#
        )
    }
}
