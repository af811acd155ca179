// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.http_signature]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::{Size, Time};
use crate::config::spec::shape::{Many, Secret, table};

table! {
    /// Who calls, by an HTTP Message Signature (RFC 9421) in `Signature-Input` and `Signature`; with a wrong or without
    /// any signature 401. Where a request has a body, the signature covers `Content-Digest` (RFC 9530), and the body
    /// has that digest.
    #[schemars(rename = "HttpSignatureSpec")]
    pub struct Spec {
        /// Keys of clients. One or a list.
        keys: Many<Located<SignatureKeySpec>> = Many::default(),
        /// Take the `hmac` credentials of consumers (with `hmac-sha256`), too; without it, they count where `keys` is
        /// not given.
        credentials: Option<bool> = None,
        /// The label that the signature must have; without it, a request has one signature.
        label: Option<Located<String>> = None,
        /// The `tag` that the signature must have.
        tag: Option<Located<String>> = None,
        /// What the signature must cover: header names in lower case, `@method`, `@target-uri`, `@authority`,
        /// `@scheme`, `@request-target`, `@path`, `@query`.
        required: Many<Located<String>> =
            Many(["@method", "@authority", "@path", "@query"].map(|name| Located::nowhere(name.to_owned())).into()),
        /// How old a signature may be, by its `created`, which it must have.
        #[schemars(extend("x-default" = "5m"))]
        max_age: Option<Time> = None,
        /// How far the clocks of clients may differ.
        #[schemars(extend("x-default" = "30s"))]
        leeway: Option<Time> = None,
        /// Whether a signature needs a nonce. Nonces are kept for as long as their signatures could be good, in memory
        /// and for all threads together, a million at most; above that 503. A restart forgets them.
        nonce: NonceSpec = NonceSpec::Ignored,
        /// Compare the body with its `Content-Digest`, up to this size; a longer body is refused with 413. `"0"`
        /// compares none.
        #[schemars(extend("x-default" = "1MiB"))]
        body: Option<Located<Size>> = None,
        /// The consumer that a request without a signature counts as; without it such a request is refused.
        anonymous: Option<Located<String>> = None,
        /// Take the signature from the request before it is sent on.
        hide: bool = false,
        /// Tell the upstream which consumer it is, in `X-Consumer-Name` and `X-Consumer-Id`. Such headers from clients
        /// are always removed.
        consumer_fields: bool = true,
        /// What a client without a signature is told to sign for.
        realm: Located<String> = Located::nowhere("api".to_owned()),
    }
}

table! {
    /// A key; exactly one of `public_key` and `secret`.
    pub struct SignatureKeySpec {
        /// What clients name it by, in `keyid`.
        id: Located<String> = Located::nowhere(String::new()),
        /// The algorithm; with a secret `hmac-sha256`.
        algorithm: SignatureAlgorithm = SignatureAlgorithm::HmacSha256,
        /// A file with the public key in PEM (`BEGIN PUBLIC KEY`); it is read again when it changes.
        public_key: Option<Located<PathBuf>> = None,
        /// A shared secret, at least 32 bytes; best as `"${file:/run/secrets/acme}"`.
        secret: Option<Located<Secret>> = None,
        /// The consumer. Without one, it passes from nobody in particular.
        consumer: Option<Located<String>> = None,
    }
}

/// Whether a signature needs a nonce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum NonceSpec {
    /// It does, and each is good once.
    Required,
    /// It does not.
    #[default]
    Ignored,
}

/// An algorithm of RFC 9421.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum SignatureAlgorithm {
    /// HMAC with SHA-256.
    #[default]
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// RSASSA-PSS with SHA-512.
    #[serde(rename = "rsa-pss-sha512")]
    RsaPssSha512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "rsa-v1_5-sha256")]
    RsaV15Sha256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ecdsa-p256-sha256")]
    EcdsaP256Sha256,
    /// EdDSA on Curve25519.
    #[serde(rename = "ed25519")]
    Ed25519,
}
