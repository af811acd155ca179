// SPDX-License-Identifier: Apache-2.0
//! What kinds of policies that limit by key have in common.

use std::time::Duration;

use crate::base::NetworkSet;
use crate::base::limits::LIMIT_WAIT_MS_MAX;
use crate::config::compile::{Compiler, Section};
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::rate_limit::{AbsentPart, FieldDialect, LimitFields, Uncountable};
use crate::config::spec::scalar::{Network, Time};
use crate::config::spec::shape::Many;
use crate::policy::limit_key::{Absent, Key, KeyPart};
use crate::policy::limiting::{Exempt, OnTrouble};
use crate::policy::rate_limit::{Dialect, FieldsSent, Told};
use crate::wire::template::{Template, TemplateError};

impl Compiler<'_> {
    /// Compiles a `key`; `None` where a fault of it was reported.
    pub(super) fn limit_key(&mut self, written: &Many<Located<String>>, absent: AbsentPart) -> Option<Key> {
        let absent = match absent {
            AbsentPart::Address => Absent::Address,
            AbsentPart::Shared => Absent::Shared,
            AbsentPart::Skip => Absent::Skip,
            AbsentPart::Refuse => Absent::Refuse,
        };
        if written.is_empty() {
            return Some(Key { absent, ..Key::address() });
        }
        if let [only] = &*written.0
            && only.value == "everything"
        {
            return Some(Key { absent, ..Key::everything() });
        }
        if let Some(many) = written.0.get(PARTS_MAX) {
            self.error(many.location, format!("a key has at most {PARTS_MAX} parts"));
        }
        let parts: Vec<Option<KeyPart>> = written.iter().map(|part| self.key_part(part)).collect();
        let texts: Vec<&str> = written.iter().map(|part| part.value.as_str()).collect();
        let parts = parts.into_iter().collect::<Option<Vec<KeyPart>>>()?;
        Some(Key { parts: parts.into(), absent, written: texts.join("\n").into() })
    }

    /// Compiles who is not limited.
    pub(super) fn exempt(&mut self, networks: &Many<Network>, consumers: &Many<Located<String>>) -> Exempt {
        for name in consumers.iter() {
            self.stored_or(name, Section::Consumer);
        }
        let mut consumers: Vec<Box<str>> = consumers.iter().map(|name| name.value.as_str().into()).collect();
        consumers.sort_unstable();
        let networks: Vec<_> = networks.iter().map(|network| network.0).collect();
        Exempt { networks: NetworkSet::new(&networks), consumers: consumers.into() }
    }

    /// How long a request waits for another shard.
    pub(super) fn limit_wait(&mut self, wait: Option<&Located<Time>>) -> Duration {
        let Some(wait) = wait else { return WAIT };
        if wait.value.0 > Duration::from_millis(LIMIT_WAIT_MS_MAX) {
            self.error(wait.location, "a request waits at most a minute");
        }
        wait.value.0
    }

    fn key_part(&mut self, part: &Located<String>) -> Option<KeyPart> {
        let text = part.value.as_str();
        match text {
            "address" => return Some(KeyPart::Address { v4_prefix: 32, v6_prefix: 64 }),
            "consumer" => return Some(KeyPart::Consumer),
            "route" => return Some(KeyPart::Route),
            _ if text.contains('{') => return self.key_text(part, text),
            _ => {}
        }
        let prefixes = text.strip_prefix("address/").map(|rest| rest.split_once('/').unwrap_or((rest, "64")));
        let number = |text: &str, max: u8| text.parse::<u8>().ok().filter(|bits| *bits <= max);
        let parsed = prefixes.and_then(|(v4, v6)| Some((number(v4, 32)?, number(v6, 128)?)));
        if let Some((v4_prefix, v6_prefix)) = parsed {
            return Some(KeyPart::Address { v4_prefix, v6_prefix });
        }
        let named = text.split_once(':').map(|(family, name)| (family, name.trim()));
        match named {
            Some(("header", name)) => {
                let field = Located { value: name.to_owned(), location: part.location };
                let valid = self.token(&field, "field");
                return valid.then(|| KeyPart::Header(name.to_ascii_lowercase().into_bytes().into()));
            }
            Some((family @ ("cookie" | "query" | "param" | "claim"), name)) if !name.contains(['{', '}']) => {
                return self.key_text(part, &format!("{{{family}.{name}}}"));
            }
            Some(_) | None => {}
        }
        let report = Report::error(part.location, format!("`{text}` is not something to count by"));
        self.faults.push(report.suggest(text, KNOWN));
        None
    }

    fn key_text(&mut self, part: &Located<String>, text: &str) -> Option<KeyPart> {
        let title = match Template::compile_anywhere(text) {
            Ok(template) if template.variables().next().is_some() => return Some(KeyPart::Text(template)),
            Ok(_) => "this text has no variable, so it counts nothing apart".to_owned(),
            Err(TemplateError::Unknown(_, name)) => format!("there is no variable `{{{name}}}`"),
            Err(TemplateError::Unclosed(_) | TemplateError::Stray(_)) => "a brace without its other half".to_owned(),
        };
        self.error(part.location, title);
        None
    }
}

/// What clients are told of a limit.
pub(super) fn told(fields: LimitFields, dialects: &Many<FieldDialect>) -> Told {
    let dialects = dialects.iter().map(|dialect| match dialect {
        FieldDialect::Ietf => Dialect::Ietf,
        FieldDialect::XRatelimit => Dialect::XRateLimit,
        FieldDialect::Kong => Dialect::Kong,
        FieldDialect::Traefik => Dialect::Traefik,
        FieldDialect::Github => Dialect::Github,
    });
    let sent = match fields {
        LimitFields::Always => FieldsSent::Always,
        LimitFields::OnRefusal => FieldsSent::OnRefusal,
        LimitFields::Never => FieldsSent::Never,
    };
    let dialects: Box<[Dialect]> = dialects.collect();
    if dialects.is_empty() { Told { sent, ..Told::default() } } else { Told { sent, dialects } }
}

/// What happens to a request that cannot be counted.
pub(super) fn on_trouble(spec: Uncountable) -> OnTrouble {
    match spec {
        Uncountable::Unavailable => OnTrouble::Unavailable,
        Uncountable::Refuse => OnTrouble::Refuse,
        Uncountable::Admit => OnTrouble::Admit,
    }
}

/// How long a request waits for another shard, where nothing else was said.
const WAIT: Duration = Duration::from_secs(1);

const KNOWN: [&str; 12] = [
    "address",
    "address/24",
    "address/24/48",
    "consumer",
    "route",
    "everything",
    "header:NAME",
    "cookie:NAME",
    "query:NAME",
    "param:NAME",
    "claim:NAME",
    "{variable}",
];

/// Parts of one key; `check` refuses more.
const PARTS_MAX: usize = 8;
