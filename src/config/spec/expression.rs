// SPDX-License-Identifier: Apache-2.0
//! `[ip_set.NAME]` and `[geoip]`: what expressions and policies name beside the request.

use std::path::PathBuf;

use crate::config::location::Located;
use crate::config::spec::scalar::Network;
use crate::config::spec::shape::{Many, table};

table! {
    /// A set of addresses that `authorize` policies and expressions (`inSet`) name.
    pub struct IpSetSpec {
        /// Networks and addresses.
        networks: Many<Network> = Many::default(),
        /// Files with one network or address a line; empty lines and what follows a `#` are skipped. They are read
        /// again when they change.
        files: Many<Located<PathBuf>> = Many::default(),
    }
}

table! {
    /// Where addresses are.
    pub struct GeoipSpec {
        /// A database of countries in MaxMind's format (`.mmdb`), such as GeoLite2-Country. It is read again when it
        /// changes. Without it the country of an address is not known.
        country: Option<Located<PathBuf>> = None,
    }
}
