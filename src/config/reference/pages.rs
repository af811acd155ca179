// SPDX-License-Identifier: Apache-2.0
//! Generates the index of the policies' pages, and the page of problems.

use std::fmt::Write;

use crate::config::reference::Reference;
use crate::policy::each_kind;
use crate::policy::problem::REASONS;
use crate::wire::problem::{FAULTS, TYPE};
use crate::wire::status;

macro_rules! modules {
    ($($(#[$doc:meta])* $Kind:ident($module:ident),)*) => {
        /// The kinds of policies, in the order of their list.
        pub(super) const KINDS: &[&str] = &[$(stringify!($module)),*];
    };
}
each_kind!(modules);

/// `docs/policies/README.md`.
pub(super) fn policies() -> String {
    let reference = Reference::new();
    let kinds = reference.tables.iter().find(|table| table.header() == "[policy.NAME]").expect("the reference has it");
    let mut out = POLICIES.to_owned();
    for kind in KINDS {
        let key = kinds.keys.iter().find(|key| key.name == *kind).expect("each kind is a key");
        let _ = writeln!(out, "| [`{kind}`]({kind}.md) | {} |", key.meaning.replace('\n', " "));
    }
    out
}

/// `docs/problems.md`.
pub(super) fn problems() -> String {
    let mut out = PROBLEMS.to_owned();
    for fault in FAULTS.iter().filter(|fault| fault.status != NOT_SENT) {
        let mut reasons: Vec<String> = fault.kinds.iter().map(|kind| format!("`{}`", kind.name())).collect();
        reasons.sort();
        let (word, status, title) = (fault.word, fault.status, status::reason(fault.status));
        let (reasons, detail, remedy) = (reasons.join(", "), fault.detail, fault.remedy);
        let _ = writeln!(out, "| `{TYPE}{word}` | {status} {title} | {reasons} | {detail} | {remedy} |");
    }
    out.push_str(REFUSALS);
    for reason in REASONS {
        let kind = reason.kind().map_or("–".to_owned(), |kind| format!("`{kind}`"));
        let remedy = if reason.remedy.is_empty() { "–" } else { reason.remedy };
        let _ = writeln!(out, "| `{}` | {kind} | {} | {} | {remedy} |", reason.word, reason.status, reason.when);
    }
    out
}

/// The status of a client that has gone: nobody reads it.
const NOT_SENT: u16 = 499;

const POLICIES: &str = include_str!("policies.md");
const PROBLEMS: &str = include_str!("problems.md");
const REFUSALS: &str = include_str!("refusals.md");
