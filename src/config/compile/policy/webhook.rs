// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.webhook]`.

use std::time::Duration;

use crate::base::limits::POLICY_BODY_BYTES_MAX;
use crate::config::compile::policy::context::Context;
use crate::config::compile::{Compiler, Section};
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::webhook::{Spec, WebhookForm};
use crate::policy::tell::ConsumerFields;
use crate::policy::webhook::{Form, Plan};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let location = spec.location;
    let spec = &spec.value;
    if spec.secrets.is_empty() {
        compiler.absent(location, Report::error(location, "`secrets` is missing: what webhooks are signed with"));
    }
    for secret in spec.secrets.iter().filter(|secret| secret.value.0.is_empty()) {
        compiler.error(secret.location, "the secret is empty");
    }
    let named = spec.timestamp.iter().chain([&spec.header]).all(|name| compiler.token(name, "field"));
    if let Some(timestamp) = spec.timestamp.as_ref().filter(|_| spec.form != WebhookForm::Plain) {
        compiler.error(timestamp.location, "only the form `plain` has a header of its own for the time");
    }
    let lower = |name: &Located<String>| name.value.to_ascii_lowercase().into_bytes().into();
    let form = match (spec.form, &spec.timestamp) {
        (WebhookForm::Plain, None) => Form::Body(lower(&spec.header)),
        (WebhookForm::Plain, Some(timestamp)) => Form::Timed(lower(&spec.header), lower(timestamp)),
        (WebhookForm::Github, _) => Form::Body((*b"x-hub-signature-256").into()),
        (WebhookForm::Stripe, _) => Form::Stripe,
    };
    let body_bytes_max = spec.body.as_ref().map_or(BODY_BYTES, |size| {
        if size.value.0 > POLICY_BODY_BYTES_MAX {
            compiler.error(size.location, format!("a policy reads {} MiB at most", POLICY_BODY_BYTES_MAX >> 20));
        }
        size.value.0
    });
    spec.consumer.iter().for_each(|name| compiler.stored_or(name, Section::Consumer));
    named.then(|| Plan {
        form,
        secrets: spec.secrets.iter().map(|secret| secret.value.0.as_bytes().into()).collect(),
        skew: spec.clock_skew.as_ref().map_or(SKEW, |time| time.0),
        body_bytes_max,
        consumer: spec.consumer.as_ref().map(|name| name.value.as_str().into()),
        consumer_fields: if spec.consumer_fields { ConsumerFields::Sent } else { ConsumerFields::Omitted },
    })
}

/// The largest body by default.
const BODY_BYTES: u64 = 1024 * 1024;
/// How far a timestamp may be from now by default.
const SKEW: Duration = Duration::from_secs(300);
