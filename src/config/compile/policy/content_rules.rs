// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.content_rules]`.

use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::spec::policy::content_rules::{MethodOverrides, Spec};
use crate::config::spec::scalar::{Limit, Size};
use crate::policy::content_rules::{Length, MethodOverride, Plan, Types};
use crate::wire::coding::{MediaRange, MediaRanges};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let Spec { types, require_length, body, url, headers, header, method_override } = &spec.value;
    let ranges: Vec<Option<MediaRange>> = types.iter().map(|text| compiler.media_range(text)).collect();
    let told = types.iter().map(|text| text.value.as_str()).collect::<Vec<_>>().join(", ");
    let ranges = ranges.into_iter().collect::<Option<Vec<MediaRange>>>()?;
    let allowed = MediaRanges::new(ranges);
    let bytes = |limit: &Limit<Size>| limit.clone().some().map_or(u64::MAX, |size| size.0);
    Some(Plan {
        types: (!types.is_empty()).then(|| Types { allowed, told: told.into_bytes().into() }),
        length: if *require_length { Length::Required } else { Length::Optional },
        body_bytes_max: bytes(body),
        target_bytes_max: usize::try_from(bytes(url)).unwrap_or(usize::MAX),
        headers_max: headers.clone().some().map_or(usize::MAX, |count| usize::try_from(count.0).unwrap_or(usize::MAX)),
        header_bytes_max: usize::try_from(bytes(header)).unwrap_or(usize::MAX),
        method_override: match method_override {
            MethodOverrides::Remove => MethodOverride::Removed,
            MethodOverrides::Refuse => MethodOverride::Refused,
            MethodOverrides::Keep => MethodOverride::Kept,
        },
    })
}
