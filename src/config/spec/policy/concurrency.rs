// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.concurrency]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::policy::rate_limit::{AbsentPart, Uncountable};
use crate::config::spec::scalar::{Network, Time};
use crate::config::spec::shape::Many;

/// So many requests at once; above it 429. A request counts until its response has been sent, a WebSocket or another
/// tunnel until it ends. Exact over all threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConcurrencySpec")]
pub struct Spec {
    /// How many requests of a key may be served at once.
    pub max: Located<u32>,
    /// What is counted apart from each other, as `key` of `rate_limit`.
    #[serde(default)]
    #[schemars(extend("x-default" = "address"))]
    pub key: Many<Located<String>>,
    /// What a request counts as that lacks a part of `key`.
    #[serde(default)]
    pub absent: AbsentPart,
    /// Each route that names the policy counts for itself.
    #[serde(default)]
    pub per_route: bool,
    /// Clients from these networks are not limited.
    #[serde(default)]
    pub exempt_networks: Many<Network>,
    /// These consumers are not limited.
    #[serde(default)]
    pub exempt_consumers: Many<Located<String>>,
    /// The status of a refusal; 503 is what nginx's `limit_conn` sends.
    #[serde(default)]
    #[schemars(extend("x-default" = 429))]
    pub status: Option<Located<u16>>,
    /// What a refused client reads as `detail`.
    #[serde(default)]
    pub detail: Option<String>,
    /// What `Retry-After` says in a refusal, in whole seconds; `"0s"` leaves it out.
    #[serde(default)]
    #[schemars(extend("x-default" = "1s"))]
    pub retry_after: Option<Located<Time>>,
    /// Count and report, but refuse nothing.
    #[serde(default)]
    pub report_only: bool,
    /// Keys that all threads together remember; each takes about 220 bytes, and 340 where there are several threads.
    /// One that is in use is never forgotten: above it, requests of new keys cannot be counted.
    #[serde(default)]
    #[schemars(extend("x-default" = 100000))]
    pub keys_max: Option<u32>,
    /// How long a request waits for another thread's word about its key, at most `"1m"`.
    #[serde(default)]
    #[schemars(extend("x-default" = "1s"))]
    pub wait: Option<Located<Time>>,
    /// What happens to a request that cannot be counted, because another thread gave no word in time or there is no
    /// room for its key.
    #[serde(default)]
    pub uncountable: Uncountable,
}
