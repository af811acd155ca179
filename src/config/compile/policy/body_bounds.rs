// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.body_bounds]`.

use crate::base::limits::{SCANNED_DEPTH_MAX, SCANNED_HELD_BYTES_MAX, SCANNED_MEMBERS_MAX};
use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::spec::policy::body_bounds::Spec;
use crate::config::spec::scalar::Size;
use crate::config::spec::shape::Many;
use crate::policy::body_bounds::Plan;
use crate::wire::coding::{MediaRange, MediaRanges};
use crate::wire::inspect::Bounds;

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let Spec { json, xml, depth, members, items, values, name, text, number, hold } = &spec.value;
    for (bound, max) in [(depth, SCANNED_DEPTH_MAX), (members, SCANNED_MEMBERS_MAX)] {
        if bound.value > max {
            compiler.error(bound.location, format!("at most {max}, because so much is remembered of each request"));
        }
    }
    if hold.value.0 > SCANNED_HELD_BYTES_MAX {
        compiler.error(hold.location, "at most 1MiB, because it is held in memory");
    }
    let bytes = |size: &Located<Size>| u32::try_from(size.value.0).unwrap_or(u32::MAX);
    let bounds = Bounds {
        depth: depth.value,
        members: members.value,
        items: items.value,
        values: values.value,
        name_bytes: bytes(name),
        text_bytes: bytes(text),
        number_bytes: number.value,
    };
    let mut ranges = |list: &Many<Located<String>>| {
        let ranges: Vec<Option<MediaRange>> = list.iter().map(|text| compiler.media_range(text)).collect();
        ranges.into_iter().collect::<Option<Vec<MediaRange>>>().map(MediaRanges::new)
    };
    let (json, xml) = (ranges(json), ranges(xml));
    Some(Plan { json: json?, xml: xml?, bounds, held_bytes: usize::try_from(hold.value.0).unwrap_or(usize::MAX) })
}
