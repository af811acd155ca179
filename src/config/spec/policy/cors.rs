// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.cors]`.

use std::time::Duration;

use crate::config::location::Located;
use crate::config::spec::scalar::Time;
use crate::config::spec::shape::{Many, table};

table! {
    /// Lets browsers call from pages of other origins (CORS). Preflight requests are answered here.
    #[schemars(rename = "CorsSpec")]
    pub struct Spec {
        /// Origins: `"https://app.example.com"`, `"https://*.example.com"` (any depth, not the bare domain),
        /// `"~REGEX"` for the whole origin, `"*"` for all.
        origins: Many<Located<String>> = Many(vec![Located::nowhere("*".to_owned())]),
        /// Methods beyond GET, HEAD and POST; without it all that are asked for. A preflight goes to the route of the
        /// method that it asks for.
        methods: Many<Located<String>> = Many::default(),
        /// Request headers beyond those that are always allowed; without it all that are asked for.
        headers: Many<Located<String>> = Many::default(),
        /// Response headers that scripts may read.
        expose: Many<Located<String>> = Many::default(),
        /// Let cookies through. Not with `"*"` in `origins`, `methods`, `headers` or `expose`.
        credentials: Located<bool> = Located::nowhere(false),
        /// How long a browser may remember the response to a preflight request.
        max_age: Time = Time(Duration::from_secs(600)),
        /// Pages from public networks may reach us on a private one.
        private_network: bool = false,
    }
}
