// SPDX-License-Identifier: Apache-2.0
//! `[log.access]`.

use crate::config::compile::Compiler;
use crate::config::location::Located;
use crate::config::plan::{
    AccessLogPlan, JSON_FIELDS, LogEscape, LogField, LogFormat, LogPiece, LogTarget, LogTemplate,
};
use crate::config::report::Report;

impl Compiler<'_> {
    pub(super) fn access_log(&mut self) -> Option<AccessLogPlan> {
        let spec = &self.draft.spec.log.access;
        let format = match spec.format.value.as_str() {
            name @ ("json" | "combined") if let Some(escape) = &spec.escape => {
                self.error(escape.location, format!("`escape` belongs to a format of your own, not to \"{name}\""));
                None
            }
            "json" => Some(LogFormat::Json(self.log_fields())),
            "combined" => Some(LogFormat::Combined),
            text if !text.contains('{') => {
                let report =
                    Report::error(spec.format.location, "a format without variables would log the same line always");
                self.faults
                    .push(report.suggest(text, ["json", "combined", "a text such as \"{method} {target} {status}\""]));
                None
            }
            _ => {
                let escape = spec.escape.as_ref().map_or(LogEscape::Default, |escape| escape.value);
                self.log_template(&spec.format, escape).map(LogFormat::Template)
            }
        };
        if let (Some((name, _)), true) = (spec.fields.iter().next(), spec.format.value != "json") {
            self.error(name.location, "`fields` belongs to the format \"json\"");
        }
        let to = match spec.path.value.as_str() {
            "off" => return None,
            "stdout" | "-" => LogTarget::Stdout,
            "" => {
                self.error(spec.path.location, "the path is empty; \"off\" switches the log off");
                return None;
            }
            path => LogTarget::File(path.into()),
        };
        Some(AccessLogPlan { to, format: format?, sample: spec.sample.clone(), errors: spec.errors })
    }

    /// Fields of one's own. None may have the name of a field that every line has.
    fn log_fields(&mut self) -> Vec<LogField> {
        let mut fields = Vec::new();
        for (name, value) in self.draft.spec.log.access.fields.iter() {
            if JSON_FIELDS.split(' ').any(|known| known == name.value) {
                self.error(name.location, format!("`{}` is in every line already", name.value));
            }
            let opening = format!(",{}:\"", serde_json::Value::from(name.value.as_str()));
            let template = self.log_template(value, LogEscape::Json).map(within_json);
            fields.extend(template.map(|value| LogField { opening: opening.into_bytes().into(), value }));
        }
        fields
    }

    /// Splits a log format at the variables that only logs have; the rest are request templates.
    fn log_template(&mut self, text: &Located<String>, escape: LogEscape) -> Option<LogTemplate> {
        let mut pieces = Vec::new();
        let mut start = 0;
        let mut at = 0;
        while let Some(found) = text.value[at..].find('{').map(|found| at + found) {
            if text.value[found..].starts_with("{{") {
                at = found + 2;
                continue;
            }
            let Some(end) = text.value[found..].find('}').map(|end| found + end) else { break };
            let name = &text.value[found + 1..end];
            at = end + 1;
            if let Some((_, piece)) = LOG_ONLY.iter().find(|(known, _)| *known == name) {
                self.log_text(text, start, found, &mut pieces)?;
                pieces.push(piece.clone());
                start = at;
            }
        }
        self.log_text(text, start, text.value.len(), &mut pieces)?;
        Some(LogTemplate { pieces, escape })
    }

    fn log_text(&mut self, text: &Located<String>, start: usize, end: usize, pieces: &mut Vec<LogPiece>) -> Option<()> {
        if start < end {
            let location = self.inside(text, start, end - start);
            let part = Located { value: text.value[start..end].to_owned(), location };
            pieces.push(LogPiece::Text(self.template_among(&part, &[], LOG_ONLY.iter().map(|(name, _)| *name))?));
        }
        Some(())
    }
}

/// As the content of a JSON string. The names of faults and the like have nothing to escape.
fn within_json(template: LogTemplate) -> LogTemplate {
    let piece = |piece| match piece {
        LogPiece::Text(text) => LogPiece::Text(text.within_json()),
        other => other,
    };
    LogTemplate { pieces: template.pieces.into_iter().map(piece).collect(), ..template }
}

/// Variables that only a log has, with what they stand for; the reference lists them.
pub(crate) const LOG_ONLY: &[(&str, LogPiece)] = &[
    ("duration", LogPiece::Duration),
    ("first_byte", LogPiece::FirstByte),
    ("connect", LogPiece::Connect),
    ("bytes_sent", LogPiece::BytesSent),
    ("bytes_received", LogPiece::BytesReceived),
    ("grpc_status", LogPiece::GrpcStatus),
    ("reason", LogPiece::Reason),
    ("detail", LogPiece::Detail),
    ("reported", LogPiece::Reported),
    ("time", LogPiece::Time),
    ("time.common", LogPiece::TimeCommon),
    ("tries", LogPiece::Tries),
];
