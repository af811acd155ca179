// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.compression]`.

use crate::config::compile::Compiler;
use crate::config::compile::policy::Context;
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::compression::Spec;
use crate::policy::compression::Plan;
use crate::wire::coding::response::Eligible;
use crate::wire::coding::{ContentCoding, MediaRange, MediaRanges, Vary};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let Spec { types, min_length, level, vary } = &spec.value;
    let ranges: Vec<Option<MediaRange>> = types.iter().map(|text| compiler.media_range(text)).collect();
    if !(1..=9).contains(&level.value) {
        compiler.error(level.location, "a level is 1 (fast) to 9 (small)");
    }
    let types = MediaRanges::new(ranges.into_iter().collect::<Option<Vec<MediaRange>>>()?);
    Some(Plan {
        eligible: Eligible { types, bytes_min: min_length.0 },
        codings: ContentCoding::ALL.into(),
        level: level.value,
        vary: if *vary { Vary::Sent } else { Vary::Omitted },
    })
}

impl Compiler<'_> {
    /// A media type, or several by a `*`.
    pub(in crate::config::compile) fn media_range(&mut self, text: &Located<String>) -> Option<MediaRange> {
        let range = MediaRange::parse(&text.value);
        if range.is_none() {
            let report = Report::error(text.location, format!("`{}` is no media type", text.value));
            self.faults.push(report.help("\"text/html\", \"text/*\", \"application/*+json\" or \"*\""));
        }
        range
    }
}
