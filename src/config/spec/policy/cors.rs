// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.cors]`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::{Limit, Time};
use crate::config::spec::shape::{Many, table};

table! {
    /// Lets browsers call from pages of other origins (CORS). Preflight requests are answered here.
    #[schemars(rename = "CorsSpec")]
    pub struct Spec {
        /// Origins: `"https://app.example.com"`, `"https://*.example.com"` (any depth, not the bare domain),
        /// `"~REGEX"` for the whole origin, `"*"` for all. `"null"`, the origin of sandboxed pages and of files, is
        /// allowed only where it is named or by `"*"`: everybody can have it.
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
        /// How long a browser may remember the response to a preflight request; `"off"` leaves it to the browser
        /// (mostly 5 seconds), and 0 forbids it. Browsers remember for 2 hours (Chrome) or a day (Firefox) at most.
        max_age: Limit<Time> = Limit::At(Time(Duration::from_secs(600))),
        /// Who answers preflight requests.
        preflight: Preflight = Preflight::Answer,
        /// The status of preflights that are answered here, 200 to 299. Some old clients take only 200.
        preflight_status: Located<u16> = Located::nowhere(204),
        /// Pages from public networks may reach us on a private one.
        private_network: bool = false,
    }
}

/// Who answers preflights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Preflight {
    /// The gateway, before any policy that asks who calls.
    Answer,
    /// The upstream; its response reaches the browser as it is. Other policies of the route decide about it, and such
    /// as ask who calls refuse it: browsers send no credentials with it.
    Forward,
}
