// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.require_header]`.

use crate::config::location::Located;
use crate::config::spec::route::MatchSpec;
use crate::config::spec::shape::{Named, ShortOr, table};

table! {
    /// Headers that a request must have; without one of them it is refused.
    #[schemars(rename = "RequireHeaderSpec")]
    pub struct Spec {
        /// Headers by name, each with a value or a matcher such as `{ present = true }`, as in `headers` of a
        /// route. All must match; where a header has several lines, each of them must.
        headers: Named<Located<ShortOr<MatchSpec>>> = Named::default(),
        /// The status of a refusal, 400 to 599.
        status: Located<u16> = Located::nowhere(400),
        /// What a refused client reads as `detail`. Without it, which header does not match; with `""` nothing.
        detail: Option<String> = None,
    }
}
