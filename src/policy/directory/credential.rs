// SPDX-License-Identifier: Apache-2.0
//! Credentials that are found by a name which the client tells: basic users, identifiers of HMAC keys, subjects of
//! tokens and of certificates. API keys are in `key`.

use std::fmt;

use crate::base::{AppId, ConsumerId, CredentialId, Wall};
use crate::policy::directory::key::Expiry;

/// A kind of credential that is found by a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum CredentialKind {
    /// A user name with the hash of a password.
    Basic,
    /// The identifier of a shared secret.
    Hmac,
    /// A subject of tokens.
    Jwt,
    /// A subject, name or fingerprint of client certificates.
    Certificate,
}

impl CredentialKind {
    /// All of them, in order of their places.
    pub const ALL: [CredentialKind; 4] =
        [CredentialKind::Basic, CredentialKind::Hmac, CredentialKind::Jwt, CredentialKind::Certificate];

    /// Its name in the configuration and the admin API.
    pub const fn name(self) -> &'static str {
        match self {
            CredentialKind::Basic => "basic",
            CredentialKind::Hmac => "hmac",
            CredentialKind::Jwt => "jwt",
            CredentialKind::Certificate => "certificate",
        }
    }
}

/// A credential that is found by a name.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its number.
    pub number: CredentialId,
    /// What it is.
    pub kind: CredentialKind,
    /// What the client tells. Of a token it is the claim's value; where an issuer was given, the issuer, a zero byte
    /// and the value (`jwt_lookup`).
    pub lookup: Box<[u8]>,
    /// What the client must know: a basic user's password hash, as in a `htpasswd` file or a PHC string, or a shared
    /// secret; empty for tokens and certificates.
    pub secret: Box<[u8]>,
    /// Whose.
    pub consumer: ConsumerId,
    /// The app that it belongs to.
    pub app: Option<AppId>,
    /// Not valid from then on.
    pub expires: Expiry,
}

impl Credential {
    /// May it still be used?
    pub fn is_valid(&self, now: Wall) -> bool {
        !self.expires.is_over(now)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Credential { number, kind, consumer, .. } = self;
        let mut shown = out.debug_struct("Credential");
        shown.field("number", number).field("kind", kind).field("consumer", consumer).finish_non_exhaustive()
    }
}

/// What a certificate is found by: `what` is `subject`, `san` or `sha256`. Names and fingerprints are compared without
/// case, subjects as they are.
pub(crate) fn certificate_lookup(what: &str, text: &str, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(what.as_bytes());
    out.push(b':');
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    if what != "subject" {
        out[start..].make_ascii_lowercase();
    }
}

/// What a subject of one issuer's tokens is found by; of any issuer's, the subject alone.
pub(crate) fn jwt_lookup(issuer: Option<&str>, subject: &str, out: &mut Vec<u8>) {
    out.clear();
    if let Some(issuer) = issuer {
        out.extend_from_slice(issuer.as_bytes());
        out.push(0);
    }
    out.extend_from_slice(subject.as_bytes());
}
