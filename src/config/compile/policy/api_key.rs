// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.api_key]`.

use std::collections::HashSet;
use std::sync::Arc;

use crate::config::compile::policy::context::Context;
use crate::config::compile::{Compiler, Section};
use crate::config::location::Located;
use crate::config::spec::policy::api_key::Spec;
use crate::policy::api_key::{ConsumerFields, Credential, KeyLocation, KeyTable, Plan};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, context: &Context<'_>) -> Option<Plan> {
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
    sources.extend(spec.query.as_ref().map(|name| KeyLocation::Query(name.value.as_bytes().into())));
    if spec.realm.value.bytes().any(|byte| !(0x20..0x7f).contains(&byte) || b"\"\\".contains(&byte)) {
        compiler.error(spec.realm.location, "a realm has no quotes, backslashes or control characters");
    }
    let mut keys = context.consumers.keys.clone();
    if !spec.consumers.is_empty() {
        let mut allowed = HashSet::new();
        for name in spec.consumers.iter() {
            compiler.known(name, Section::Consumer);
            allowed.extend(context.consumers.id(&name.value));
        }
        keys.retain(|key| allowed.contains(&key.consumer));
    }
    let anonymous = spec.anonymous.as_ref().and_then(|name| {
        compiler.known(name, Section::Consumer);
        context.consumers.id(&name.value)
    });
    Some(Plan {
        sources: sources.into(),
        keys: Arc::new(KeyTable::new(keys)),
        consumers: Arc::clone(&context.consumers.list),
        credential: if spec.hide { Credential::Removed } else { Credential::Kept },
        consumer_fields: if spec.consumer_fields { ConsumerFields::Sent } else { ConsumerFields::Omitted },
        anonymous,
        challenge: format!("Bearer realm=\"{}\"", spec.realm.value).into_bytes().into(),
    })
}
