// SPDX-License-Identifier: Apache-2.0
//! What a request was matched to: a call, the binding that it came by, and the parts of the path that go to fields.

use smallvec::SmallVec;

use crate::base::Span;
use crate::wire::grpc::json::binding::{Body, Call};
use crate::wire::grpc::json::load::Transcoder;
use crate::wire::grpc::json::options::{Options, StreamForm};
use crate::wire::grpc::json::tree::Match;

/// A request that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub(super) binding: usize,
    /// For each of the template's variables, where it stands in the path.
    pub(super) captures: SmallVec<[Span; 4]>,
}

/// What was found for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A binding.
    Found(Route),
    /// The path matches with other methods only.
    OtherMethod,
    /// Nothing matches.
    None,
}

impl Transcoder {
    /// Looks for the binding of a request. The path is taken as it is; it should be normalised. HEAD takes a rule for
    /// GET where there is none for itself (RFC 9110 section 9.3.2).
    pub fn find(&self, method: &[u8], path: &[u8]) -> Lookup {
        match self.find_method(method, path) {
            Lookup::OtherMethod if method == b"HEAD" => self.find_method(b"GET", path),
            found => found,
        }
    }

    fn find_method(&self, method: &[u8], path: &[u8]) -> Lookup {
        let (found, segments) = self.tree.find(method, path);
        let binding = match found {
            Match::Binding(binding) => binding as usize,
            Match::OtherMethod => return Lookup::OtherMethod,
            Match::None => return Lookup::None,
        };
        let template = &self.bindings[binding].template;
        let rest = template.rest().unwrap_or(usize::MAX);
        // Behind `**`, segments are counted from the end.
        let place = |at: usize| if at > rest { segments.len() + at - template.segments.len() } else { at };
        let captures =
            template.variables.iter().map(|variable| match &segments[place(variable.start)..place(variable.end)] {
                [] => Span::EMPTY,
                [first, .., last] => Span { start: first.start, end: last.end },
                [only] => *only,
            });
        Lookup::Found(Route { binding, captures: captures.collect() })
    }

    /// The methods that a path can be asked with, as in `Allow`.
    pub fn allowed(&self, path: &[u8]) -> String {
        let mut methods: Vec<&str> = self.tree.methods(path).collect();
        if let Some(get) = methods.iter().position(|method| *method == "GET")
            && !methods.contains(&"HEAD")
        {
            methods.insert(get + 1, "HEAD");
        }
        methods.join(", ")
    }

    /// Is the body of a request a part of its message?
    pub fn takes_body(&self, route: &Route) -> bool {
        !matches!(self.bindings[route.binding].body, Body::None)
    }

    /// The method that a request calls.
    pub fn call(&self, route: &Route) -> &Call {
        &self.calls[self.bindings[route.binding].call]
    }

    /// The rule that a request came by: the HTTP method and the template as they were written.
    pub fn rule(&self, route: &Route) -> (&str, &str) {
        let rule = &self.listed[route.binding];
        (&rule.verb, &rule.template)
    }

    /// What was chosen.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// How streams are written where nothing else is asked for.
    pub const fn stream_form(&self) -> StreamForm {
        self.options.stream_form
    }

    /// Largest message of a response.
    pub const fn response_bytes_max(&self) -> u32 {
        self.options.response_bytes_max
    }

    /// All methods that can be called.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Every way to call a method: the HTTP method and the template as they were written.
    pub fn rules(&self) -> impl Iterator<Item = (&str, &str)> {
        self.listed.iter().map(|rule| (rule.verb.as_str(), rule.template.as_str()))
    }
}
