// SPDX-License-Identifier: Apache-2.0
//! Changes to heads: `request_headers` and `response_headers`.

use crate::config::compile::Compiler;
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::route::HeadersSpec;
use crate::config::spec::shape::Many;
use crate::wire::change::Change;
use crate::wire::template::{Template, Variable};

/// Whose head is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// The request's, on its way to the upstream.
    Request,
    /// The response's, on its way to the client.
    Response,
}

impl Compiler<'_> {
    /// Compiles changes in the order in which they are made.
    pub(super) fn field_changes(&mut self, spec: &HeadersSpec, head: Head, params: &[&str]) -> Vec<Change> {
        let mut changes = Vec::new();
        for name in spec.remove.iter() {
            if self.field_name(name, head) {
                changes.push(Change::Remove(name.value.as_str().into()));
            }
        }
        for (from, to) in spec.rename.iter() {
            let named = self.field_name(from, head);
            if self.field_name(to, head) && named {
                changes.push(Change::Rename(from.value.as_str().into(), to.value.as_str().into()));
            }
        }
        let set = Change::Set as fn(Box<str>, Template) -> Change;
        for (values, change) in [(&spec.set, set), (&spec.add, Change::Add), (&spec.default, Change::Default)] {
            for (name, value) in values.iter() {
                let named = self.field_name(name, head);
                let template = self.field_value(value, params).filter(|_| named);
                let of_response =
                    |variable: &Variable| matches!(variable, Variable::Status | Variable::ResponseHeader(_));
                if head == Head::Request && template.as_ref().is_some_and(|text| text.variables().any(of_response)) {
                    let title = "a request has no status and no response headers yet: such a variable is empty";
                    self.faults.push(Report::warning(value.location, title).label("use it in `response_headers`"));
                }
                changes.extend(template.map(|template| change(name.value.as_str().into(), template)));
            }
        }
        changes
    }

    /// Names of fields, lower or upper case as written; reports those that are none.
    pub(super) fn field_names(&mut self, names: &Many<Located<String>>) -> Vec<Vec<u8>> {
        let good: Vec<&Located<String>> = names.iter().filter(|name| self.token(name, "field")).collect();
        good.into_iter().map(|name| name.value.as_bytes().to_vec()).collect()
    }

    /// May a policy or route change this field? The gateway alone writes framing and hop-by-hop fields.
    pub(super) fn field_name(&mut self, name: &Located<String>, head: Head) -> bool {
        if !self.token(name, "field") {
            return false;
        }
        let lower = name.value.to_ascii_lowercase();
        let report = Report::error(name.location, format!("`{}` cannot be changed here", name.value));
        if OURS.contains(&lower.as_str()) {
            self.faults
                .push(report.help("it belongs to a connection or says where a body ends: the gateway writes it"));
            return false;
        }
        if head == Head::Request && lower == "host" {
            self.faults.push(report.help("use `host = \"…\"` of the route"));
            return false;
        }
        true
    }
}

/// Framing and hop-by-hop fields (RFC 9110 section 7.6.1).
const OURS: [&str; 10] = [
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];
