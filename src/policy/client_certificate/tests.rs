// SPDX-License-Identifier: Apache-2.0
//! Tests of `client_certificate`.

use std::sync::Arc;

use proptest::prelude::{prop, prop_assert_eq, proptest};

use super::*;
use crate::base::{ConsumerId, CredentialId};
use crate::policy::directory::{Directory, Expiry, Own, Parts, Revision, Snapshot, Standing};
use crate::policy::facts::Effects;
use crate::policy::fixture::{Fixture, added, decide};
use crate::wire::certificate::{SubjectName, distinguished_name};

const CONSUMERS: [&str; 7] = ["zero", "one", "two", "three", "four", "five", "six"];

fn rule(tests: &[Test], consumer: usize) -> Rule {
    Rule { tests: tests.into(), consumer: Some(CONSUMERS[consumer].into()) }
}

fn directory() -> Directory {
    let consumers = CONSUMERS.iter().zip(0..).map(|(name, number)| {
        Consumer::new(ConsumerId(number), name, Standing::Active, Arc::default(), Own::default())
    });
    let credential = |number, what: &str, text: &str, consumer| {
        let mut lookup = Vec::new();
        certificate_lookup(what, text, &mut lookup);
        Arc::new(Credential {
            number: CredentialId(number),
            kind: CredentialKind::Certificate,
            lookup: lookup.into(),
            secret: Box::default(),
            consumer: ConsumerId(consumer),
            app: None,
            expires: Expiry::of(None),
        })
    };
    let credentials = vec![
        credential(0, "subject", "CN=stored,O=Acme", 5),
        credential(1, "san", "stored@acme.example", 6),
        credential(2, "sha256", &"09".repeat(32), 6),
        credential(3, "sha256", &"0a".repeat(32), 17),
    ];
    let parts = Parts { consumers: consumers.collect(), credentials, ..Parts::default() };
    Directory::new(Arc::new(Snapshot::new(Revision(1), parts)))
}

fn get(target: &str) -> Fixture {
    Fixture { directory: directory(), ..Fixture::get(target) }
}

fn subject(name: &str, value: &str) -> Test {
    Test::Subject(name.into(), value.into())
}

fn plan() -> Plan {
    let dns = |pattern| Test::Name(NameKind::Dns, pattern);
    Plan {
        rules: Box::new([
            rule(&[subject("CN", "client"), subject("O", "Acme")], 0),
            rule(&[dns(NamePattern::Exact("a.example".into()))], 1),
            rule(&[dns(NamePattern::Below(".b.example".into()))], 2),
            rule(&[Test::Name(NameKind::Uri, NamePattern::Prefix("spiffe://acme/".into()))], 3),
            rule(&[Test::Fingerprint("07".repeat(32).into())], 4),
        ]),
        absent: Absent::Refused,
        unknown: Unknown::Refused,
        consumer_fields: ConsumerFields::Sent,
        told: Box::new([Told::Subject, Told::Fingerprint, Told::Names]),
        challenge: (*b"Certificate realm=\"api\"").into(),
    }
}

fn certificate(parts: &[(&str, &str)], names: &[(NameKind, &str)], fingerprint: u8) -> ClientCertificate {
    let subject: Box<[(Box<str>, Box<str>)]> =
        parts.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    ClientCertificate {
        subject_text: distinguished_name(&subject).into(),
        subject,
        names: names.iter().map(|(kind, text)| SubjectName { kind: *kind, text: (*text).into() }).collect(),
        fingerprint: format!("{fingerprint:02x}").repeat(32).into(),
        ..ClientCertificate::default()
    }
}

/// Parts of the subject, alternative names, fingerprint; and whose it is.
type Case = (&'static [(&'static str, &'static str)], &'static [(NameKind, &'static str)], u8, Option<u32>);

const CASES: &[Case] = &[
    (&[("O", "Acme"), ("CN", "client")], &[], 0, Some(0)),
    (&[("CN", "client")], &[], 0, None),
    (&[("CN", "client,O=Acme")], &[], 0, None),
    (&[("CN", "client"), ("O", "acme")], &[], 0, None),
    (&[("CN", "client"), ("CN", "client"), ("O", "Acme")], &[], 0, None),
    (&[("CN", "client"), ("O", "Acme"), ("O", "Other")], &[], 0, None),
    (&[("CN", "a.example")], &[], 0, None),
    (&[], &[(NameKind::Dns, "x"), (NameKind::Dns, "a.example")], 0, Some(1)),
    (&[], &[(NameKind::Uri, "a.example")], 0, None),
    (&[], &[(NameKind::Dns, "a.example.evil")], 0, None),
    (&[], &[(NameKind::Dns, "*.example")], 0, None),
    (&[], &[(NameKind::Dns, "x.b.example")], 0, Some(2)),
    (&[], &[(NameKind::Dns, "*.b.example")], 0, None),
    (&[], &[(NameKind::Dns, "x.y.b.example")], 0, None),
    (&[], &[(NameKind::Dns, ".b.example")], 0, None),
    (&[], &[(NameKind::Dns, "xb.example")], 0, None),
    (&[], &[(NameKind::Uri, "spiffe://acme/worker")], 0, Some(3)),
    (&[], &[(NameKind::Uri, "spiffe://acme.evil/worker")], 0, None),
    (&[], &[(NameKind::Email, "spiffe://acme/worker")], 0, None),
    (&[], &[], 7, Some(4)),
    (&[], &[], 8, None),
    (&[("O", "Acme"), ("CN", "stored")], &[], 0, Some(5)),
    (&[("CN", "stored"), ("O", "Acme")], &[], 0, None),
    (&[("CN", "stored,O=Acme")], &[], 0, None),
    (&[], &[(NameKind::Email, "Stored@acme.example")], 0, Some(6)),
    (&[], &[], 9, Some(6)),
    (&[], &[], 10, None),
];

fn asked(plan: &Plan, fixture: &Fixture) -> (Result<Option<u32>, (u16, &'static str)>, Effects) {
    let mut effects = Effects::default();
    let found = match decide(plan, &fixture.facts(), &mut effects) {
        Decision::Pass => Ok(effects.identified.as_ref().and_then(|identity| identity.consumer).map(|id| id.0)),
        Decision::Respond(response) => Err((response.status, response.reason)),
        Decision::Ask(_) => panic!("it never asks"),
    };
    (found, effects)
}

#[test]
fn only_a_certificate_that_a_rule_names_passes() {
    for (parts, names, fingerprint, expected) in CASES {
        let mut fixture = get("/");
        fixture.certificate = Some(certificate(parts, names, *fingerprint));
        let expected = expected.map(Some).ok_or((403, "certificate_unknown"));
        assert_eq!(asked(&plan(), &fixture).0, expected, "{parts:?} {names:?} {fingerprint}");
    }
}

#[test]
fn without_a_certificate_it_is_as_the_plan_says() {
    let spoofed = get("/").field("X-Client-Cert-Subject", "CN=client,O=Acme").field("Client-Cert", ":AA==:");
    let (found, effects) = asked(&plan(), &spoofed);
    assert_eq!(found, Err((401, "certificate_missing")));
    assert_eq!(added(&effects.to_client), [("WWW-Authenticate", "Certificate realm=\"api\"")]);
    let optional = Plan { absent: Absent::Passes, ..plan() };
    let (found, effects) = asked(&optional, &spoofed);
    assert_eq!((found, spoofed.left(&effects.to_upstream).len()), (Ok(None), 0));
    assert!(added(&effects.to_upstream).is_empty());
    let mut signed = get("/");
    signed.certificate = Some(certificate(&[], &[], 8));
    let open = Plan { unknown: Unknown::Passes, ..plan() };
    assert_eq!(asked(&open, &signed).0, Ok(None));
}

#[test]
fn the_upstream_is_told_and_the_clients_own_fields_are_gone() {
    let mut fixture = get("/")
        .field("X-Client-Cert-Subject", "CN=root")
        .field("x_client_cert_fingerprint", "00")
        .field("X-Client-Cert-San", "dns:root")
        .field("X-Client-Cert-Serial", "1")
        .field("X-Client-Cert-Issuer", "CN=root")
        .field("Client-Cert", ":AA==:")
        .field("Client-Cert-Chain", ":AA==:")
        .field("X-Consumer-Name", "root")
        .field("Accept", "*/*");
    let names = [(NameKind::Dns, "a.example"), (NameKind::Uri, "urn:x, dns:root"), (NameKind::Email, "a@b")];
    fixture.certificate = Some(certificate(&[("CN", "a,b")], &names, 7));
    let (found, effects) = asked(&plan(), &fixture);
    assert_eq!(found, Ok(Some(1)));
    assert_eq!(fixture.left(&effects.to_upstream), [("Accept".to_owned(), "*/*".to_owned())]);
    let fingerprint = "07".repeat(32);
    let expected = [
        ("X-Client-Cert-Subject", "CN=a\\,b"),
        ("X-Client-Cert-Fingerprint", fingerprint.as_str()),
        ("X-Client-Cert-San", "dns:a.example, email:a@b"),
        ("X-Consumer-Name", "one"),
    ];
    assert_eq!(added(&effects.to_upstream), expected);
}

proptest! {
    #[test]
    fn no_other_host_name_matches(label in "[a-z*.-]{0,3}", rest in "(\\.?b\\.example|\\.a\\.example|a\\.example)") {
        let name = format!("{label}{rest}");
        let mut fixture = get("/");
        fixture.certificate = Some(ClientCertificate {
            names: [SubjectName { kind: NameKind::Dns, text: name.as_str().into() }].into(),
            ..ClientCertificate::default()
        });
        let one_label = name.strip_suffix(".b.example").is_some_and(|label| {
            !label.is_empty() && !label.contains('.') && !label.contains('*')
        });
        let expected = match name.as_str() {
            "a.example" => Ok(Some(1)),
            _ if one_label => Ok(Some(2)),
            _ => Err((403, "certificate_unknown")),
        };
        prop_assert_eq!(asked(&plan(), &fixture).0, expected, "{}", name);
    }

    #[test]
    fn no_certificate_makes_it_panic(names in prop::collection::vec(".{0,20}", 0..4)) {
        let mut fixture = get("/");
        let names: Vec<(NameKind, &str)> = names.iter().map(|name| (NameKind::Dns, name.as_str())).collect();
        fixture.certificate = Some(certificate(&[("CN", names.first().map_or("", |name| name.1))], &names, 7));
        prop_assert_eq!(asked(&plan(), &fixture).0.is_ok(), true);
    }
}
