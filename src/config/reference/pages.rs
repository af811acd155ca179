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

const POLICIES: &str = "# Policies

A policy checks, limits or changes requests and responses. Each has a name (`[policy.NAME]`), is of exactly one kind, and acts where
a route, a listener or `[defaults]` names it in `policies`. This page is generated from the list of kinds; all keys of a kind are in
the [reference](../config.md#policyname), its refusals in [problems](../problems.md).

| kind | what it is for |
|---|---|
";

const PROBLEMS: &str = "# Problems

Where the gateway refuses a request, or cannot serve it, the body is a problem document (RFC 9457) of the type
`application/problem+json` with `type`, `title`, `status` and mostly `detail`; callers of gRPC get a status of gRPC instead. A program
tells problems apart by `type`. A `type` is a name and no address, so there is nothing to fetch; it never changes its meaning. The
**reason** is the word that operators find in the access log (`reason`) and in metrics. This page is generated from the code.

## Faults

What can happen to any request. A client does not learn which of several reasons it was.

| `type` | status | reasons | `detail` | what a client can do |
|---|---|---|---|---|
";

const REFUSALS: &str = "
## Refusals

What [policies](policies/README.md) and WebSocket rules refuse. Where the status is configured, it is given as a range.

| reason | `type` | status | when | what a client can do |
|---|---|---|---|---|
";
