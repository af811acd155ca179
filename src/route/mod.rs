// SPDX-License-Identifier: Apache-2.0
//! Which route takes a request: host table, radix tree over paths, matchers, weighted splits, rewrites and redirects.
//!
//! Pure: no I/O, no clock, no chance of its own. A `Table` is built once for each listener and then only read.
//!
//! # Precedence
//!
//! Of all rules that match a request, on whatever host pattern, the first in this order takes it. The order of the file
//! plays no part.
//!
//! 1. The higher `priority`. It is 0 unless the user says otherwise: the one place where a user overrides the rest.
//! 2. The more specific host: exact, then `*.suffix` by length of the suffix, then a regular expression, the longer
//!    text first, then any. `*.a.b` takes every host below `a.b` at any depth, not `a.b` itself.
//! 3. The more specific path: - an exact path, - a regular expression, the longer text first, - templates and
//!    prefixes, segment by segment from the left; at the first difference a literal segment goes before a
//!    parameter with literal text around it, that before a bare parameter, that before `{*rest}`, and that before the
//!    end of a prefix. Of two prefixes, this is the longer one. What a text prefix has behind its last slash counts
//!    as the text before a parameter.
//! 4. The one that names methods, fewer before more.
//! 5. More header matchers, 6. more query matchers, 7. more cookie matchers, 8. more matchers of the body.
//! 9. The narrower source network.
//! 10. More further conditions: of the caller, of an expression, of what is excluded.
//! 11. The smaller name. Rules that only a name tells apart and that match the same requests are reported.
//!
//! This is the precedence of the Kubernetes Gateway API, extended to what that API leaves open. A rule that fails on
//! any matcher steps aside for the next, also for one of a less specific host: a route for any host is what is left
//! for the requests that no route of their own host takes. A prefix ends at a slash (`/api` takes `/api` and
//! `/api/x`, not `/apix`). A regular expression must match the whole path. Methods are taken literally: `GET` does
//! not include `HEAD`.

mod build;
mod condition;
mod escape;
mod explain;
mod further;
mod grow;
mod host;
mod methods;
mod params;
mod pattern;
mod precedence;
mod query;
mod report;
mod rule;
mod table;
mod tree;
mod whole_regex;

pub(crate) mod redirect;
pub(crate) mod rewrite;
pub(crate) mod split;

pub(crate) use condition::HeaderTests;
pub(crate) use explain::Explanation;
pub use params::Params;
pub use pattern::{PathPattern, PatternError};
pub use query::{BodyView, RouteQuery};
pub(crate) use report::Report;
pub(crate) use rule::BodyMatch;
pub(crate) use rule::{Exclusion, HostError};
pub use rule::{FieldMatch, HostPattern, Rule, ValueMatch};
pub use table::{RouteMatch, Table};
pub(crate) use whole_regex::WholeRegex;

#[cfg(test)]
mod tests;
