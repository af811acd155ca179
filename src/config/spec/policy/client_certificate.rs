// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.client_certificate]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::shape::{Many, Named, table};

table! {
    /// Who calls, by the client certificate of the TLS connection, which `client_auth` of the listener asks for and
    /// verifies; without one 401, with one that is nobody's 403. Whose it is say the rules, and behind them the
    /// `certificates` of consumers.
    #[schemars(rename = "ClientCertificateSpec")]
    pub struct Spec {
        /// Rules that say whose a certificate is; the first that matches counts. One or a list.
        rules: Many<Located<CertificateRuleSpec>> = Many::default(),
        /// Refuse requests without a certificate. Otherwise they pass, from nobody in particular.
        required: bool = true,
        /// What becomes of a certificate that is nobody's.
        unknown: UnknownCertificate = UnknownCertificate::Refuse,
        /// Tell the upstream which consumer it is, in `X-Consumer-Name` and `X-Consumer-Id`. Such headers from clients
        /// are always removed.
        consumer_fields: bool = true,
        /// What the upstream is told of the certificate, each in a header of its own: `X-Client-Cert-Subject`,
        /// `-Issuer`, `-Serial`, `-Fingerprint`, `-San`, and `Client-Cert` (RFC 9440). All of them are always removed
        /// from the client's request.
        send: Many<Located<CertificatePart>> = Many(vec![
            Located::nowhere(CertificatePart::Subject),
            Located::nowhere(CertificatePart::Fingerprint),
        ]),
        /// What a client without a certificate is told to show one for.
        realm: Located<String> = Located::nowhere("api".to_owned()),
    }
}

table! {
    /// Whose a certificate is. All that is given must hold.
    pub struct CertificateRuleSpec {
        /// Parts of the subject that it has, each exactly once: `{ CN = "client", O = "Acme" }`.
        subject: Named<Located<String>> = Named::default(),
        /// A host name among its alternative names: `"a.example.com"`, or `"*.example.com"` for one more label.
        dns: Option<Located<String>> = None,
        /// A URI among them: `"spiffe://acme/worker"`, or `"spiffe://acme/*"` for all that begin so.
        uri: Option<Located<String>> = None,
        /// A mail address among them, letter by letter.
        email: Option<Located<String>> = None,
        /// Its SHA-256 in hexadecimal, with or without colons: `openssl x509 -noout -fingerprint -sha256`.
        sha256: Option<Located<String>> = None,
        /// The consumer. Without one, it passes from nobody in particular.
        consumer: Option<Located<String>> = None,
    }
}

/// What becomes of a certificate that is nobody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum UnknownCertificate {
    /// 403.
    #[default]
    Refuse,
    /// It passes, from nobody in particular: that the listener's `client_auth` has verified it is enough.
    Pass,
}

/// What an upstream may be told of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum CertificatePart {
    /// `X-Client-Cert-Subject`: `CN=client,O=Acme,C=DE` (RFC 4514).
    Subject,
    /// `X-Client-Cert-Issuer`, likewise.
    Issuer,
    /// `X-Client-Cert-Serial`, in hexadecimal.
    Serial,
    /// `X-Client-Cert-Fingerprint`: SHA-256 in hexadecimal.
    Fingerprint,
    /// `X-Client-Cert-San`: `dns:a.example.com, uri:spiffe://acme/worker`.
    San,
    /// `Client-Cert`: the whole certificate (RFC 9440).
    Certificate,
}
