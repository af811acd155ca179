// SPDX-License-Identifier: Apache-2.0
//! Hot. Who calls, by the client certificate that TLS has verified. Rules say which certificate is whose: by parts of
//! its subject, by a name of its alternative names, or by its fingerprint. Behind them, the credentials of the
//! directory do, by fingerprint, whole subject, or one of the alternative names.
//!
//! Fields that tell the upstream of the certificate are always removed from what the client sent.

use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::directory::{Consumer, Credential, CredentialKind, certificate_lookup};
use crate::policy::facts::Facts;
use crate::policy::identity::Identity;
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::policy::protected::Protected;
use crate::policy::tell::{self, ConsumerFields};
use crate::wire::certificate::{ClientCertificate, NameKind};
use crate::wire::template::Lookup;

/// Which certificates are whose.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In the order in which they are tried; the first that matches counts.
    pub rules: Box<[Rule]>,
    /// What becomes of a request without a certificate.
    pub absent: Absent,
    /// What becomes of a certificate that is nobody's.
    pub unknown: Unknown,
    /// Whether the upstream is told which consumer it is.
    pub consumer_fields: ConsumerFields,
    /// What the upstream is told of the certificate.
    pub told: Box<[Told]>,
    /// The value of `WWW-Authenticate` in a 401.
    pub challenge: Box<[u8]>,
}

/// Whose certificate it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All of them must hold; at least one.
    pub tests: Box<[Test]>,
    /// The consumer's name; `None` where it may pass as nobody in particular.
    pub consumer: Option<Box<str>>,
}

/// Something that a certificate must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Its subject has exactly one part of this name, with this value.
    Subject(Box<str>, Box<str>),
    /// One of its alternative names of this kind matches.
    Name(NameKind, NamePattern),
    /// Its SHA-256 in hexadecimal.
    Fingerprint(Box<str>),
}

/// Which names match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// This one.
    Exact(Box<str>),
    /// Host names with one label in front of this, which begins with a dot.
    Below(Box<str>),
    /// All that begin with this.
    Prefix(Box<str>),
}

impl NamePattern {
    fn matches(&self, name: &str) -> bool {
        match self {
            NamePattern::Exact(own) => name == &**own,
            NamePattern::Below(suffix) => {
                // A certificate for `*.example.com` is for no host in particular.
                name.strip_suffix(&**suffix).is_some_and(|label| !label.is_empty() && !label.contains(['.', '*']))
            }
            NamePattern::Prefix(start) => name.starts_with(&**start),
        }
    }
}

/// What becomes of a request without a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// 401.
    Refused,
    /// It passes, from nobody in particular.
    Passes,
}

/// What becomes of a certificate that is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// 403.
    Refused,
    /// It passes, from nobody in particular: that an authority of the listener has signed it is enough.
    Passes,
}

/// What the upstream is told of a certificate, each in its own field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// `X-Client-Cert-Subject` (RFC 4514).
    Subject,
    /// `X-Client-Cert-Issuer` (RFC 4514).
    Issuer,
    /// `X-Client-Cert-Serial`, in hexadecimal.
    Serial,
    /// `X-Client-Cert-Fingerprint`: SHA-256 in hexadecimal.
    Fingerprint,
    /// `X-Client-Cert-San`: the alternative names with their kinds, `dns:a.example, uri:spiffe://acme/a`.
    Names,
    /// `Client-Cert`: the whole certificate (RFC 9440).
    Certificate,
}

impl Told {
    /// All of them.
    pub(crate) const ALL: [Told; 6] =
        [Told::Subject, Told::Issuer, Told::Serial, Told::Fingerprint, Told::Names, Told::Certificate];

    const fn field(self) -> &'static [u8] {
        match self {
            Told::Subject => b"X-Client-Cert-Subject",
            Told::Issuer => b"X-Client-Cert-Issuer",
            Told::Serial => b"X-Client-Cert-Serial",
            Told::Fingerprint => b"X-Client-Cert-Fingerprint",
            Told::Names => b"X-Client-Cert-San",
            Told::Certificate => b"Client-Cert",
        }
    }

    fn append(self, certificate: &ClientCertificate, out: &mut Vec<u8>) {
        match self {
            Told::Subject => out.extend_from_slice(certificate.subject_text.as_bytes()),
            Told::Issuer => out.extend_from_slice(certificate.issuer_text.as_bytes()),
            Told::Serial => out.extend_from_slice(certificate.serial.as_bytes()),
            Told::Fingerprint => out.extend_from_slice(certificate.fingerprint.as_bytes()),
            Told::Names => {
                let mut separator: &[u8] = b"";
                // A name with a comma, space or control character could look like several, and is left out.
                let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
                for name in certificate.names.iter().filter(|name| plain(&name.text)) {
                    for part in [separator, name.kind.prefix().as_bytes(), name.text.as_bytes()] {
                        out.extend_from_slice(part);
                    }
                    separator = b", ";
                }
            }
            Told::Certificate => certificate.append_field(out),
        }
    }
}

impl Kind for Plan {
    type State = ();
    type Memo = ();

    fn phase(&self) -> Phase {
        Phase::Identify
    }

    fn admits_anonymous(&self) -> bool {
        self.absent == Absent::Passes
    }

    fn protect(&self, names: &mut Protected) {
        tell::protect(names);
        Told::ALL.iter().for_each(|told| names.add(told.field()));
        names.add(b"Client-Cert-Chain");
    }

    fn challenge(&self) -> &[u8] {
        &self.challenge
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, ()>) -> Decision<'_> {
        let Call { facts, effects, .. } = call;
        let Some(certificate) = facts.certificate else {
            return match self.absent {
                Absent::Passes => Decision::Pass,
                Absent::Refused => {
                    effects.to_client.add(b"WWW-Authenticate", &self.challenge);
                    refuse(401, "Unauthorized", "certificate_missing", "A client certificate is required.")
                }
            };
        };
        let found = self.find(certificate, facts, &mut effects.scratch);
        let (consumer, identity) = match (found, self.unknown) {
            (Some(found), _) => found,
            (None, Unknown::Passes) => (None, Identity::default()),
            (None, Unknown::Refused) => {
                return refuse(403, "Forbidden", "certificate_unknown", "The client certificate is not known here.");
            }
        };
        for told in &self.told {
            effects.to_upstream.remove_added(told.field());
            effects.to_upstream.add_with(told.field(), |out| told.append(certificate, out));
        }
        let identity = Identity { method: Some(METHOD), ..identity };
        tell::consumer(self.consumer_fields, (&identity, consumer), facts, effects);
        effects.identified = Some(identity);
        Decision::Pass
    }
}

/// What `Identity::method` says.
const METHOD: &str = "client_certificate";

impl Test {
    fn holds(&self, certificate: &ClientCertificate) -> bool {
        match self {
            Test::Subject(name, value) => certificate.part(name) == Some(value),
            Test::Name(kind, pattern) => {
                certificate.names.iter().any(|name| name.kind == *kind && pattern.matches(&name.text))
            }
            // A certificate is no secret: how far two fingerprints are equal tells nothing.
            Test::Fingerprint(fingerprint) => certificate.fingerprint == *fingerprint,
        }
    }
}

impl Plan {
    /// Whose certificate it is. A rule or credential whose consumer is gone is nobody's.
    fn find<'d, L>(
        &self,
        certificate: &ClientCertificate,
        facts: &Facts<'d, L>,
        scratch: &mut Vec<u8>,
    ) -> Option<(Option<&'d Consumer>, Identity)> {
        if let Some(rule) = self.rules.iter().find(|rule| rule.tests.iter().all(|test| test.holds(certificate))) {
            let Some(name) = &rule.consumer else { return Some((None, Identity::default())) };
            let consumer = facts.directory.by_name(name)?;
            return Some((Some(consumer), Identity { consumer: Some(consumer.number), ..Identity::default() }));
        }
        let mut look = |what: &str, text: &str| {
            certificate_lookup(what, text, scratch);
            facts.directory.credential(CredentialKind::Certificate, scratch, facts.wall)
        };
        let found = look("sha256", &certificate.fingerprint)
            .or_else(|| look("subject", &certificate.subject_text))
            .or_else(|| certificate.names.iter().find_map(|name| look("san", &name.text)))?;
        let Credential { number, consumer, app, .. } = *found;
        let known = facts.directory.consumer(consumer)?;
        let identity = Identity { consumer: Some(consumer), credential: Some(number), app, ..Identity::default() };
        Some((Some(known), identity))
    }
}

fn refuse<'p>(status: u16, title: &'static str, reason: &'static str, detail: &'static str) -> Decision<'p> {
    let problem = Problem { kind: "", title, detail, violated_policy: "" };
    Decision::Respond(LocalResponse { status, reason, body: LocalBody::Problem(problem) })
}

#[cfg(test)]
mod tests;
