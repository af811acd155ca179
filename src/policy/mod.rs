// SPDX-License-Identifier: Apache-2.0
//! Decisions about a request: who may, how often, from where, with which fields. One policy a file, each pure.
//!
//! A `Policy` is a plan (immutable, the same on every shard) that looks at `Facts`, changes its own state on this shard
//! and the request's `Effects`, and returns a `Decision`: pass, respond, or ask the edge for something that takes time
//! and then `resume`. Nothing here reads a clock, waits, or knows a connection. Phases are fixed (`Phase`); within a
//! phase the order is the user's. `kinds` has the list of all kinds, `kind` what each of them implements.

mod awaited;
pub(crate) mod country;
pub(crate) mod decision;
pub(crate) mod directory;
pub(crate) mod facts;
pub(crate) mod identity;
pub(crate) mod key_format;
pub(crate) mod kind;
pub(crate) mod kinds;
pub(crate) mod limit;
pub(crate) mod limit_key;
pub(crate) mod limiting;
pub(crate) mod login;
pub(crate) mod password;
pub(crate) mod phase;
pub(crate) mod problem;
pub(crate) mod protected;
pub(crate) mod question;
pub(crate) mod readings;
mod refusal;
mod subject;
pub(crate) mod tell;
mod text;
pub(crate) mod throttle;
pub(crate) mod token;
pub(crate) mod traps;
pub(crate) mod used_nonces;

#[cfg(test)]
mod fixture;

macro_rules! modules {
    ($($(#[$doc:meta])* $Kind:ident($module:ident),)*) => {
        $(pub(crate) mod $module;)*
    };
}
each_kind!(modules);

pub(crate) use decision::{Ask, AskOutcome, Decision, LocalBody, LocalResponse, Problem};
pub(crate) use facts::{Effects, Facts, Outcome, Response};
pub(crate) use identity::Identity;
pub(crate) use kind::Call;
pub(crate) use kinds::each_kind;
pub(crate) use kinds::{Policy, PolicyMemo, PolicyState};
pub(crate) use phase::Phase;
pub(crate) use question::{Answer, Keys, Question, SourceId, Ticket};
