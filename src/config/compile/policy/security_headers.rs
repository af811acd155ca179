// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.security_headers]`.

use crate::config::compile::Compiler;
use crate::config::compile::fields::Head;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::security_headers::{Preset, Spec};
use crate::policy::security_headers::Plan;
use crate::wire::change::Change;
use crate::wire::template::Template;

/// One header: its name, its values in the presets `strict` and `api`, and the words of which its value begins with
/// one; any value where there are none.
struct Header {
    name: &'static str,
    strict: Option<&'static str>,
    api: Option<&'static str>,
    words: &'static [&'static str],
}

const HSTS: Header = Header { name: "Strict-Transport-Security", strict: TWO_YEARS, api: TWO_YEARS, words: &[] };
const TWO_YEARS: Option<&str> = Some("max-age=63072000; includeSubDomains");
const CSP: Header = Header {
    name: "Content-Security-Policy",
    strict: Some(
        "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; \
         upgrade-insecure-requests",
    ),
    api: Some("default-src 'none'; frame-ancestors 'none'"),
    words: &[],
};
const REPORT_ONLY: Header = Header { name: "Content-Security-Policy-Report-Only", strict: None, api: None, words: &[] };
const FRAME: Header =
    Header { name: "X-Frame-Options", strict: Some("DENY"), api: Some("DENY"), words: &["DENY", "SAMEORIGIN"] };
const SNIFF: Header =
    Header { name: "X-Content-Type-Options", strict: Some("nosniff"), api: Some("nosniff"), words: &["nosniff"] };
const REFERRER: Header = Header {
    name: "Referrer-Policy",
    strict: Some("strict-origin-when-cross-origin"),
    api: Some("no-referrer"),
    words: &[
        "no-referrer",
        "no-referrer-when-downgrade",
        "same-origin",
        "origin",
        "strict-origin",
        "origin-when-cross-origin",
        "strict-origin-when-cross-origin",
        "unsafe-url",
    ],
};
const PERMISSIONS: Header = Header {
    name: "Permissions-Policy",
    strict: Some(
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), \
         microphone=(), midi=(), payment=(), usb=()",
    ),
    api: None,
    words: &[],
};
const OPENER: Header = Header {
    name: "Cross-Origin-Opener-Policy",
    strict: Some("same-origin"),
    api: None,
    words: &["unsafe-none", "same-origin-allow-popups", "same-origin", "noopener-allow-popups"],
};
const EMBEDDER: Header = Header {
    name: "Cross-Origin-Embedder-Policy",
    strict: None,
    api: None,
    words: &["unsafe-none", "require-corp", "credentialless"],
};
const RESOURCE: Header = Header {
    name: "Cross-Origin-Resource-Policy",
    strict: Some("same-origin"),
    api: Some("same-origin"),
    words: &["same-site", "same-origin", "cross-origin"],
};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let Spec { preset, overrides, remove, hsts, csp, csp_report_only, .. } = &spec.value;
    let Spec { frame_options, content_type_options, referrer_policy, permissions_policy, .. } = &spec.value;
    let Spec { opener_policy, embedder_policy, resource_policy, .. } = &spec.value;
    let change = if *overrides { Change::Set } else { Change::Default };
    let mut always = Vec::new();
    for name in remove.iter() {
        if compiler.field_name(name, Head::Response) {
            always.push(Change::Remove(name.value.as_str().into()));
        }
    }
    for (header, given) in [
        (&CSP, csp),
        (&REPORT_ONLY, csp_report_only),
        (&FRAME, frame_options),
        (&SNIFF, content_type_options),
        (&REFERRER, referrer_policy),
        (&PERMISSIONS, permissions_policy),
        (&OPENER, opener_policy),
        (&EMBEDDER, embedder_policy),
        (&RESOURCE, resource_policy),
    ] {
        let value = compiler.security_header(header, given.as_ref(), *preset);
        always.extend(value.map(|value| change(header.name.into(), value)));
    }
    if let Some(hsts) = hsts {
        compiler.check_hsts(hsts);
    }
    let over_tls = compiler.security_header(&HSTS, hsts.as_ref(), *preset);
    let over_tls: Vec<Change> = over_tls.map(|value| change(HSTS.name.into(), value)).into_iter().collect();
    if always.is_empty() && over_tls.is_empty() {
        compiler.absent(spec.location, Report::error(spec.location, "no header is set or removed"));
    }
    Some(Plan { always: always.into(), over_tls: over_tls.into() })
}

impl Compiler<'_> {
    /// The value of a header; `None` where it is not sent.
    fn security_header(
        &mut self,
        header: &Header,
        given: Option<&Located<String>>,
        preset: Preset,
    ) -> Option<Template> {
        let Some(given) = given else {
            let value = match preset {
                Preset::Strict => header.strict,
                Preset::Api => header.api,
                Preset::None => None,
            };
            return value.and_then(|value| Template::compile(value, &[]).ok());
        };
        if given.value == "off" {
            return None;
        }
        // Of a list, browsers take the last that they know; a parameter may follow.
        let known = |word: &str| header.words.iter().any(|known| known.eq_ignore_ascii_case(word.trim()));
        let value = given.value.split(';').next().unwrap_or_default();
        if !header.words.is_empty() && !value.split(',').all(known) {
            let report = Report::error(given.location, format!("`{}` is no value of `{}`", given.value, header.name));
            let words: Vec<String> = header.words.iter().map(|word| format!("`{word}`")).collect();
            self.faults.push(report.help(format!("{} or `off`", words.join(", "))));
            return None;
        }
        if given.value.trim().is_empty() {
            self.error(given.location, format!("`{}` has a value, or is \"off\"", header.name));
            return None;
        }
        // A brace stands for itself: no variable makes sense here, and reporting endpoints may be JSON.
        let literal = given.value.replace('{', "{{").replace('}', "}}");
        self.field_value(&Located { value: literal, location: given.location }, &[])
    }

    /// RFC 6797 section 6.1, and what the preload lists of browsers ask for.
    fn check_hsts(&mut self, hsts: &Located<String>) {
        if hsts.value == "off" {
            return;
        }
        let directives = || hsts.value.split(';').map(str::trim);
        let has = |name: &str| directives().any(|directive| directive.eq_ignore_ascii_case(name));
        let age = directives().find_map(|directive| {
            let (name, value) = directive.split_once('=')?;
            name.trim().eq_ignore_ascii_case("max-age").then(|| value.trim().trim_matches('"').parse::<u64>().ok())
        });
        match age.flatten() {
            None => {
                let report = Report::error(hsts.location, "HSTS needs `max-age` with a number of seconds");
                self.faults.push(report.help("\"max-age=63072000; includeSubDomains\""));
            }
            Some(age) if has("preload") && (age < ONE_YEAR || !has("includeSubDomains")) => {
                let report = Report::warning(hsts.location, "the preload lists of browsers will not take this");
                self.faults.push(report.label("they want a `max-age` of 31536000 and `includeSubDomains`"));
            }
            Some(_) => {}
        }
    }
}

const ONE_YEAR: u64 = 31_536_000;
