// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.oidc]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::policy::jwt::TokenConsumer;
use crate::config::spec::scalar::Time;
use crate::config::spec::shape::{Many, Named, Secret, table};

table! {
    /// Who calls, by signing in with OpenID Connect in a browser: authorisation code with PKCE, and a session that lies
    /// encrypted in cookies. People who open a page are sent to the issuer; scripts and other clients get 401. Claims
    /// are then `{claim.NAME}` in texts. The routes with this policy must contain the path of `redirect_url`.
    #[schemars(rename = "OidcSpec")]
    pub struct Spec {
        /// What the issuer calls itself, a URL: `NAME/.well-known/openid-configuration` tells the rest.
        issuer: Option<Located<String>> = None,
        /// The client that the gateway is registered as.
        client_id: Option<Located<String>> = None,
        /// What proves it; best as `"${file:/run/secrets/oidc}"`. Without it the client is a public one.
        client_secret: Option<Located<Secret>> = None,
        /// How that is sent.
        authentication: ClientAuthentication = ClientAuthentication::Basic,
        /// The whole URL where the issuer sends browsers back, as it is registered there. Its path belongs to this
        /// policy. Without `https` cookies are not `Secure`, which is for trials on one machine.
        redirect_url: Option<Located<String>> = None,
        /// The secret that sessions are encrypted with, of 32 characters or more; best as
        /// `"${file:/run/secrets/sessions}"`. Of several the first encrypts and all decrypt, so that it can be replaced
        /// without signing people out. Gateways with the same secret and policy share sessions.
        cookie_secret: Many<Located<Secret>> = Many::default(),
        /// The name of the session's cookie, behind `__Host-` where that is possible.
        cookie: Located<String> = Located::nowhere("session".to_owned()),
        /// What the issuer is asked for; `openid` is always among it. `offline_access` gets a token that renews the
        /// session at many issuers.
        scopes: Many<Located<String>> = Many::default(),
        /// Further parameters of the request to sign in, such as `prompt` or `audience`.
        parameters: Named<String> = Named::default(),
        /// Ask the userinfo endpoint for claims as well, once a login.
        userinfo: bool = false,
        /// The algorithms that the issuer may sign with: RS256, PS256, ES256, EdDSA and their longer kin. Without it
        /// all that fit its keys.
        algorithms: Many<Located<String>> = Many::default(),
        /// How far clocks may be apart.
        leeway: Time = Time(std::time::Duration::from_secs(30)),
        /// PEM files with the certificate authorities that the issuer is trusted by; without it those of the system.
        ca: Many<Located<PathBuf>> = Many::default(),
        /// Longest wait for one response of the issuer; at most `"20s"`.
        timeout: Located<Time> = Located::nowhere(Time(std::time::Duration::from_secs(5))),
        /// How long a session lasts at most, whatever happens.
        lifetime: Located<Time> = Located::nowhere(Time(std::time::Duration::from_secs(28_800))),
        /// How long a session lasts without requests; `"0s"` for as long as `lifetime`.
        idle: Time = Time(std::time::Duration::from_secs(3_600)),
        /// How long a session goes on whose access token has expired while the issuer cannot be asked for another one;
        /// then 503. Only where there is a token that renews it.
        stale: Time = Time(std::time::Duration::from_secs(600)),
        /// A path to which a page sends a browser to sign in, with `?return_to=/path`.
        login_path: Option<Located<String>> = None,
        /// A path where a browser signs out.
        logout_path: Option<Located<String>> = None,
        /// Sign out at the issuer as well, where its metadata says how.
        logout_at_issuer: bool = true,
        /// Where a browser goes when it has signed out: a path, or a URL that the issuer knows. Without it a page of
        /// the gateway says so.
        after_logout: Option<Located<String>> = None,
        /// A path where the issuer says that somebody signed out (back-channel logout).
        backchannel_logout_path: Option<Located<String>> = None,
        /// Claims that an account must have; JSON pointers such as `/realm_access/roles` reach deeper.
        require: Many<String> = Many::default(),
        /// Claims that must say one of these texts, or be lists with one of them; otherwise 403.
        claims: Named<Many<String>> = Named::default(),
        /// How an account leads to a consumer. Without it, a consumer with a `jwt` credential for the subject (`sub`)
        /// is known by it, and all other accounts pass with their claims alone.
        consumer: Option<TokenConsumer> = None,
        /// The consumer that a request without a session counts as; without it people sign in.
        anonymous: Option<Located<String>> = None,
        /// Tell the upstream the consumer, in `X-Consumer-Name` and `X-Consumer-Id`. Such headers from clients are
        /// always removed.
        consumer_fields: bool = true,
        /// Headers that tell the upstream a claim: `{ "X-User" = "sub" }`. Such headers from clients are always
        /// removed.
        claim_headers: Named<String> = Named::default(),
        /// The header that gives the upstream the access token: `"Authorization"` as a bearer token, others as it is.
        access_token_header: Option<Located<String>> = None,
        /// What the challenge of a 401 names as its realm.
        realm: Located<String> = Located::nowhere("browser".to_owned()),
        /// Sessions that each thread remembers decrypted. Above it those that were used least recently are forgotten.
        sessions_kept: Located<u32> = Located::nowhere(10_000),
    }
}

/// How the gateway proves who it is (OpenID Connect Core section 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum ClientAuthentication {
    /// In `Authorization: Basic` (`client_secret_basic`).
    #[default]
    Basic,
    /// In the form (`client_secret_post`).
    Post,
}
