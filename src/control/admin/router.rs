// SPDX-License-Identifier: Apache-2.0
//! What a route of the admin server is, and which route a request takes.
//!
//! `routes` has the only list. The router, the roles, the index page and the OpenAPI document are made of it.

use hyper::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::base::percent;
use crate::config::spec::server::AdminRole;
use crate::control::admin::action::Action;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Whoever reaches the listener.
    Nothing,
    /// Whoever asks from this machine, and any token.
    Local,
    /// A token of this role or a higher one, and the control socket.
    Role(AdminRole),
}

/// The methods that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    /// GET, and so HEAD.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl Verb {
    fn of(method: &Method) -> Option<Verb> {
        match method.as_str() {
            "GET" | "HEAD" => Some(Verb::Get),
            "POST" => Some(Verb::Post),
            "PUT" => Some(Verb::Put),
            "PATCH" => Some(Verb::Patch),
            "DELETE" => Some(Verb::Delete),
            _ => None,
        }
    }

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Post => "POST",
            Verb::Put => "PUT",
            Verb::Patch => "PATCH",
            Verb::Delete => "DELETE",
        }
    }

    /// As it stands in `Allow`.
    const fn allowed(self) -> &'static str {
        match self {
            Verb::Get => "GET, HEAD",
            Verb::Post | Verb::Put | Verb::Patch | Verb::Delete => self.name(),
        }
    }
}

/// Makes the schema of a document, and of those that it refers to.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The schema of `T`.
pub(crate) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What body a route takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Takes {
    /// None.
    Nothing,
    /// JSON of this schema.
    Json(SchemaOf),
    /// A JSON merge patch (RFC 7396).
    Patch,
}

/// What a route gives where all goes well.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gives {
    /// A text for people.
    Text,
    /// The Prometheus text format.
    Metrics,
    /// JSON of this schema.
    Json(SchemaOf),
    /// JSON of this schema, or by choice CSV or lines of JSON.
    Table(SchemaOf),
    /// No content.
    Nothing,
}

/// A query parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Its values.
    pub values: Values,
}

/// The values of a query parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values {
    /// Any text.
    Text,
    /// A number between these.
    Number(u64, u64),
    /// `true` or `false`.
    Truth,
    /// One of these words.
    Words(&'static [&'static str]),
}

/// One method of one path.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The method.
    pub verb: Verb,
    /// The path; `{name}` stands for one segment.
    pub path: String,
    /// Who may use it.
    pub need: Need,
    /// What serves it.
    pub action: Action,
    /// What it does, in a few words.
    pub summary: String,
    /// Its query parameters.
    pub query: &'static [Parameter],
    /// What body it takes.
    pub takes: Takes,
    /// What it gives.
    pub gives: Gives,
    /// The statuses of its success.
    pub statuses: &'static [u16],
}

impl Route {
    /// A route without parameters and body that anybody may use.
    pub(crate) fn new(verb: Verb, path: impl Into<String>, action: Action, summary: impl Into<String>) -> Route {
        Route {
            verb,
            path: path.into(),
            need: Need::Nothing,
            action,
            summary: summary.into(),
            query: &[],
            takes: Takes::Nothing,
            gives: Gives::Text,
            statuses: &[200],
        }
    }

    /// With this need.
    pub(crate) fn need(mut self, need: Need) -> Route {
        self.need = need;
        self
    }

    /// With these query parameters.
    pub(crate) fn query(mut self, query: &'static [Parameter]) -> Route {
        self.query = query;
        self
    }

    /// With this body.
    pub(crate) fn takes(mut self, takes: Takes) -> Route {
        self.takes = takes;
        self
    }

    /// With this content.
    pub(crate) fn gives(mut self, gives: Gives) -> Route {
        self.gives = gives;
        self
    }

    /// With these statuses.
    pub(crate) fn statuses(mut self, statuses: &'static [u16]) -> Route {
        self.statuses = statuses;
        self
    }

    /// Is it part of the API, whose writes are audited and may be repeated?
    pub(crate) fn is_api(&self) -> bool {
        self.path.starts_with("/api/")
    }

    /// Does it change something?
    pub(crate) fn writes(&self) -> bool {
        self.verb != Verb::Get
    }

    /// The names of the segments of its path that vary.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }

    /// The decoded segments that vary, where the path is this route's.
    fn matches(&self, path: &str) -> Option<Vec<String>> {
        let (mut ours, mut theirs) = (self.path.split('/'), path.split('/'));
        let mut varying = Vec::new();
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return Some(varying),
                (Some(pattern), Some(segment)) if pattern.starts_with('{') => {
                    varying.push(percent::decode(segment).filter(|segment| !segment.is_empty())?);
                }
                (Some(pattern), Some(segment)) if pattern == segment => {}
                (Some(_) | None, Some(_) | None) => return None,
            }
        }
    }
}

/// Which route a request takes.
#[derive(Debug)]
pub(crate) enum Found<'r> {
    /// This one, with the segments of the path that vary.
    Route(&'r Route, Vec<String>),
    /// The path exists; these methods it takes, as `Allow` lists them.
    OtherMethod(String),
    /// None.
    Nothing,
}

/// Finds the route of a request. A path without variable segments goes before others.
pub(crate) fn find<'r>(routes: &'r [Route], method: &Method, path: &str) -> Found<'r> {
    let fitting = |route: &'r Route| route.matches(path).map(|segments| (route, segments));
    let fixed = routes.iter().filter(|route| route.path == path).filter_map(fitting);
    let varying = routes.iter().filter(|route| route.path != path).filter_map(fitting);
    let mut candidates: Vec<_> = fixed.collect();
    if candidates.is_empty() {
        candidates = varying.collect();
    }
    let verb = Verb::of(method);
    if let Some(at) = candidates.iter().position(|(route, _)| Some(route.verb) == verb) {
        let (route, segments) = candidates.swap_remove(at);
        return Found::Route(route, segments);
    }
    let mut verbs: Vec<Verb> = candidates.iter().map(|(route, _)| route.verb).collect();
    verbs.sort();
    verbs.dedup();
    match verbs.as_slice() {
        [] => Found::Nothing,
        verbs => Found::OtherMethod(verbs.iter().map(|verb| verb.allowed()).collect::<Vec<_>>().join(", ")),
    }
}
