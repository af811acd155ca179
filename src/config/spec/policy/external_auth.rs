// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.external_auth]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::Time;
use crate::config::spec::shape::Many;

/// Asks another service with a `GET` without body, as nginx's `auth_request`: 2xx passes, 401 and 403 go to the
/// client, anything else is a failure. The service is told of the request in `X-Original-Method` and `X-Original-URI`
/// (nginx), and in `X-Forwarded-Method`, `-Uri`, `-Host`, `-Proto` and `-For` (Traefik, Caddy); the path there is the
/// normalised one that routes and the upstream see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExternalAuthSpec")]
pub struct Spec {
    /// The upstream that is asked, by name or address.
    pub upstream: Located<String>,
    /// Path and query that are asked for; may hold variables. `{target}` is what the client asked for.
    #[serde(default)]
    #[schemars(extend("x-default" = "/"))]
    pub path: Option<Located<String>>,
    /// Headers of the client's request that are sent along; without it all but those of its body and connection.
    #[serde(default)]
    pub send: Option<Many<Located<String>>>,
    /// Headers of its response that the upstream gets, replacing the client's own.
    #[serde(default)]
    pub to_upstream: Many<Located<String>>,
    /// Headers of its response that the client gets.
    #[serde(default)]
    pub to_client: Many<Located<String>>,
    /// Longest wait for its response.
    #[serde(default)]
    #[schemars(extend("x-default" = "1s"))]
    pub timeout: Option<Time>,
    /// Pass a redirect on to the client, for login pages; otherwise it is a failure.
    #[serde(default)]
    pub forward_redirects: bool,
    /// What happens when the service does not respond as it should.
    #[serde(default)]
    pub failure: AuthFailure,
}

/// What happens when an authenticating service does not respond as it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum AuthFailure {
    /// 500.
    #[default]
    Refuse,
    /// 503.
    Unavailable,
    /// Let the request through unchecked.
    Admit,
}
