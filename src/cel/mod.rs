// SPDX-License-Identifier: Apache-2.0
//! Expressions over a request in the Common Expression Language (CEL): conditions of policies, rules of `authorize`,
//! matchers of routes.
//!
//! Pure: what names stand for is asked of a `Subject`. A text is parsed (`parse`), its names and types are resolved
//! (`check`), and the tree that comes of it is evaluated for each request (`evaluate`).
//!
//! - **What is wrong is said when it is loaded**, with the byte in the text: syntax, names, functions, and types where
//!   they are known. A call with constant arguments that fails is wrong, too.
//! - **No expression can take long or much.** Its length, depth and size are capped, a run has a number of steps and of
//!   bytes, patterns of `matches` are constant and compiled when loaded. A run that passes a cap fails.
//! - **A failure is a value.** `&&` and `||` take the other side where that decides, as CEL says; what is left over is
//!   the caller's to judge. Nothing panics.
//! - **Comparisons allocate nothing**: texts are borrowed from the request. What is computed lies in an arena that
//!   takes no memory before its first use.
//!
//! Code of our own, because conditions run for every request: the crates for CEL look names up in maps by text, copy
//! every value into reference-counted ones, check no types and have no limit on a run.

mod arithmetic;
mod attribute;
mod budget;
mod calls;
mod check;
mod evaluate;
mod fold;
mod functions;
mod node;
mod parse;
mod program;
mod syntax;
mod time;
mod token;
mod types;
mod value;

pub(crate) use attribute::{Attribute, Nobody, Subject};
pub(crate) use budget::Failure;
pub(crate) use check::Environment;
pub(crate) use program::Program;
pub(crate) use syntax::Fault;
pub(crate) use time::Instant;
pub(crate) use value::{Bag, List, Map, Value};

#[cfg(test)]
mod tests;
