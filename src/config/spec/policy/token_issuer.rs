// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.token_issuer]`.

use crate::config::location::Located;
use crate::config::spec::scalar::Time;
use crate::config::spec::shape::{Many, Named, Secret, table};

table! {
    /// Tokens for clients, issued by the gateway itself: the client credentials grant of OAuth 2.0, with signed access
    /// tokens (RFC 9068). A client is a consumer with an API key, or one with a `basic` credential. The policy serves
    /// the paths of tokens, of keys and of metadata; the routes with it must contain them.
    #[schemars(rename = "TokenIssuerSpec")]
    pub struct Spec {
        /// What the issuer calls itself (`iss`): the URL where clients and other gateways reach it, without a query.
        issuer: Option<Located<String>> = None,
        /// Private keys in PEM, of the type Ed25519, P-256 (ES256) or RSA (RS256); best as
        /// `"${file:/run/secrets/issuer.pem}"`. Of several the first signs and all are published, so that keys can be
        /// exchanged without refusing tokens.
        keys: Many<Located<Secret>> = Many::default(),
        /// Whom tokens may be for (`aud`). The first is meant where a client names none in `resource` or `audience`.
        audience: Many<Located<String>> = Many::default(),
        /// Scopes that every client may have.
        scopes: Many<Located<String>> = Many::default(),
        /// Scopes that members of a group may have besides: `{ writers = "orders:write" }`.
        group_scopes: Named<Many<Located<String>>> = Named::default(),
        /// Scopes of a token for which none are asked; of these, the client gets those that it may have.
        default_scopes: Many<Located<String>> = Many::default(),
        /// How long tokens are valid; at most `"1d"`, because nobody can call one back.
        lifetime: Located<Time> = Located::nowhere(Time(std::time::Duration::from_secs(3_600))),
        /// The path where tokens are issued.
        token_path: Located<String> = Located::nowhere("/oauth/token".to_owned()),
        /// The path of the keys (a JWK set).
        jwks_path: Located<String> = Located::nowhere("/oauth/jwks".to_owned()),
        /// What the challenge of a 401 names as its realm.
        realm: Located<String> = Located::nowhere("oauth".to_owned()),
        /// How long a thread remembers that a password was right or wrong. A changed hash acts at once.
        cache: Time = Time(std::time::Duration::from_secs(300)),
        /// Longest wait for a password to be checked, and for a token to be signed; then 503.
        timeout: Located<Time> = Located::nowhere(Time(std::time::Duration::from_secs(5))),
    }
}
