// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.introspection]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::policy::jwt::{TokenConsumer, TokenFrom};
use crate::config::spec::scalar::Time;
use crate::config::spec::shape::{Many, Named, Secret, table};

table! {
    /// Who calls, by a token that an authorisation server knows (OAuth 2 introspection, RFC 7662); with a wrong or
    /// without any token 401. What the server says are claims: `{claim.NAME}` in texts. A token that it revokes passes
    /// for `cache` at most.
    #[schemars(rename = "IntrospectionSpec")]
    pub struct Spec {
        /// The introspection endpoint.
        url: Option<Located<String>> = None,
        /// The client that asks.
        client_id: Option<Located<String>> = None,
        /// What proves it; best as `"${file:/run/secrets/introspection}"`.
        client_secret: Option<Located<Secret>> = None,
        /// How that is sent.
        authentication: ClientAuthentication = ClientAuthentication::Basic,
        /// PEM files with the certificate authorities that the server is trusted by; without it those of the system.
        ca: Many<Located<PathBuf>> = Many::default(),
        /// Longest wait for the server; at most `"1m"`.
        timeout: Located<Time> = Located::nowhere(Time(std::time::Duration::from_secs(5))),
        /// How long an answer holds, at least `"1s"`; never beyond the token's own end.
        cache: Located<Time> = Located::nowhere(Time(std::time::Duration::from_secs(60))),
        /// How long it holds that a token is not valid, at least `"1s"`.
        cache_inactive: Located<Time> = Located::nowhere(Time(std::time::Duration::from_secs(10))),
        /// How long beyond `cache` an answer holds while the server does not answer; otherwise such requests get 503.
        stale: Time = Time(std::time::Duration::ZERO),
        /// Answers that each thread remembers. Above it those that were used least recently are forgotten.
        tokens_kept: Located<u32> = Located::nowhere(10_000),
        /// Whom a token must be for: one of these in `aud`; without it `aud` is not looked at.
        audience: Many<String> = Many::default(),
        /// What `iss` must say; without it anything.
        issuer: Option<String> = None,
        /// Members that the answer must have; JSON pointers reach deeper.
        require: Many<String> = Many::default(),
        /// Members that must say one of these texts, or be lists with one of them.
        claims: Named<Many<String>> = Named::default(),
        /// Scopes that a token must have, all of them; without them 403.
        scopes: Many<Located<String>> = Many::default(),
        /// How far clocks may be apart.
        leeway: Time = Time(std::time::Duration::ZERO),
        /// Where tokens stand.
        from: TokenFrom = TokenFrom::default(),
        /// How a token leads to a consumer. Without it, a consumer with a `jwt` credential for the subject (`sub`) is
        /// known by it, and all other tokens pass with their claims alone.
        consumer: Option<TokenConsumer> = None,
        /// The consumer that a request without any token counts as; without it such a request is refused.
        anonymous: Option<Located<String>> = None,
        /// Take the token from the request before it is sent on.
        hide: bool = false,
        /// Tell the upstream the consumer, in `X-Consumer-Name` and `X-Consumer-Id`. Such headers from clients are
        /// always removed.
        consumer_fields: bool = true,
        /// Headers that tell the upstream a claim: `{ "X-User" = "sub" }`. Such headers from clients are always
        /// removed.
        claim_headers: Named<String> = Named::default(),
        /// What the challenge names as its realm.
        realm: Located<String> = Located::nowhere("api".to_owned()),
        /// The URL of the metadata that tells clients where to get a token (RFC 9728); the challenge names it.
        resource_metadata: Option<Located<String>> = None,
    }
}

/// How a client proves who it is (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ClientAuthentication {
    /// In `Authorization: Basic`.
    #[default]
    Basic,
    /// In the form, beside the token.
    Post,
}
