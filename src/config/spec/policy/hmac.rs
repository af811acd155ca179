// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.hmac]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::{Size, Time};
use crate::config::spec::shape::{Many, Secret, table};

table! {
    /// Who calls, by a signed request as Kong's `hmac-auth` has it, in `Authorization: hmac username="…", …`; with a
    /// wrong or without any signature 401. The signature covers the date (`x-date`, else `date`), what was asked for
    /// (`@request-target` or `request-line`), and all of `required`.
    #[schemars(rename = "HmacPolicySpec")]
    pub struct Spec {
        /// Secrets of clients. One or a list.
        secrets: Many<Located<HmacSecretSpec>> = Many::default(),
        /// Take the `hmac` credentials of consumers, too; without it, they count where `secrets` is not given.
        credentials: Option<bool> = None,
        /// The algorithms that are taken. `hmac-sha1` is for old clients.
        algorithms: Many<Located<HmacAlgorithm>> = Many(
            [HmacAlgorithm::Sha256, HmacAlgorithm::Sha384, HmacAlgorithm::Sha512].map(Located::nowhere).into(),
        ),
        /// Headers that must be signed as well, by name.
        required: Many<Located<String>> = Many::default(),
        /// How far the date of a request may be from now.
        #[schemars(extend("x-default" = "5m"))]
        clock_skew: Option<Time> = None,
        /// Compare the body with its header `Digest: SHA-256=…`, which must be signed, up to this size; a longer body
        /// is refused with 413. Without it, bodies are not looked at.
        body: Option<Located<Size>> = None,
        /// The consumer that a request without such a signature counts as; without it such a request is refused.
        anonymous: Option<Located<String>> = None,
        /// Take `Authorization` from the request before it is sent on.
        hide: bool = true,
        /// Tell the upstream which consumer it is, in `X-Consumer-Name` and `X-Consumer-Id`. Such headers from clients
        /// are always removed.
        consumer_fields: bool = true,
        /// What a client without a signature is told to sign for.
        realm: Located<String> = Located::nowhere("api".to_owned()),
    }
}

table! {
    /// A secret.
    pub struct HmacSecretSpec {
        /// What clients name it by, in `username`.
        username: Located<String> = Located::nowhere(String::new()),
        /// The secret, at least 16 bytes; best as `"${file:/run/secrets/acme}"`.
        secret: Located<Secret> = Located::nowhere(Secret(String::new())),
        /// The consumer. Without one, it passes from nobody in particular.
        consumer: Option<Located<String>> = None,
    }
}

/// A hash of the HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum HmacAlgorithm {
    /// SHA-1.
    #[serde(rename = "hmac-sha1")]
    Sha1,
    /// SHA-256.
    #[serde(rename = "hmac-sha256")]
    Sha256,
    /// SHA-384.
    #[serde(rename = "hmac-sha384")]
    Sha384,
    /// SHA-512.
    #[serde(rename = "hmac-sha512")]
    Sha512,
}
