// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.network]`.

use crate::config::spec::scalar::Network;
use crate::config::spec::shape::{Many, table};

table! {
    /// From which networks requests may come; others get 403.
    #[schemars(rename = "NetworkSpec")]
    pub struct Spec {
        /// Only from these; without it from everywhere.
        allow: Many<Network> = Many::default(),
        /// Never from these, whatever `allow` says.
        deny: Many<Network> = Many::default(),
        /// What a refused client reads as `detail`.
        detail: Option<String> = None,
    }
}
