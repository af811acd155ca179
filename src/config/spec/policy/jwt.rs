// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.jwt]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::Time;
use crate::config::spec::shape::{Many, Named, Secret, table};

table! {
    /// Who calls, by a signed token (JWT); with a wrong or without any token 401, as RFC 6750 says. Claims are then
    /// `{claim.NAME}` in texts. Algorithms follow from the keys: `none` is never taken, nor a key that comes with a
    /// token.
    #[schemars(rename = "JwtPolicySpec")]
    pub struct Spec {
        /// Whose tokens pass; one or a list. At least one.
        issuer: Many<Located<IssuerSpec>> = Many::default(),
        /// Whom a token must be for: one of these in `aud`. Without it, tokens for other services pass as well. An
        /// issuer with an `audience` of its own has that instead.
        audience: Many<String> = Many::default(),
        /// Claims that a token must have; JSON pointers such as `/realm_access/roles` reach deeper.
        require: Many<String> = Many(vec!["exp".to_owned()]),
        /// Claims that must say one of these texts, or be lists with one of them.
        claims: Named<Many<String>> = Named::default(),
        /// Scopes that a token must have, all of them, in `scope` or `scp`; without them 403.
        scopes: Many<Located<String>> = Many::default(),
        /// What `typ` of the header must say, such as `"at+jwt"`; without it anything.
        type_is: Option<String> = None,
        /// How far clocks may be apart.
        leeway: Time = Time(std::time::Duration::from_secs(30)),
        /// The age from `iat` on at which a token is too old; without it only `exp` counts.
        max_age: Option<Time> = None,
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
        /// How long a request waits for keys that are not known yet; at most `"1m"`.
        wait: Located<Time> = Located::nowhere(Time(std::time::Duration::from_secs(5))),
        /// The shortest pause between two requests to an issuer for keys that tokens name and that are not known.
        cool_down: Time = Time(std::time::Duration::from_secs(10)),
        /// Verified tokens that each thread remembers until they expire. Above it those that were used least recently
        /// are forgotten, and verified again.
        tokens_kept: Located<u32> = Located::nowhere(10_000),
    }
}

table! {
    /// Whose tokens pass. Its keys are given in exactly one of the ways, or found by its name, if that is a URL.
    pub struct IssuerSpec {
        /// What `iss` must say. Without it, any token counts that a key of the issuer has signed.
        name: Option<Located<String>> = None,
        /// The URL of its keys (a JWK set). Without any other way, `NAME/.well-known/openid-configuration` tells it.
        jwks_url: Option<Located<String>> = None,
        /// A file with its keys (a JWK set), relative to this configuration file; read again when it changes. It may
        /// hold shared secrets.
        jwks_file: Option<Located<PathBuf>> = None,
        /// A public key in PEM; best as `"${file:/etc/turnpike/issuer.pem}"`.
        public_key: Option<Located<Secret>> = None,
        /// A shared secret of 32 bytes or more, for HS256, HS384 and HS512; best as `"${file:/run/secrets/jwt}"`.
        secret: Option<Located<Secret>> = None,
        /// The algorithms that it may use, of those that fit its keys: HS256, HS384, HS512, RS256, RS384, RS512, PS256,
        /// PS384, PS512, ES256, ES384, ES512, EdDSA. Without it all that fit.
        algorithms: Many<Located<String>> = Many::default(),
        /// Whom its tokens must be for, in the place of the policy's `audience`.
        audience: Many<String> = Many::default(),
        /// PEM files with the certificate authorities that its server is trusted by; without it those of the system.
        ca: Many<Located<PathBuf>> = Many::default(),
        /// The longest pause between two requests for its keys; `Cache-Control` may make it shorter.
        refresh: Located<Time> = Located::nowhere(Time(std::time::Duration::from_secs(900))),
        /// How long its keys are used while its server does not answer; then its tokens get 503.
        stale: Time = Time(std::time::Duration::from_secs(86_400)),
        /// Longest wait for one response of its server.
        timeout: Located<Time> = Located::nowhere(Time(std::time::Duration::from_secs(5))),
    }
}

table! {
    /// Where tokens stand. A request with two different ones is refused.
    pub struct TokenFrom {
        /// Headers that hold `Bearer TOKEN`, or whatever `scheme` says.
        header: Many<Located<String>> = Many(vec![Located::nowhere("authorization".to_owned())]),
        /// The word before the token in these headers; empty where the token stands alone.
        scheme: Located<String> = Located::nowhere("Bearer".to_owned()),
        /// Cookies that hold the token.
        cookie: Many<Located<String>> = Many::default(),
        /// Query parameters that hold the token. It ends up in the logs of every proxy on the way.
        query: Many<Located<String>> = Many::default(),
    }
}

table! {
    /// How a token leads to a consumer.
    pub struct TokenConsumer {
        /// The claim that names it; a JSON pointer such as `/app/id` reaches deeper.
        claim: String = "sub".to_owned(),
        /// What the claim names.
        by: ConsumerBy = ConsumerBy::Credential,
        /// Let a token pass that stands for no consumer, with its claims alone; otherwise it gets 403.
        optional: bool = false,
    }
}

/// What the claim of a token names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ConsumerBy {
    /// A `jwt` credential of a consumer: of the token's issuer, or of any.
    #[default]
    Credential,
    /// A consumer, by its name.
    Name,
}
