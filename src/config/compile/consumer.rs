// SPDX-License-Identifier: Apache-2.0
//! `[[consumer]]`: consumers with their credentials.

use std::collections::HashMap;

use crate::config::compile::{Compiler, Section};
use crate::config::directory::{CredentialObject, Declared, KeyObject};
use crate::config::location::{Located, Location};
use crate::config::report::Report;
use crate::config::spec::consumer::{BasicSpec, CertificateSpec, ConsumerSpec, HmacSpec, JwtSpec, KeySpec};
use crate::config::spec::scalar::Moment;
use crate::policy::directory::{CredentialKind, Expiry, KeyHash, certificate_lookup, jwt_lookup};
use crate::policy::key_format::{KEY_BYTES_MAX, hash_of, parse_hash};
use crate::policy::password::PasswordHash;

/// Where credentials stand, to find those that are declared twice.
#[derive(Default)]
struct Seen {
    keys: HashMap<KeyHash, Location>,
    credentials: HashMap<(CredentialKind, Box<[u8]>), Location>,
}

/// What credentials of all kinds have.
struct Owner<'a> {
    consumer: &'a str,
    app: &'a Option<Located<String>>,
    expires: &'a Option<Moment>,
}

impl Owner<'_> {
    fn app(&self) -> Option<Box<str>> {
        self.app.as_ref().map(|app| app.value.as_str().into())
    }

    fn expires(&self) -> Expiry {
        Expiry::of(self.expires.as_ref().map(|moment| moment.0))
    }
}

impl Compiler<'_> {
    /// Compiles every `[[consumer]]` that is right so far.
    pub(super) fn consumers(&mut self, declared: &mut Declared) {
        let draft = self.draft;
        let names: Vec<Located<String>> = draft.spec.consumer.iter().map(|spec| spec.value.name.clone()).collect();
        self.unique("consumer", &names);
        let mut seen = Seen::default();
        for spec in &draft.spec.consumer {
            let spec = &spec.value;
            self.consumer(spec);
            declared.consumers.insert(spec.name.value.as_str().into(), spec.body());
            for key in spec.keys.iter() {
                declared.keys.extend(self.key(key, &spec.name.value, &mut seen));
            }
            let basic = spec.basic.iter().map(|spec| (spec.location, self.basic(spec)));
            let found: Vec<_> = basic.collect();
            let hmac: Vec<_> = spec.hmac.iter().map(|spec| (spec.location, self.hmac(spec))).collect();
            let jwt: Vec<_> = spec.jwt.iter().map(|spec| (spec.location, self.jwt(spec))).collect();
            let held: Vec<_> =
                spec.certificates.iter().map(|spec| (spec.location, self.client_certificate(spec))).collect();
            for (location, object) in found.into_iter().chain(hmac).chain(jwt).chain(held) {
                let Some(object) = object else { continue };
                let object = CredentialObject { consumer: spec.name.value.as_str().into(), ..object };
                let first = seen.credentials.insert((object.kind, object.lookup.clone()), location);
                self.twice(location, first, "credential");
                declared.credentials.push(object);
            }
        }
    }

    fn consumer(&mut self, spec: &ConsumerSpec) {
        // Both are sent in fields.
        for text in [Some(&spec.name), spec.id.as_ref()].into_iter().flatten() {
            self.sent(text);
        }
        if spec.name.value.is_empty() {
            self.error(spec.name.location, "the name is empty");
        }
        if let Some(tenant) = &spec.tenant {
            self.stored_or(tenant, Section::Tenant);
        }
        if let Some(plan) = &spec.plan {
            self.stored_or(plan, Section::Plan);
        }
        self.plans(spec.name.location, &spec.plans);
        self.attributes(spec.name.location, &spec.attributes);
    }

    fn key(&mut self, spec: &Located<KeySpec>, consumer: &str, seen: &mut Seen) -> Option<KeyObject> {
        let hash = self.key_hash(spec)?;
        let KeySpec { app, expires, .. } = &spec.value;
        app.iter().for_each(|app| self.stored_or(app, Section::App));
        let first = seen.keys.insert(hash, spec.location);
        self.twice(spec.location, first, "key");
        let owner = Owner { consumer, app, expires };
        Some(KeyObject { hash, consumer: owner.consumer.into(), app: owner.app(), expires: owner.expires() })
    }

    fn key_hash(&mut self, spec: &Located<KeySpec>) -> Option<KeyHash> {
        match (&spec.value.sha256, &spec.value.key) {
            (Some(hash), None) => self.hash(hash, "`printf %s KEY | sha256sum` makes one"),
            (None, Some(key)) => {
                let bytes = key.value.0.as_bytes();
                if bytes.is_empty() || bytes.len() > KEY_BYTES_MAX {
                    self.error(key.location, format!("a key has 1 to {KEY_BYTES_MAX} bytes"));
                    return None;
                }
                if bytes.len() < KEY_BYTES_LOW {
                    let report = Report::warning(key.location, "a short key can be guessed");
                    self.faults.push(report.help("`openssl rand -hex 24` makes a good one"));
                }
                Some(hash_of(bytes))
            }
            _ => {
                let report = Report::error(spec.location, "a key is given either as `sha256` or as `key`");
                self.absent(spec.location, report);
                None
            }
        }
    }

    fn hash(&mut self, hash: &Located<String>, help: &str) -> Option<KeyHash> {
        let found = parse_hash(hash.value.trim());
        if found.is_none() {
            let report = Report::error(hash.location, "expected a SHA-256 as 64 hexadecimal digits");
            self.faults.push(report.help(help));
        }
        found
    }

    fn basic(&mut self, spec: &Located<BasicSpec>) -> Option<CredentialObject> {
        let BasicSpec { user, hash, app, expires } = &spec.value;
        if user.value.is_empty() || user.value.contains(':') || user.value.chars().any(char::is_control) {
            // RFC 7617 section 2.
            self.absent(spec.location, Report::error(spec.location, "`user` is a name without colons"));
            return None;
        }
        if hash.value.0.is_empty() {
            self.absent(spec.location, Report::error(spec.location, "`hash` is missing: the hash of the password"));
            return None;
        }
        if let Err(reason) = PasswordHash::parse(hash.value.0.trim()) {
            let report = Report::error(hash.location, format!("the hash of `{}` is not known", user.value));
            self.faults.push(report.help(reason));
            return None;
        }
        let (lookup, secret) = (user.value.as_bytes().into(), hash.value.0.trim().as_bytes().into());
        Some(self.credential(CredentialKind::Basic, lookup, secret, (app, expires)))
    }

    fn hmac(&mut self, spec: &Located<HmacSpec>) -> Option<CredentialObject> {
        let HmacSpec { id, secret, app, expires } = &spec.value;
        if id.value.is_empty() {
            self.absent(
                spec.location,
                Report::error(spec.location, "`id` is missing: what clients name the secret by"),
            );
            return None;
        }
        let bytes = secret.value.0.len();
        let location = if bytes == 0 { spec.location } else { secret.location };
        if !self.secret_length(location, bytes, SECRET_BYTES_LOW) {
            return None;
        }
        let (lookup, secret) = (id.value.as_bytes().into(), secret.value.0.as_bytes().into());
        Some(self.credential(CredentialKind::Hmac, lookup, secret, (app, expires)))
    }

    fn jwt(&mut self, spec: &Located<JwtSpec>) -> Option<CredentialObject> {
        let JwtSpec { subject, issuer, app, expires } = &spec.value;
        if subject.value.is_empty() {
            self.absent(spec.location, Report::error(spec.location, "`subject` is missing"));
            return None;
        }
        let mut lookup = Vec::new();
        jwt_lookup(issuer.as_ref().map(|issuer| issuer.value.as_str()), &subject.value, &mut lookup);
        Some(self.credential(CredentialKind::Jwt, lookup.into(), Box::default(), (app, expires)))
    }

    fn client_certificate(&mut self, spec: &Located<CertificateSpec>) -> Option<CredentialObject> {
        let CertificateSpec { subject, san, sha256, app, expires } = &spec.value;
        let given = [("subject", subject), ("san", san), ("sha256", sha256)];
        let mut given = given.into_iter().filter_map(|(what, text)| Some((what, text.as_ref()?)));
        let (Some((what, text)), None) = (given.next(), given.next()) else {
            let title = "a certificate is named by exactly one of `subject`, `san` and `sha256`";
            self.absent(spec.location, Report::error(spec.location, title));
            return None;
        };
        if what == "sha256" {
            self.hash(text, "`openssl x509 -outform der | sha256sum` makes one")?;
        }
        let mut lookup = Vec::new();
        certificate_lookup(what, text.value.trim(), &mut lookup);
        Some(self.credential(CredentialKind::Certificate, lookup.into(), Box::default(), (app, expires)))
    }

    fn credential(
        &mut self,
        kind: CredentialKind,
        lookup: Box<[u8]>,
        secret: Box<[u8]>,
        (app, expires): (&Option<Located<String>>, &Option<Moment>),
    ) -> CredentialObject {
        app.iter().for_each(|app| self.stored_or(app, Section::App));
        let owner = Owner { consumer: "", app, expires };
        CredentialObject {
            kind,
            lookup,
            secret,
            consumer: owner.consumer.into(),
            app: owner.app(),
            expires: owner.expires(),
        }
    }

    fn twice(&mut self, location: Location, first: Option<Location>, what: &str) {
        if let Some(first) = first {
            let report = Report::error(location, format!("the same {what} twice"));
            self.faults.push(report.other(first, "the first one is here"));
        }
    }
}

/// Shorter keys are warned of.
const KEY_BYTES_LOW: usize = 16;
/// Shorter secrets are refused.
const SECRET_BYTES_LOW: usize = 16;
