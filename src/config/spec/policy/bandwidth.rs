// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.bandwidth]`.

use crate::config::location::Located;
use crate::config::spec::scalar::{Network, Size};
use crate::config::spec::shape::{Many, table};

table! {
    /// How fast bodies pass, for each request by itself. What is forwarded is slowed down; responses that the gateway
    /// makes itself, WebSockets and other tunnels are not. Of several such policies the slower holds.
    #[schemars(rename = "BandwidthSpec")]
    pub struct Spec {
        /// Bytes of a response a second at most, at least 1 KiB. What comes from the upstream together with the head
        /// passes at once.
        download: Option<Located<Size>> = None,
        /// So many bytes of a response pass first, as fast as they come.
        download_after: Option<Size> = None,
        /// Bytes of a request a second at most, at least 1 KiB. What comes together with the head passes at once.
        upload: Option<Located<Size>> = None,
        /// So many bytes of a request pass first, as fast as they come.
        upload_after: Option<Size> = None,
        /// Clients from these networks are not slowed down.
        exempt_networks: Many<Network> = Many::default(),
        /// These consumers are not slowed down.
        exempt_consumers: Many<Located<String>> = Many::default(),
    }
}
