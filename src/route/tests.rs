// SPDX-License-Identifier: Apache-2.0
//! Tests of the whole: rules in, routes out. What they share is here.

mod basics;
mod further;
mod linear;
mod oracle;
mod published;

use std::net::{IpAddr, Ipv4Addr};

use crate::base::{Rng, RouteId, Span};
use crate::route::{BodyView, Params, PathPattern, RouteMatch, RouteQuery, Rule, Table};
use crate::wire::field::Known;
use crate::wire::head::{Field, Method, Request, RequestHead};

/// A request, made without a parser.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    bytes: Vec<u8>,
    head: RequestHead,
    host: String,
    path: Vec<u8>,
    source: IpAddr,
}

impl Sample {
    /// A request for `host` and `target`, whose path is taken as normalised.
    pub(crate) fn new(method: &str, host: &str, target: &str) -> Sample {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let mut sample = Sample {
            bytes: Vec::new(),
            head: RequestHead { method: Method::of(method.as_bytes()), ..RequestHead::default() },
            host: host.to_owned(),
            path: path.as_bytes().to_vec(),
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        sample.head.method_text = sample.push(method);
        sample.head.authority = sample.push(host);
        sample.head.query = query.map(|query| sample.push(query));
        sample
    }

    /// With another field.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Sample {
        let known = Known::of(name.as_bytes());
        let (name, value) = (self.push(name), self.push(value));
        self.head.fields.push(Field { name, value, known });
        self
    }

    /// From that address.
    pub(crate) fn from(mut self, source: &str) -> Sample {
        self.source = source.parse().unwrap();
        self
    }

    /// Another path, of any bytes.
    pub(crate) fn set_path(&mut self, path: Vec<u8>) {
        self.path = path;
    }

    pub(crate) fn wanted(&self) -> RouteQuery<'_> {
        let request = Request { bytes: &self.bytes, head: &self.head };
        RouteQuery {
            request,
            host: self.host.as_bytes(),
            path: &self.path,
            source: self.source,
            body: BodyView::Unread,
        }
    }

    pub(crate) fn found(&self, table: &Table) -> RouteMatch {
        table.find(&self.wanted(), &mut Params::default())
    }

    /// The number of the route, if one is found, and its parameters.
    pub(crate) fn route(&self, table: &Table) -> Option<(u32, Vec<String>)> {
        let mut params = Params::default();
        match table.find(&self.wanted(), &mut params) {
            RouteMatch::Route(RouteId(route)) => {
                let texts = params.spans().iter().map(|span| span.of(&self.path));
                Some((route, texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect()))
            }
            RouteMatch::MethodNotAllowed(_) | RouteMatch::None => None,
        }
    }

    fn push(&mut self, text: &str) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text.as_bytes());
        Span::new(start, self.bytes.len())
    }
}

/// A pattern in the notation of reports: `= exact`, `~ regex`, `prefix`, or a template where there is a brace.
pub(crate) fn pattern(text: &str) -> PathPattern {
    if let Some(exact) = text.strip_prefix("= ") {
        PathPattern::exact(exact).unwrap()
    } else if let Some(prefix) = text.strip_prefix("^ ") {
        PathPattern::text_prefix(prefix).unwrap()
    } else if let Some(regex) = text.strip_prefix("~ ") {
        PathPattern::Regex(crate::route::WholeRegex::new(regex).unwrap())
    } else if text.contains('{') {
        PathPattern::template(text).unwrap()
    } else {
        PathPattern::prefix(text).unwrap()
    }
}

/// A rule for any host, named after its number.
pub(crate) fn rule(number: u32, path: &str) -> Rule {
    Rule::new(&format!("r{number:03}"), RouteId(number), pattern(path))
}

/// A table of rules for any host, numbered in order.
pub(crate) fn table(paths: &[&str]) -> Table {
    Table::build(paths.iter().zip(0..).map(|(path, number)| rule(number, path)).collect()).table
}

pub(crate) fn shuffle<T>(list: &mut [T], rng: &mut Rng) {
    for last in (1..list.len()).rev() {
        list.swap(last, rng.below(last as u64 + 1) as usize);
    }
}
