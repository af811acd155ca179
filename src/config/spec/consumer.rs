// SPDX-License-Identifier: Apache-2.0
//! `[[consumer]]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::directory::ConsumerBody;
use crate::config::spec::scalar::Moment;
use crate::config::spec::shape::{Many, Secret, table};

/// Who may call. A consumer of the same name in the store is not used while this one is declared; credentials of that
/// name in the store are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumerSpec {
    /// The name, for logs and limits.
    pub name: Located<String>,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Your own identifier, which upstreams get as `X-Consumer-Id`.
    #[serde(default)]
    pub id: Option<Located<String>>,
    /// The groups that it is a member of.
    #[serde(default)]
    pub groups: Many<Located<String>>,
    /// The tenant that it belongs to.
    #[serde(default)]
    pub tenant: Option<Located<String>>,
    /// Its plan, for whatever routes the plan contains. Without any plan those of the tenant hold.
    #[serde(default)]
    pub plan: Option<Located<String>>,
    /// Its plans by product: `plans = { maps = "gold" }`.
    #[serde(default)]
    pub plans: BTreeMap<String, String>,
    /// Names and values of your own, for texts (`{consumer.attribute.NAME}`) and expressions.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Its credentials are refused with 403.
    #[serde(default)]
    pub suspended: bool,
    /// API keys; more than one while they are exchanged.
    #[serde(default)]
    pub keys: Many<Located<KeySpec>>,
    /// User names with passwords (HTTP Basic).
    #[serde(default)]
    pub basic: Many<Located<BasicSpec>>,
    /// Shared secrets for signatures.
    #[serde(default)]
    pub hmac: Many<Located<HmacSpec>>,
    /// Subjects of tokens.
    #[serde(default)]
    pub jwt: Many<Located<JwtSpec>>,
    /// Client certificates.
    #[serde(default)]
    pub certificates: Many<Located<CertificateSpec>>,
}

impl ConsumerSpec {
    /// What it has beside its name and its credentials.
    pub fn body(&self) -> ConsumerBody {
        let text = |located: &Option<Located<String>>| located.as_ref().map(|text| text.value.clone());
        ConsumerBody {
            description: self.description.clone(),
            id: text(&self.id),
            groups: self.groups.iter().map(|group| group.value.clone()).collect(),
            tenant: text(&self.tenant),
            plan: text(&self.plan),
            plans: self.plans.clone(),
            attributes: self.attributes.clone(),
            suspended: self.suspended,
        }
    }
}

table! {
    /// One key; exactly one of `sha256` and `key`.
    pub struct KeySpec {
        /// The key's SHA-256, as 64 hexadecimal digits: `printf %s KEY | sha256sum`.
        sha256: Option<Located<String>> = None,
        /// The key itself; best as `"${file:/run/secrets/acme}"`. It is hashed when read.
        key: Option<Located<Secret>> = None,
        /// The app that it belongs to.
        app: Option<Located<String>> = None,
        /// Not valid from then on: `"2027-01-31"` (from its first moment in UTC) or `"2027-01-31T12:00:00Z"`.
        expires: Option<Moment> = None,
    }
}

table! {
    /// A user name with the hash of its password.
    pub struct BasicSpec {
        /// The user name; it has no colon.
        user: Located<String> = Located::nowhere(String::new()),
        /// The password's hash, as `htpasswd` writes it, or a PHC string.
        hash: Located<Secret> = Located::nowhere(Secret(String::new())),
        /// The app that it belongs to.
        app: Option<Located<String>> = None,
        /// Not valid from then on.
        expires: Option<Moment> = None,
    }
}

table! {
    /// A shared secret for signatures.
    pub struct HmacSpec {
        /// What the client names it by (`keyId`, `keyid`).
        id: Located<String> = Located::nowhere(String::new()),
        /// The secret, at least 16 bytes; best as `"${file:/run/secrets/acme}"`.
        secret: Located<Secret> = Located::nowhere(Secret(String::new())),
        /// The app that it belongs to.
        app: Option<Located<String>> = None,
        /// Not valid from then on.
        expires: Option<Moment> = None,
    }
}

table! {
    /// A subject of tokens.
    pub struct JwtSpec {
        /// The value of the claim by which the policy `jwt` finds consumers, usually `sub`.
        subject: Located<String> = Located::nowhere(String::new()),
        /// Only in tokens of this issuer (`iss`); without it of any issuer that the policy takes.
        issuer: Option<Located<String>> = None,
        /// The app that it belongs to.
        app: Option<Located<String>> = None,
        /// Not valid from then on.
        expires: Option<Moment> = None,
    }
}

table! {
    /// A client certificate; exactly one of `subject`, `san` and `sha256`.
    pub struct CertificateSpec {
        /// Its subject, as RFC 4514 writes it.
        subject: Option<Located<String>> = None,
        /// One of its alternative names: a DNS name, an email address, a URI.
        san: Option<Located<String>> = None,
        /// The SHA-256 of the certificate, as 64 hexadecimal digits.
        sha256: Option<Located<String>> = None,
        /// The app that it belongs to.
        app: Option<Located<String>> = None,
        /// Not valid from then on.
        expires: Option<Moment> = None,
    }
}
