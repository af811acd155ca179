// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.content_rules]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::{Count, Limit, Size};
use crate::config::spec::shape::{Many, table};

table! {
    /// What a request may look like: type and length of its body, length of its URL, number of its headers. It is
    /// decided by the head, before anybody is asked who calls.
    #[schemars(rename = "ContentRulesSpec")]
    pub struct Spec {
        /// Media types of bodies: `"application/json"`, `"text/*"`, `"application/*+json"`; others, none and several
        /// get 415 with the list in `Accept`. Without it any.
        types: Many<Located<String>> = Many::default(),
        /// Refuse bodies without `Content-Length` (411).
        require_length: bool = false,
        /// The largest body; above it 413, also where it comes without a length. Of this, of `limits.body` and of other
        /// policies of the route the smallest holds.
        body: Limit<Size> = Limit::Off,
        /// The longest path and query; above it 414.
        url: Limit<Size> = Limit::Off,
        /// The most header lines; above it 431.
        headers: Limit<Count> = Limit::Off,
        /// The longest header line, name and value; above it 431.
        header: Limit<Size> = Limit::Off,
        /// What becomes of `X-HTTP-Method-Override`, `X-HTTP-Method`, `X-Method-Override` and
        /// `X-Original-HTTP-Method`, by which an upstream may be made to act by another method than the one that
        /// rules and policies saw.
        method_override: MethodOverrides = MethodOverrides::Remove,
    }
}

/// What becomes of headers that name another method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum MethodOverrides {
    /// The upstream does not see them.
    #[default]
    Remove,
    /// The request is refused (400).
    Refuse,
    /// They go on.
    Keep,
}
