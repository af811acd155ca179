// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.hmac]`.

use std::time::Duration;

use crate::base::limits::POLICY_BODY_BYTES_MAX;
use crate::config::compile::policy::context::Context;
use crate::config::compile::{Compiler, Section};
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::hmac::{HmacAlgorithm, HmacSecretSpec, Spec};
use crate::policy::api_key::Credential;
use crate::policy::basic::Stored;
use crate::policy::hmac::{Algorithm, Plan, Secret};
use crate::policy::tell::ConsumerFields;

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let location = spec.location;
    let spec = &spec.value;
    compiler.realm(&spec.realm);
    let mut secrets: Vec<Secret> = Vec::new();
    for secret in spec.secrets.iter() {
        let Some(made) = self::secret(compiler, secret) else { continue };
        if secrets.iter().any(|other| other.name == made.name) {
            compiler.error(secret.location, format!("a second secret is that of `{}`", made.name));
        } else {
            secrets.push(made);
        }
    }
    secrets.sort_by(|one, other| one.name.cmp(&other.name));
    let algorithms: Vec<Algorithm> = spec.algorithms.iter().map(|algorithm| of(algorithm.value)).collect();
    if algorithms.is_empty() {
        let report = Report::error(location, "`algorithms` is empty, so that nobody could pass");
        compiler.absent(location, report);
    }
    let required = compiler.field_names(&spec.required).into_iter();
    let body_bytes_max = spec.body.as_ref().map(|size| {
        if size.value.0 > POLICY_BODY_BYTES_MAX {
            compiler.error(size.location, format!("a policy reads {} MiB at most", POLICY_BODY_BYTES_MAX >> 20));
        }
        size.value.0
    });
    spec.anonymous.iter().for_each(|name| compiler.stored_or(name, Section::Consumer));
    Some(Plan {
        stored: if spec.credentials.unwrap_or(spec.secrets.is_empty()) { Stored::Known } else { Stored::Ignored },
        secrets: secrets.into(),
        algorithms: algorithms.into(),
        required: required.map(|name| String::from_utf8_lossy(&name).to_ascii_lowercase().into()).collect(),
        skew: spec.clock_skew.as_ref().map_or(SKEW, |time| time.0),
        body_bytes_max,
        credential: if spec.hide { Credential::Removed } else { Credential::Kept },
        consumer_fields: if spec.consumer_fields { ConsumerFields::Sent } else { ConsumerFields::Omitted },
        anonymous: spec.anonymous.as_ref().map(|name| name.value.as_str().into()),
        challenge: format!("hmac realm=\"{}\"", spec.realm.value).into_bytes().into(),
    })
}

fn of(algorithm: HmacAlgorithm) -> Algorithm {
    match algorithm {
        HmacAlgorithm::Sha1 => Algorithm::Sha1,
        HmacAlgorithm::Sha256 => Algorithm::Sha256,
        HmacAlgorithm::Sha384 => Algorithm::Sha384,
        HmacAlgorithm::Sha512 => Algorithm::Sha512,
    }
}

fn secret(compiler: &mut Compiler<'_>, spec: &Located<HmacSecretSpec>) -> Option<Secret> {
    let HmacSecretSpec { username, secret, consumer } = &spec.value;
    let plain = username.value.bytes().all(|byte| (0x20..0x7f).contains(&byte) && !b"\"\\".contains(&byte));
    if username.value.is_empty() || !plain {
        let report = Report::error(spec.location, "`username` is plain text without quotes");
        compiler.absent(spec.location, report);
        return None;
    }
    let bytes = secret.value.0.len();
    let location = if bytes == 0 { spec.location } else { secret.location };
    if !compiler.secret_length(location, bytes, SECRET_BYTES_LOW) {
        return None;
    }
    consumer.iter().for_each(|name| compiler.stored_or(name, Section::Consumer));
    let consumer = consumer.as_ref().map(|name| name.value.as_str().into());
    Some(Secret { name: username.value.as_str().into(), secret: secret.value.0.as_bytes().into(), consumer })
}

/// Shorter secrets are refused.
const SECRET_BYTES_LOW: usize = 16;
/// How far a date may be from now by default.
const SKEW: Duration = Duration::from_secs(300);
