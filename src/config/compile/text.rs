// SPDX-License-Identifier: Apache-2.0
//! Texts with a meaning: templates, tokens, names of other sections, and source locations inside of them.

use crate::config::compile::{Compiler, Section};
use crate::config::habits;
use crate::config::location::{Located, Location};
use crate::config::report::Report;
use crate::wire::template::{self, Template, TemplateError};

impl Compiler<'_> {
    /// The location of a range of a text, where the file has the text literally (no escapes or variables); otherwise
    /// the location of the whole text.
    pub(super) fn inside(&self, text: &Located<String>, start: usize, len: usize) -> Location {
        let location = text.location;
        let Some(file) = self.draft.files.get(usize::from(location.file)) else { return location };
        let written = file.text.get(location.start as usize..).unwrap_or("");
        // The location of a whole text begins at its quotation mark, that of a part does not.
        let quote = usize::from(written.starts_with(['"', '\'']));
        if !written[quote..].starts_with(text.value.as_str()) {
            return location;
        }
        let start = location.start as usize + quote + start.min(text.value.len());
        Location::new(location.file, start..(start + len.max(1)).min(location.end as usize))
    }

    /// Compiles a text with variables.
    pub(super) fn template(&mut self, text: &Located<String>, params: &[&str]) -> Option<Template> {
        self.template_among(text, params, [].into_iter())
    }

    /// As `template`, where `more` names are known to stand elsewhere in the text.
    pub(super) fn template_among<'t>(
        &mut self,
        text: &Located<String>,
        params: &[&'t str],
        more: impl Iterator<Item = &'t str>,
    ) -> Option<Template> {
        let fault = match Template::compile(&text.value, params) {
            Ok(template) => {
                if let Some((theirs, ours)) = habits::dollar_variable(&text.value) {
                    let report = Report::warning(text.location, format!("`{theirs}` is a text like others here"));
                    self.faults.push(report.label(format!("write {ours}")));
                }
                return Some(template);
            }
            Err(fault) => fault,
        };
        let report =
            match fault {
                TemplateError::Unclosed(at) => Report::error(self.inside(text, at, 1), "a `{` without `}`")
                    .help("`{{` stands for the brace itself"),
                TemplateError::Stray(at) => Report::error(self.inside(text, at, 1), "a `}` without `{`")
                    .help("`}}` stands for the brace itself"),
                TemplateError::Unknown(at, name) => {
                    let location = self.inside(text, at, name.len() + 2);
                    let known = params
                        .iter()
                        .copied()
                        .chain(more)
                        .chain(template::PLAIN.iter().map(|(name, _)| *name))
                        .chain(FAMILIES);
                    Report::error(location, format!("there is no variable `{{{name}}}`")).suggest(&name, known)
                }
            };
        self.faults.push(report);
        None
    }

    /// A template for a field's value: with variables, without line breaks.
    pub(super) fn field_value(&mut self, text: &Located<String>, params: &[&str]) -> Option<Template> {
        let wrong = |byte: u8| byte == 0x7f || (byte < 0x20 && byte != b'\t');
        if let Some(at) = text.value.bytes().position(wrong) {
            let location = self.inside(text, at, 1);
            self.error(location, "a field's value has no line breaks or control characters");
            return None;
        }
        self.template(text, params)
    }

    /// Is it a token (RFC 9110 section 5.6.2), as names of fields, methods and cookies are? Reports it where it is
    /// not.
    pub(super) fn token(&mut self, text: &Located<String>, what: &str) -> bool {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !text.value.is_empty() && text.value.bytes().all(good) {
            return true;
        }
        let at = text.value.bytes().position(|byte| !good(byte)).unwrap_or(0);
        let report = Report::error(self.inside(text, at, 1), format!("`{}` is not a valid {what} name", text.value));
        self.faults.push(report.help("letters, digits and any of !#$%&'*+-.^_`|~ are allowed"));
        false
    }

    /// Is a name known in its section? Reports it where it is not.
    pub(super) fn known(&mut self, name: &Located<String>, section: Section) -> bool {
        let known = self.names.of(section);
        if known.all.contains(&name.value) {
            return true;
        }
        let report = Report::error(name.location, format!("no {} is named `{}`", section.word(), name.value));
        let report = report.suggest(&name.value, known.list.iter().map(String::as_str));
        self.faults.push(match section {
            Section::Upstream => report.help("or an address with its scheme: \"http://10.0.0.1:80\""),
            Section::Policy
            | Section::Listener
            | Section::Consumer
            | Section::Tenant
            | Section::Plan
            | Section::Product
            | Section::App => report,
        });
        false
    }
}

/// Variables with an argument.
const FAMILIES: [&str; 7] = [
    "param.NAME",
    "header.NAME",
    "cookie.NAME",
    "query.NAME",
    "response.header.NAME",
    "consumer.attribute.NAME",
    "claim.NAME",
];
