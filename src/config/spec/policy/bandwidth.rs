// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.bandwidth]`.

use crate::config::location::Located;
use crate::config::spec::policy::rate_limit::AbsentPart;
use crate::config::spec::scalar::{Network, Size};
use crate::config::spec::shape::{Many, table};

table! {
    /// How fast bodies pass, for each request by itself or, with `key`, for all requests of a key together. What is
    /// forwarded is slowed down; responses that the gateway makes itself are not. WebSockets and other tunnels are
    /// slowed down where there is a `key`. Of several such policies without `key` the slower holds; of those with one,
    /// each does.
    #[schemars(rename = "BandwidthSpec")]
    pub struct Spec {
        /// Bytes of a response a second at most, at least 1 KiB. What comes from the upstream together with the head
        /// passes at once.
        download: Option<Located<Size>> = None,
        /// So many bytes of a response pass first, as fast as they come. With `key`: so many bytes of a key pass at
        /// once after a pause, at least 16 KiB; without it what the key may have in a quarter of a second.
        download_after: Option<Size> = None,
        /// Bytes of a request a second at most, at least 1 KiB. What comes together with the head passes at once.
        upload: Option<Located<Size>> = None,
        /// So many bytes of a request pass first, as fast as they come. With `key` as `download_after`.
        upload_after: Option<Size> = None,
        /// What shares the rates, on all threads together: a text or a list as `key` of `rate_limit`, such as
        /// `"consumer"` or `["header:X-Tenant", "route"]`. Without it each request has the rates for itself.
        key: Many<Located<String>> = Many::default(),
        /// What a request counts as that lacks a part of `key`. Only with `key`.
        absent: AbsentPart = AbsentPart::default(),
        /// Each route that names the policy has the rates for itself. Only with `key`.
        per_route: Option<Located<bool>> = None,
        /// Keys that all threads together remember, for each direction; each takes about 220 bytes, and 340 where there
        /// are several threads. Above it those are forgotten that have most left. Only with `key`.
        #[schemars(extend("x-default" = 100000))]
        keys_max: Option<Located<u32>> = None,
        /// Clients from these networks are not slowed down.
        exempt_networks: Many<Network> = Many::default(),
        /// These consumers are not slowed down.
        exempt_consumers: Many<Located<String>> = Many::default(),
    }
}
