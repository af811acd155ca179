// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.api_key]`.

use std::collections::BTreeSet;

use crate::config::compile::policy::context::Context;
use crate::config::compile::{Compiler, Section};
use crate::config::location::Located;
use crate::config::spec::policy::api_key::Spec;
use crate::policy::api_key::{Credential, KeyLocation, Plan};
use crate::policy::tell::ConsumerFields;

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let spec = &spec.value;
    let mut sources = Vec::new();
    for header in spec.header.iter() {
        if !compiler.token(header, "field") {
            continue;
        }
        let bearer = header.value.eq_ignore_ascii_case("authorization");
        let field = header.value.to_ascii_lowercase().into_bytes().into();
        sources.push(if bearer { KeyLocation::Bearer } else { KeyLocation::Header(field) });
    }
    if spec.bearer && !sources.contains(&KeyLocation::Bearer) {
        sources.push(KeyLocation::Bearer);
    }
    if spec.basic {
        sources.push(KeyLocation::BasicUser);
    }
    for cookie in spec.cookie.iter() {
        if compiler.token(cookie, "cookie") {
            sources.push(KeyLocation::Cookie(cookie.value.as_bytes().into()));
        }
    }
    sources.extend(spec.query.as_ref().map(|name| KeyLocation::Query(name.value.as_bytes().into())));
    compiler.realm(&spec.realm);
    for name in spec.consumers.iter().chain(&spec.anonymous) {
        compiler.stored_or(name, Section::Consumer);
    }
    let consumers: BTreeSet<Box<str>> = spec.consumers.iter().map(|name| name.value.as_str().into()).collect();
    let scheme = if sources.contains(&KeyLocation::Bearer) { "Bearer" } else { "Key" };
    Some(Plan {
        sources: sources.into(),
        consumers: (!consumers.is_empty()).then(|| consumers.into_iter().collect()),
        credential: if spec.hide { Credential::Removed } else { Credential::Kept },
        consumer_fields: if spec.consumer_fields { ConsumerFields::Sent } else { ConsumerFields::Omitted },
        anonymous: spec.anonymous.as_ref().map(|name| name.value.as_str().into()),
        challenge: format!("{scheme} realm=\"{}\"", spec.realm.value).into_bytes().into(),
        prefix: compiler.key_prefix(),
    })
}
