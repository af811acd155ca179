// SPDX-License-Identifier: Apache-2.0
//! Compiles `[usage]`.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::compile::Compiler;
use crate::config::location::Located;
use crate::config::plan::{UsageExportPlan, UsageMode, UsagePlan};
use crate::config::report::Report;
use crate::config::spec::scalar::Time;
use crate::config::spec::usage::UsageExportSpec;

/// The longest that a billed response may wait.
const WAIT: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
/// How often exports may be made.
const EVERY: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);
/// The shortest key that signs exports.
const SECRET_BYTES_MIN: usize = 16;

impl Compiler<'_> {
    /// How usage is counted; `None` where it is not.
    pub(super) fn usage(&mut self) -> Option<UsagePlan> {
        let spec = self.draft.spec.usage.as_ref()?;
        if self.draft.spec.store.is_none() {
            let report = Report::error(spec.location, "usage is kept in the store, and there is none");
            self.faults.push(report.help("a section `[store]` with a `path` makes one"));
        }
        let usage = &spec.value;
        self.within(&usage.wait, &WAIT, "10ms to 60s");
        if usage.series.value.0 == 0 {
            self.error(usage.series.location, "there must be room for one series");
        }
        let keep = [&usage.keep_minutes, &usage.keep_hours, &usage.keep_days].map(|Time(span)| span.as_secs());
        let export = usage.export.as_ref().and_then(|export| self.usage_export(export)).map(Arc::new);
        Some(UsagePlan { wait: usage.wait.value.0, series_max: usage.series.value.0, keep, export })
    }

    /// What becomes of the usage of a route that says this.
    pub(super) fn usage_mode(&mut self, own: Option<&Located<UsageMode>>) -> UsageMode {
        let section = self.draft.spec.usage.as_ref();
        match (own, section) {
            (Some(own), None) if own.value != UsageMode::Off => {
                let report = Report::error(own.location, "usage is not counted without a section `[usage]`");
                self.faults.push(report.help("`[usage]` says how long it is kept; it needs `[store]`"));
                UsageMode::Off
            }
            (Some(own), _) => own.value,
            (None, section) => section.map_or(UsageMode::Off, |usage| usage.value.routes),
        }
    }

    fn usage_export(&mut self, spec: &Located<UsageExportSpec>) -> Option<UsageExportPlan> {
        let export = &spec.value;
        if export.file.is_some() == export.url.is_some() {
            self.error(spec.location, "an export goes to a `file` or to a `url`, and not to both");
        }
        self.within(&export.every, &EVERY, "1s to 1d");
        let url = export.url.as_ref().and_then(|url| self.url(url));
        let tls = url.as_ref().and_then(|_| self.source_tls(&export.ca, spec.location));
        let secret = export.secret.as_ref().and_then(|secret| {
            let text = secret.value.0.as_str();
            let decoded = match text.strip_prefix("whsec_") {
                Some(coded) => STANDARD.decode(coded).ok(),
                None => Some(text.as_bytes().to_vec()),
            };
            let key = decoded.filter(|key| key.len() >= SECRET_BYTES_MIN);
            if key.is_none() {
                let title = format!("a key has {SECRET_BYTES_MIN} bytes or more, behind `whsec_` in Base64");
                self.error(secret.location, title);
            }
            key.map(Vec::into_boxed_slice)
        });
        if export.secret.is_some() && export.url.is_none() {
            self.error(spec.location, "`secret` signs what is posted, and there is no `url`");
        }
        Some(UsageExportPlan {
            file: export.file.clone(),
            file_bytes_max: export.file_size.0,
            files_max: export.files.0,
            url,
            tls,
            secret,
            every: export.every.value.0,
        })
    }

    fn within(&mut self, time: &Located<Time>, range: &std::ops::RangeInclusive<Duration>, words: &str) {
        if !range.contains(&time.value.0) {
            self.error(time.location, format!("allowed are {words}"));
        }
    }
}
