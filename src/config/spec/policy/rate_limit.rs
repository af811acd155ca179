// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.rate_limit]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::{Rate, Statuses, Time};
use crate::config::spec::shape::Many;

/// So many requests per time; above it 429 with `Retry-After` and a problem body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RateLimitSpec")]
pub struct Spec {
    /// How many: `"100/s"`, `"5/m"`, `"1000/10s"`.
    pub rate: Located<Rate>,
    /// How many may come at once; without it one time span's worth.
    #[serde(default)]
    pub burst: Option<Located<u32>>,
    /// What is counted apart from each other: `"address"` (clients; of IPv6 the /64), `"address/24"` or
    /// `"address/24/48"` (their networks, IPv4 and IPv6), `"consumer"`, `"header:NAME"`, `"everything"` (nothing is
    /// counted apart). Where there is no consumer, no such header or several lines of it, the address counts.
    #[serde(default)]
    #[schemars(extend("x-default" = "address"))]
    pub key: Option<Located<String>>,
    /// Each route that names the policy counts for itself.
    #[serde(default)]
    pub per_route: bool,
    /// The status of a refusal.
    #[serde(default)]
    #[schemars(extend("x-default" = 429))]
    pub status: Option<Located<u16>>,
    /// What a refused client reads as `detail`.
    #[serde(default)]
    pub detail: Option<String>,
    /// When clients get `RateLimit` and `RateLimit-Policy` fields.
    #[serde(default)]
    pub fields: LimitFields,
    /// Count and report, but refuse nothing: for trying a limit out.
    #[serde(default)]
    pub report_only: bool,
    /// Count only requests that are answered with one of these statuses: `["401", "403"]` limits failed logins and
    /// leaves the others alone. While its response is awaited, a request counts; a gRPC call until it ends, and then as
    /// the status that its code stands for. A request whose client gets no response counts.
    #[serde(default)]
    pub count: Many<Statuses>,
    /// Keys that all threads together remember; each takes about 220 bytes, and 340 where there are several threads.
    /// Above it those are forgotten that are fullest, so that the fewest requests too many pass.
    #[serde(default)]
    #[schemars(extend("x-default" = 100000))]
    pub keys_max: Option<u32>,
    /// How long a request waits for another thread's word about its key, at most `"1m"`. It waits only at the first
    /// request of a key on a thread, and where a limit is nearly used up.
    #[serde(default)]
    #[schemars(extend("x-default" = "1s"))]
    pub wait: Option<Located<Time>>,
    /// What happens to a request that cannot be counted, because another thread gave no word in time or has no room for
    /// the key.
    #[serde(default)]
    pub uncountable: Uncountable,
}

/// When clients are told where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum LimitFields {
    /// In every response; `Retry-After` in refusals.
    #[default]
    Always,
    /// Only `Retry-After` in refusals.
    OnRefusal,
    /// Never.
    Never,
}

/// What happens to a request that cannot be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Uncountable {
    /// 503 with `Retry-After`.
    #[default]
    Unavailable,
    /// Refused as if the limit were used up.
    Refuse,
    /// Let through uncounted.
    Admit,
}
