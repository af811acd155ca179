// SPDX-License-Identifier: Apache-2.0
//! What the names of an expression stand for, and who knows it.
//!
//! Names are resolved when an expression is compiled, so a run asks by number. Fields of the gateway's objects always
//! exist: one that a request does not have is an empty text, list or map. Members of maps may be missing, and naming
//! one that is missing fails, as CEL says.

use bumpalo::Bump;

use crate::cel::budget::Failure;
use crate::cel::time::Instant;
use crate::cel::types::{Kind, Type};
use crate::cel::value::{Bag, List, Map, Value};

/// One value of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Attribute {
    /// `request.method`
    Method,
    /// `request.scheme`: `http` or `https`.
    Scheme,
    /// `request.host`: lower case, without port.
    Host,
    /// `request.path`: normalised.
    Path,
    /// `request.raw_path`: as sent.
    RawPath,
    /// `request.query`: without `?`.
    Query,
    /// `request.size`: of the body in bytes; -1 where the request does not say.
    Size,
    /// `request.id`
    RequestId,
    /// `request.protocol`: `HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`.
    Protocol,
    /// `source.address`: the client's, trusted proxies taken into account.
    SourceAddress,
    /// `source.port`: of the connection's other end.
    SourcePort,
    /// `source.country`: two capital letters; empty where it is not known.
    Country,
    /// `tls.sni`
    Sni,
    /// `tls.version`
    TlsVersion,
    /// `tls.subject`: of the client's certificate.
    TlsSubject,
    /// `consumer.name`
    ConsumerName,
    /// `consumer.id`: the user's own identifier.
    ConsumerId,
    /// `consumer.groups`
    Groups,
    /// `consumer.tenant`
    Tenant,
    /// `consumer.plan`
    Plan,
    /// `consumer.app`
    App,
    /// `claims`: of a verified token.
    Claims,
    /// `route.name`
    Route,
    /// `now` and `request.time`: when the expression is evaluated.
    Now,
}

/// Who knows what names stand for. What has no implementation is empty.
pub trait Subject {
    /// The value of an attribute.
    fn attribute<'v>(&'v self, attribute: Attribute, _: &'v Bump) -> Result<Value<'v>, Failure> {
        Ok(attribute.empty())
    }

    /// A member of a map; `None` where there is none of that name.
    fn member<'v>(&'v self, _: Bag, _: &str, _: &'v Bump) -> Result<Option<Value<'v>>, Failure> {
        Ok(None)
    }

    /// The names of a map's members, each once.
    fn names<'v>(&'v self, _: Bag, _: &'v Bump) -> Result<&'v [Value<'v>], Failure> {
        Ok(&[])
    }
}

/// Nobody of whom anything is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nobody;

impl Subject for Nobody {}

impl Attribute {
    /// What it is where nothing is known.
    pub const fn empty<'v>(self) -> Value<'v> {
        match self {
            Attribute::Size | Attribute::SourcePort => Value::Int(0),
            Attribute::Now => Value::Time(Instant::EPOCH),
            Attribute::Groups => Value::List(List::Values(&[])),
            Attribute::Claims => Value::Map(Map::Pairs(&[])),
            Attribute::Method
            | Attribute::Scheme
            | Attribute::Host
            | Attribute::Path
            | Attribute::RawPath
            | Attribute::Query
            | Attribute::RequestId
            | Attribute::Protocol
            | Attribute::SourceAddress
            | Attribute::Country
            | Attribute::Sni
            | Attribute::TlsVersion
            | Attribute::TlsSubject
            | Attribute::ConsumerName
            | Attribute::ConsumerId
            | Attribute::Tenant
            | Attribute::Plan
            | Attribute::App
            | Attribute::Route => Value::Text(""),
        }
    }

    /// Does it tell who calls?
    pub const fn is_identity(self) -> bool {
        matches!(
            self,
            Attribute::ConsumerName
                | Attribute::ConsumerId
                | Attribute::Groups
                | Attribute::Tenant
                | Attribute::Plan
                | Attribute::App
                | Attribute::Claims
        )
    }

    fn type_of(self) -> Type {
        match self {
            Attribute::Size | Attribute::SourcePort => Type::INT,
            Attribute::Now => Type::Plain(Kind::Time),
            Attribute::Groups => Type::List(Box::new(Type::TEXT)),
            Attribute::Claims => Type::Map(Box::new(Type::Dyn)),
            Attribute::Method
            | Attribute::Scheme
            | Attribute::Host
            | Attribute::Path
            | Attribute::RawPath
            | Attribute::Query
            | Attribute::RequestId
            | Attribute::Protocol
            | Attribute::SourceAddress
            | Attribute::Country
            | Attribute::Sni
            | Attribute::TlsVersion
            | Attribute::TlsSubject
            | Attribute::ConsumerName
            | Attribute::ConsumerId
            | Attribute::Tenant
            | Attribute::Plan
            | Attribute::App
            | Attribute::Route => Type::TEXT,
        }
    }
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Attribute(Attribute),
    Bag(Bag),
}

impl Named {
    pub(super) fn type_of(self) -> Type {
        match self {
            Named::Attribute(attribute) => attribute.type_of(),
            Named::Bag(_) => Type::Map(Box::new(Type::TEXT)),
        }
    }
}

/// The gateway's objects with their fields. An object is no value of its own.
pub(super) const OBJECTS: [(&str, &[(&str, Named)]); 5] = [
    (
        "request",
        &[
            ("method", Named::Attribute(Attribute::Method)),
            ("scheme", Named::Attribute(Attribute::Scheme)),
            ("host", Named::Attribute(Attribute::Host)),
            ("path", Named::Attribute(Attribute::Path)),
            ("raw_path", Named::Attribute(Attribute::RawPath)),
            ("query", Named::Attribute(Attribute::Query)),
            ("params", Named::Bag(Bag::Params)),
            ("headers", Named::Bag(Bag::Headers)),
            ("cookies", Named::Bag(Bag::Cookies)),
            ("size", Named::Attribute(Attribute::Size)),
            ("id", Named::Attribute(Attribute::RequestId)),
            ("protocol", Named::Attribute(Attribute::Protocol)),
            ("time", Named::Attribute(Attribute::Now)),
        ],
    ),
    (
        "source",
        &[
            ("address", Named::Attribute(Attribute::SourceAddress)),
            ("port", Named::Attribute(Attribute::SourcePort)),
            ("country", Named::Attribute(Attribute::Country)),
        ],
    ),
    (
        "tls",
        &[
            ("sni", Named::Attribute(Attribute::Sni)),
            ("version", Named::Attribute(Attribute::TlsVersion)),
            ("subject", Named::Attribute(Attribute::TlsSubject)),
        ],
    ),
    (
        "consumer",
        &[
            ("name", Named::Attribute(Attribute::ConsumerName)),
            ("id", Named::Attribute(Attribute::ConsumerId)),
            ("groups", Named::Attribute(Attribute::Groups)),
            ("tenant", Named::Attribute(Attribute::Tenant)),
            ("plan", Named::Attribute(Attribute::Plan)),
            ("app", Named::Attribute(Attribute::App)),
            ("attributes", Named::Bag(Bag::Attributes)),
        ],
    ),
    ("route", &[("name", Named::Attribute(Attribute::Route))]),
];

/// Names that are values by themselves.
pub(super) const GLOBALS: [(&str, Attribute); 2] = [("claims", Attribute::Claims), ("now", Attribute::Now)];
