// SPDX-License-Identifier: Apache-2.0
//! How configurations of simulated gateways begin.

use crate::base::Address;

/// So many shards, and one listener. Sections follow.
pub(super) fn one_listener(shards: usize, listen: &Address) -> String {
    format!("[server]\nshards = {shards}\npin = false\nwatch = false\n[[listener]]\nbind = \"{listen}\"\n")
}
