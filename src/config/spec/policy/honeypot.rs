// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.honeypot]`.

use std::time::Duration;

use crate::config::location::Located;
use crate::config::spec::scalar::{Network, Time};
use crate::config::spec::shape::{Many, table};

table! {
    /// Paths that nobody asks for who means well: who does is refused everything for a time, by all threads. Name it at
    /// a listener, so that it sees every request. A client is an IPv4 address or an IPv6 /64, so do not use it where
    /// many people come from one address that `except` does not name.
    #[schemars(rename = "HoneypotSpec")]
    pub struct Spec {
        /// Paths in any case: `"/.env"`, `"/wp-admin*"` (and all that begins so), `"*.php"` (all that ends so).
        paths: Many<Located<String>> = Many(Vec::new()),
        /// How long the client is refused. It is not made longer by what the client asks for meanwhile, but by another
        /// trap. Bans survive reloads while the policy keeps its name and its
        /// `clients_max`, and end with the process.
        ban: Located<Time> = Located::nowhere(Time(Duration::from_secs(3_600))),
        /// The status of refusals, 400 to 599.
        status: Located<u16> = Located::nowhere(403),
        /// Networks that are never banned: your own, your monitoring, large proxies.
        except: Many<Network> = Many::default(),
        /// Clients that each thread remembers; each takes 16 bytes. Above it the bans that end first make room.
        clients_max: Located<u32> = Located::nowhere(16_384),
    }
}
