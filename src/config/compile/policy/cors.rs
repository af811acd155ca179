// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.cors]`.

use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::cors::{Preflight, Spec};
use crate::config::spec::shape::Many;
use crate::policy::cors::{Credentials, NULL, OriginRule, Origins, Plan, Preflights, PrivateNetwork};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let spec = &spec.value;
    let any = spec.origins.iter().any(|origin| origin.value == "*");
    if any && spec.credentials.value {
        let report = Report::error(spec.credentials.location, "with the origin \"*\" every page could act as the user");
        compiler.faults.push(report.help("list the origins that may send cookies"));
    }
    if spec.credentials.value {
        compiler.no_wildcard(&spec.methods, "leave `methods` out to allow every method that is asked for");
        compiler.no_wildcard(&spec.headers, "leave `headers` out to allow every header that is asked for");
        compiler.no_wildcard(&spec.expose, "list the headers that scripts may read");
    }
    for null in spec.origins.iter().filter(|origin| origin.value.as_bytes() == NULL && spec.credentials.value) {
        let report = Report::warning(null.location, "any page can have the origin `null`, and so act as the user");
        compiler.faults.push(report.label("a sandboxed frame is enough"));
    }
    for any in spec.headers.iter().filter(|name| name.value == "*" && !spec.credentials.value) {
        let report = Report::warning(any.location, "for browsers, \"*\" does not include `Authorization`");
        compiler.faults.push(report.help("leave `headers` out to allow every header that is asked for"));
    }
    if !(200..=299).contains(&spec.preflight_status.value) {
        compiler.error(spec.preflight_status.location, "browsers take 200 to 299 for a preflight");
    }
    let rules: Vec<Option<OriginRule>> = match any {
        true => Vec::new(),
        false => spec.origins.iter().map(|origin| compiler.origin(origin)).collect(),
    };
    let rules = rules.into_iter().collect::<Option<Vec<OriginRule>>>();
    for method in spec.methods.iter() {
        compiler.token(method, "method");
    }
    let listed = |names: &Many<Located<String>>| -> Box<[u8]> {
        names.iter().map(|name| name.value.as_str()).collect::<Vec<_>>().join(", ").into_bytes().into()
    };
    let (_, _) = (compiler.field_names(&spec.headers), compiler.field_names(&spec.expose));
    Some(Plan {
        origins: if any { Origins::Any } else { Origins::Listed(rules?.into()) },
        methods: listed(&spec.methods),
        headers: listed(&spec.headers),
        expose: listed(&spec.expose),
        credentials: if spec.credentials.value { Credentials::Allowed } else { Credentials::Denied },
        max_age: spec.max_age.clone().some().map(|age| age.0),
        private_network: if spec.private_network { PrivateNetwork::Allowed } else { PrivateNetwork::Denied },
        preflights: match spec.preflight {
            Preflight::Answer => Preflights::Answered(spec.preflight_status.value),
            Preflight::Forward => Preflights::Forwarded,
        },
    })
}

impl Compiler<'_> {
    /// With credentials, browsers take `*` in these lists for a name (Fetch standard, section 3.3.4).
    fn no_wildcard(&mut self, names: &Many<Located<String>>, help: &'static str) {
        for name in names.iter().filter(|name| name.value == "*") {
            let report =
                Report::error(name.location, "with `credentials`, \"*\" is a name like any other for browsers");
            self.faults.push(report.help(help));
        }
    }

    /// A rule for the origin of a page.
    pub(in crate::config::compile) fn origin(&mut self, origin: &Located<String>) -> Option<OriginRule> {
        if let Some(regex) = origin.value.strip_prefix('~') {
            return match OriginRule::regex(regex) {
                Ok(rule) => {
                    if let Some(at) = open_dot(regex) {
                        let report = Report::warning(
                            self.inside(origin, at + 1, 1),
                            "`.` stands for any character, so another site's name may fit",
                        );
                        self.faults.push(report.label("write `\\.` for the dot"));
                    }
                    Some(rule)
                }
                Err(fault) => {
                    self.faults
                        .push(Report::error(origin.location, "not a regular expression").help(fault.to_string()));
                    None
                }
            };
        }
        let whole = origin.value == "null"
            || origin.value.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains('/'));
        let rule = OriginRule::parse(&origin.value).filter(|_| whole);
        if rule.is_none() {
            let report = Report::error(origin.location, format!("`{}` is no origin", origin.value));
            self.faults
                .push(report.help("\"https://app.example.com\", \"https://*.example.com\", \"~REGEX\" or \"*\""));
        }
        rule
    }
}

/// Where a regular expression has a dot between two letters of a name that is not escaped, as in `app.example\.com`.
fn open_dot(regex: &str) -> Option<usize> {
    let bytes = regex.as_bytes();
    let name = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let open = |at: usize| bytes[at] == b'.' && name(bytes.get(at + 1)) && at > 0 && name(bytes.get(at - 1));
    // Behind a backslash, the letter in front is a class (`\d.`), and no name.
    (0..bytes.len()).find(|at| open(*at) && (*at < 2 || bytes[*at - 2] != b'\\'))
}
