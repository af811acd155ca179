// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.http_signature]`.

use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::base::limits::POLICY_BODY_BYTES_MAX;
use crate::config::compile::policy::context::Context;
use crate::config::compile::{Compiler, Section};
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::http_signature::{NonceSpec, SignatureAlgorithm, SignatureKeySpec, Spec};
use crate::policy::api_key::Credential;
use crate::policy::basic::Stored;
use crate::policy::http_signature::{Key, NonceRule, Plan};
use crate::policy::tell::ConsumerFields;
use crate::wire::signature::{Algorithm, Verifier};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, context: &Context<'_>) -> Option<Plan> {
    let spec = &spec.value;
    compiler.realm(&spec.realm);
    let mut keys: Vec<Key> = Vec::new();
    for key in spec.keys.iter() {
        let Some(made) = self::key(compiler, key) else { continue };
        if keys.iter().any(|other| other.id == made.id) {
            compiler.error(key.location, format!("a second key has the id `{}`", made.id));
        } else {
            keys.push(made);
        }
    }
    keys.sort_by(|one, other| one.id.cmp(&other.id));
    for name in spec.required.iter() {
        let known = match name.value.strip_prefix('@') {
            Some(derived) => DERIVED.contains(&derived),
            None => {
                compiler.token(name, "field") && {
                    let lower = name.value.bytes().all(|byte| !byte.is_ascii_uppercase());
                    if !lower {
                        compiler.error(name.location, "signatures name headers in lower case");
                    }
                    true
                }
            }
        };
        if !known {
            let report = Report::error(name.location, format!("`{}` is no component of requests", name.value));
            compiler.faults.push(report.help(DERIVED.map(|derived| format!("`@{derived}`")).join(", ")));
        }
    }
    let body = spec.body.as_ref().map_or(BODY_BYTES, |size| {
        if size.value.0 > POLICY_BODY_BYTES_MAX {
            compiler.error(size.location, format!("a policy reads {} MiB at most", POLICY_BODY_BYTES_MAX >> 20));
        }
        size.value.0
    });
    spec.anonymous.iter().for_each(|name| compiler.stored_or(name, Section::Consumer));
    let text = |located: &Option<Located<String>>| located.as_ref().map(|text| text.value.as_str().into());
    Some(Plan {
        name: context.name.into(),
        stored: if spec.credentials.unwrap_or(spec.keys.is_empty()) { Stored::Known } else { Stored::Ignored },
        keys: keys.into(),
        label: text(&spec.label),
        tag: text(&spec.tag),
        required: spec.required.iter().map(|name| name.value.as_str().into()).collect(),
        age_max: spec.max_age.as_ref().map_or(AGE_MAX, |time| time.0),
        leeway: spec.leeway.as_ref().map_or(LEEWAY, |time| time.0),
        nonce: match spec.nonce {
            NonceSpec::Required => NonceRule::Required,
            NonceSpec::Ignored => NonceRule::Ignored,
        },
        body_bytes_max: (body > 0).then_some(body),
        credential: if spec.hide { Credential::Removed } else { Credential::Kept },
        consumer_fields: if spec.consumer_fields { ConsumerFields::Sent } else { ConsumerFields::Omitted },
        anonymous: text(&spec.anonymous),
        challenge: format!("Signature realm=\"{}\"", spec.realm.value).into_bytes().into(),
    })
}

fn key(compiler: &mut Compiler<'_>, spec: &Located<SignatureKeySpec>) -> Option<Key> {
    let SignatureKeySpec { id, algorithm, public_key, secret, consumer } = &spec.value;
    if id.value.is_empty() {
        compiler.absent(spec.location, Report::error(spec.location, "`id` is missing: what clients name the key by"));
        return None;
    }
    let algorithm = match algorithm {
        SignatureAlgorithm::HmacSha256 => Algorithm::HmacSha256,
        SignatureAlgorithm::RsaPssSha512 => Algorithm::RsaPssSha512,
        SignatureAlgorithm::RsaV15Sha256 => Algorithm::RsaV15Sha256,
        SignatureAlgorithm::EcdsaP256Sha256 => Algorithm::EcdsaP256Sha256,
        SignatureAlgorithm::Ed25519 => Algorithm::Ed25519,
    };
    let verifier = match (algorithm, public_key, secret) {
        (Algorithm::HmacSha256, None, Some(secret)) => {
            if !compiler.secret_length(secret.location, secret.value.0.len(), SECRET_BYTES_LOW) {
                return None;
            }
            Verifier::secret(secret.value.0.as_bytes())
        }
        (Algorithm::HmacSha256, _, _) => {
            let report = Report::error(spec.location, "`hmac-sha256` takes a `secret`, and no other algorithm does");
            compiler.absent(spec.location, report.help("`algorithm = \"ed25519\"` for a public key"));
            return None;
        }
        (_, Some(path), None) => public(compiler, path, algorithm)?,
        (_, _, _) => {
            let report = Report::error(spec.location, format!("`{}` takes a `public_key`", algorithm.name()));
            compiler.absent(spec.location, report);
            return None;
        }
    };
    consumer.iter().for_each(|name| compiler.stored_or(name, Section::Consumer));
    let consumer = consumer.as_ref().map(|name| name.value.as_str().into());
    Some(Key { id: id.value.as_str().into(), verifier, consumer })
}

fn public(compiler: &mut Compiler<'_>, path: &Located<PathBuf>, algorithm: Algorithm) -> Option<Verifier> {
    let full = compiler.beside(path);
    let text = match compiler.environment.read(&full, PEM_BYTES_MAX) {
        Ok(text) => text,
        Err(fault) => {
            compiler.error(path.location, format!("cannot read `{}`: {fault}", full.display()));
            return None;
        }
    };
    compiler.watched.push(full.clone());
    let found = SubjectPublicKeyInfoDer::from_pem_slice(&text).ok().and_then(|der| {
        let (_, info) = SubjectPublicKeyInfo::from_der(&der).ok()?;
        Verifier::public(algorithm, &info.subject_public_key.data)
    });
    if found.is_none() && SubjectPublicKeyInfoDer::from_pem_slice(&text).is_err() {
        compiler.no_public_key(path.location, &text);
    } else if found.is_none() {
        let title = format!("`{}` holds no public key for {}", full.display(), algorithm.name());
        let report = Report::error(path.location, title);
        compiler.faults.push(report.help("a key of RSA has 2048 to 8192 bits; `openssl pkey -pubout` writes one"));
    }
    found
}

/// Derived components of requests without parameters (RFC 9421 section 2.2).
const DERIVED: [&str; 7] = ["method", "target-uri", "authority", "scheme", "request-target", "path", "query"];
/// Largest file of a public key.
const PEM_BYTES_MAX: usize = 64 * 1024;
/// Shorter secrets are refused.
const SECRET_BYTES_LOW: usize = 32;
/// The largest body by default.
const BODY_BYTES: u64 = 1024 * 1024;
/// How old a signature may be by default.
const AGE_MAX: Duration = Duration::from_secs(300);
/// How far clocks may differ by default.
const LEEWAY: Duration = Duration::from_secs(30);
