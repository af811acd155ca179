// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.external_auth]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::{Size, Time};
use crate::config::spec::shape::Many;

/// Asks another service with a `GET` without body, as nginx's `auth_request`: 2xx passes, 401 and 403 go to the
/// client, anything else is a failure. With a `preset` it asks as Traefik or Envoy does. The service is told of the
/// request in `X-Original-Method` and `X-Original-URI` (nginx), and in `X-Forwarded-Method`, `-Uri`, `-Host`, `-Proto`
/// and `-For` (Traefik, Caddy); the path there is the normalised one that routes and the upstream see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExternalAuthSpec")]
pub struct Spec {
    /// The upstream that is asked, by name or address.
    pub upstream: Located<String>,
    /// Asks as another proxy does, where other keys do not say something else: `"forward_auth"` as Traefik and Caddy
    /// (`X-Forwarded-*`, every refusal is passed on whole), `"ext_authz"` as Envoy over HTTP (`Host`, method, path and
    /// query of the request, the path behind `path`; every refusal is passed on whole, 403 on failure).
    #[serde(default)]
    pub preset: Option<AuthPreset>,
    /// Path and query that are asked for; may hold variables. `{target}` is what the client asked for. With
    /// `"ext_authz"` the path that is put in front of the request's own.
    #[serde(default)]
    #[schemars(extend("x-default" = "/"))]
    pub path: Option<Located<String>>,
    /// The method of the question; without it `get`, with `body` `post`, with `"ext_authz"` `original`.
    #[serde(default)]
    pub method: Option<AuthMethod>,
    /// Send the request's body along, up to this size; a longer one is refused with 413. Without it, no body is sent.
    #[serde(default)]
    pub body: Option<Located<Size>>,
    /// Headers of the client's request that are sent along; without it all but those of its body and connection.
    #[serde(default)]
    pub send: Option<Many<Located<String>>>,
    /// Headers of its response that the upstream gets, replacing the client's own: names, or what they begin with
    /// (`"X-Auth-*"`). All such headers are always removed from the client's request.
    #[serde(default)]
    pub to_upstream: Many<Located<String>>,
    /// Headers of its response that the client gets: names, or what they begin with (`"X-Auth-*"`).
    #[serde(default)]
    pub to_client: Many<Located<String>>,
    /// Longest wait for its response.
    #[serde(default)]
    #[schemars(extend("x-default" = "1s"))]
    pub timeout: Option<Time>,
    /// Pass a redirect on to the client, for login pages; otherwise it is a failure.
    #[serde(default)]
    pub forward_redirects: bool,
    /// Pass every response that is no 2xx on to the client whole: status, headers and body, up to 64 KiB.
    #[serde(default)]
    pub pass_refusals: Option<bool>,
    /// Remember its verdicts.
    #[serde(default)]
    pub cache: Option<Located<AuthCacheSpec>>,
    /// What happens when the service does not respond as it should; without it `refuse`, with `"ext_authz"` `forbid`.
    #[serde(default)]
    pub failure: Option<AuthFailure>,
}

/// Verdicts that each thread remembers, 16 384 at most. A 2xx, 401 or 403 is remembered for as long as its
/// `Cache-Control: max-age` says, and not at all without it, with `no-store`, `no-cache` or `private`, or where it sets
/// a cookie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthCacheSpec {
    /// All that the service's verdict depends on, as texts with variables: `["{header.Authorization}", "{method}"]`.
    /// Path and query of the question count in any case, and with `"ext_authz"` also its host and method.
    pub by: Many<Located<String>>,
    /// The longest time that a verdict is remembered.
    #[serde(default)]
    #[schemars(extend("x-default" = "1m"))]
    pub max: Option<Time>,
}

/// As whom a service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum AuthPreset {
    /// As nginx does.
    AuthRequest,
    /// As Traefik and Caddy do.
    ForwardAuth,
    /// As Envoy does over HTTP.
    ExtAuthz,
}

/// The method of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum AuthMethod {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// That of the request.
    Original,
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
    /// 403.
    Forbid,
    /// Let the request through unchecked.
    Admit,
}
