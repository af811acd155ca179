// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.client_certificate]`.

use crate::config::compile::policy::context::Context;
use crate::config::compile::{Compiler, Section};
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::client_certificate::{CertificatePart, CertificateRuleSpec, Spec, UnknownCertificate};
use crate::policy::client_certificate::{Absent, NamePattern, Plan, Rule, Test, Told, Unknown};
use crate::policy::key_format::parse_hash;
use crate::policy::tell::ConsumerFields;
use crate::wire::certificate::NameKind;

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let spec = &spec.value;
    compiler.realm(&spec.realm);
    let rules: Vec<Rule> = spec.rules.iter().filter_map(|rule| self::rule(compiler, rule)).collect();
    let mut told = Vec::new();
    for part in spec.send.iter() {
        let part = match part.value {
            CertificatePart::Subject => Told::Subject,
            CertificatePart::Issuer => Told::Issuer,
            CertificatePart::Serial => Told::Serial,
            CertificatePart::Fingerprint => Told::Fingerprint,
            CertificatePart::San => Told::Names,
            CertificatePart::Certificate => Told::Certificate,
        };
        if !told.contains(&part) {
            told.push(part);
        }
    }
    Some(Plan {
        rules: rules.into(),
        absent: if spec.required { Absent::Refused } else { Absent::Passes },
        unknown: match spec.unknown {
            UnknownCertificate::Refuse => Unknown::Refused,
            UnknownCertificate::Pass => Unknown::Passes,
        },
        consumer_fields: if spec.consumer_fields { ConsumerFields::Sent } else { ConsumerFields::Omitted },
        told: told.into(),
        challenge: format!("Certificate realm=\"{}\"", spec.realm.value).into_bytes().into(),
    })
}

fn rule(compiler: &mut Compiler<'_>, spec: &Located<CertificateRuleSpec>) -> Option<Rule> {
    let rule = &spec.value;
    let subject = rule.subject.iter();
    let mut tests: Vec<Test> =
        subject.map(|(name, value)| Test::Subject(name.value.as_str().into(), value.value.as_str().into())).collect();
    if let Some(name) = &rule.dns {
        let lower = name.value.to_ascii_lowercase();
        let pattern = match lower.strip_prefix('*') {
            Some(suffix) if suffix.len() > 1 && suffix.starts_with('.') && !suffix.contains('*') => {
                NamePattern::Below(suffix.into())
            }
            None if !lower.is_empty() => NamePattern::Exact(lower.as_str().into()),
            Some(_) | None => {
                compiler.error(name.location, "expected a host name, or `*.` and a host name");
                return None;
            }
        };
        tests.push(Test::Name(NameKind::Dns, pattern));
    }
    if let Some(uri) = &rule.uri {
        let pattern = match uri.value.strip_suffix('*') {
            // A prefix that ends within a name would take the names of others.
            Some(start) if !start.ends_with('/') => {
                let report = Report::error(uri.location, "what URIs begin with ends in `/`, in front of the `*`");
                compiler.faults.push(report.help("`spiffe://acme/*`"));
                return None;
            }
            Some(start) => NamePattern::Prefix(start.into()),
            None => NamePattern::Exact(uri.value.as_str().into()),
        };
        tests.push(Test::Name(NameKind::Uri, pattern));
    }
    if let Some(address) = &rule.email {
        tests.push(Test::Name(NameKind::Email, NamePattern::Exact(address.value.as_str().into())));
    }
    if let Some(text) = &rule.sha256 {
        let digits = text.value.replace(':', "").to_ascii_lowercase();
        if parse_hash(&digits).is_none() {
            let report = Report::error(text.location, "expected a SHA-256 as 64 hexadecimal digits");
            compiler.faults.push(report.help("`openssl x509 -noout -fingerprint -sha256 -in client.pem`"));
            return None;
        }
        tests.push(Test::Fingerprint(digits.into()));
    }
    if tests.is_empty() {
        let report = Report::error(spec.location, "a rule says what a certificate must have");
        compiler.absent(spec.location, report.help("`subject`, `dns`, `uri`, `email` or `sha256`"));
        return None;
    }
    if let Some(name) = &rule.consumer {
        compiler.stored_or(name, Section::Consumer);
    }
    let consumer = rule.consumer.as_ref().map(|name| name.value.as_str().into());
    Some(Rule { tests: tests.into(), consumer })
}
