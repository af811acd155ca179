// SPDX-License-Identifier: Apache-2.0
//! Hot. What the names of an expression stand for in one request: `cel::Subject` for `Facts`.
//!
//! Texts are borrowed from the request. Only what is stored in another form (a combined header, a decoded parameter, an
//! address) is written into the run's arena.

use bumpalo::Bump;
use smallvec::SmallVec;

use crate::base::Wall;
use crate::base::limits::EXPRESSION_MEMORY_MAX;
use crate::cel::{Attribute, Bag, Failure, Instant, List, Map, Subject, Value};
use crate::policy::directory::Consumer;
use crate::policy::facts::Facts;
use crate::wire::field::Known;
use crate::wire::head::{BodyLength, Version, separator_of};
use crate::wire::template::{Lookup, TlsVariable, Variable};

impl<L: Lookup> Subject for Facts<'_, L> {
    fn attribute<'v>(&'v self, attribute: Attribute, arena: &'v Bump) -> Result<Value<'v>, Failure> {
        match attribute {
            Attribute::Method => text(self.request.method_text()),
            Attribute::Scheme => Ok(Value::Text(self.scheme.name())),
            Attribute::Host => self.word(&Variable::Host, arena),
            Attribute::Path => text(self.path),
            Attribute::RawPath => text(self.request.path()),
            Attribute::Query => text(self.request.query()),
            Attribute::Size => Ok(Value::Int(match self.request.head.body {
                BodyLength::None => 0,
                BodyLength::Exact(bytes) => i64::try_from(bytes).unwrap_or(i64::MAX),
                BodyLength::Chunked | BodyLength::UntilClose => -1,
            })),
            Attribute::RequestId => self.word(&Variable::RequestId, arena),
            Attribute::Protocol => Ok(Value::Text(match self.request.head.version {
                Version::H10 => "HTTP/1.0",
                Version::H11 => "HTTP/1.1",
                Version::H2 => "HTTP/2.0",
            })),
            Attribute::SourceAddress => self.word(&Variable::ClientIp, arena),
            Attribute::SourcePort => {
                let mut port = Vec::new();
                self.words.append(&Variable::ClientPort, &mut port);
                Ok(Value::Int(port.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit.wrapping_sub(b'0')))))
            }
            Attribute::Country => self.word(&Variable::Country, arena),
            Attribute::Sni => self.word(&Variable::Tls(TlsVariable::Sni), arena),
            Attribute::TlsVersion => self.word(&Variable::Tls(TlsVariable::Version), arena),
            Attribute::TlsSubject => self.word(&Variable::Tls(TlsVariable::ClientSubject), arena),
            Attribute::ConsumerName => Ok(Value::Text(self.consumer_name)),
            Attribute::ConsumerId => Ok(Value::Text(self.consumer().map_or("", |consumer| consumer.id()))),
            Attribute::Groups => {
                Ok(Value::List(List::Texts(self.consumer().map_or(&[], |consumer| &consumer.profile.groups))))
            }
            Attribute::Tenant => {
                let tenant = self.consumer().and_then(|consumer| self.directory.tenant(consumer));
                Ok(Value::Text(tenant.map_or("", |tenant| &tenant.name)))
            }
            Attribute::Plan => Ok(Value::Text(self.plan().map_or("", |plan| &plan.name))),
            Attribute::App => {
                let app = self.identity.app.and_then(|app| self.directory.app(app));
                Ok(Value::Text(app.map_or("", |app| &app.name)))
            }
            Attribute::Claims => Ok(match &self.identity.claims {
                Some(claims) => Value::Map(Map::Json(&claims.json)),
                None => attribute.empty(),
            }),
            Attribute::Route => Ok(Value::Text(self.route_name)),
            Attribute::Now => Ok(instant(self.wall)),
        }
    }

    fn member<'v>(&'v self, bag: Bag, name: &str, arena: &'v Bump) -> Result<Option<Value<'v>>, Failure> {
        match bag {
            Bag::Headers => self.header(name, arena),
            Bag::Cookies => self.cookie(name),
            Bag::Params => self.param(name, arena),
            Bag::Attributes => Ok(self.consumer().and_then(|consumer| consumer.attribute(name)).map(Value::Text)),
        }
    }

    fn names<'v>(&'v self, bag: Bag, arena: &'v Bump) -> Result<&'v [Value<'v>], Failure> {
        let mut names = Names::default();
        match bag {
            Bag::Headers => {
                let lines = self.request.head.fields.list.iter().filter(|field| field.known != Known::Underscored);
                for line in lines {
                    let mut lower: SmallVec<[u8; 64]> = SmallVec::from_slice(line.name.of(self.request.bytes));
                    lower.make_ascii_lowercase();
                    names.add(kept(&lower, arena)?)?;
                }
            }
            Bag::Cookies => {
                for (name, _) in self.cookies() {
                    names.add(text(name)?)?;
                }
            }
            Bag::Params => {
                for (name, _) in self.params() {
                    names.add(decoded(name, arena)?)?;
                }
            }
            Bag::Attributes => {
                let attributes = self.consumer().map_or(&[][..], |consumer| consumer.attributes());
                for (name, _) in attributes {
                    names.add(Value::Text(name))?;
                }
            }
        }
        Ok(arena.try_alloc_slice_copy(&names.0).map_err(|_| Failure::Memory)?)
    }
}

impl<L: Lookup> Facts<'_, L> {
    /// The consumer that calls.
    pub(crate) fn consumer(&self) -> Option<&Consumer> {
        self.identity.consumer.and_then(|number| self.directory.consumer(number))
    }

    /// A value that template variables have, too.
    fn word<'v>(&'v self, variable: &Variable, arena: &'v Bump) -> Result<Value<'v>, Failure> {
        if let Some(bytes) = self.words.text(variable) {
            return text(bytes);
        }
        let mut value = Vec::new();
        self.words.append(variable, &mut value);
        if value.is_empty() { Ok(Value::Text("")) } else { kept(&value, arena) }
    }

    /// The combined value of a header, whose name is in lower case.
    fn header<'v>(&'v self, name: &str, arena: &'v Bump) -> Result<Option<Value<'v>>, Failure> {
        let (fields, bytes) = (&self.request.head.fields, self.request.bytes);
        let mut lines = fields.list.iter().filter(|field| field.is_named(bytes, name.as_bytes()));
        let Some(first) = lines.next() else { return Ok(None) };
        let Some(second) = lines.next() else { return text(first.value.of(bytes)).map(Some) };
        let mut combined: SmallVec<[u8; 256]> = SmallVec::from_slice(first.value.of(bytes));
        for line in [second].into_iter().chain(lines) {
            combined.extend_from_slice(separator_of(first.known));
            combined.extend_from_slice(line.value.of(bytes));
        }
        kept(&combined, arena).map(Some)
    }

    fn cookies(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = self.request.head.fields.values(self.request.bytes, Known::Cookie);
        let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
        pairs
            .filter_map(|pair| pair.split_at_checked(memchr::memchr(b'=', pair)?))
            .map(|(name, value)| (name, &value[1..]))
    }

    /// A cookie. Origins differ in which of several they read, so none of several is given.
    fn cookie<'v>(&'v self, name: &str) -> Result<Option<Value<'v>>, Failure> {
        let mut found = None;
        for (_, value) in self.cookies().filter(|(own, _)| *own == name.as_bytes()) {
            if found.replace(text(value)?).is_some() {
                return Err(Failure::Ambiguous);
            }
        }
        Ok(found)
    }

    fn params(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let pairs = self.request.query().split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| match memchr::memchr(b'=', pair) {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        })
    }

    /// A parameter of the query, decoded. As with cookies, none of several is given.
    fn param<'v>(&'v self, name: &str, arena: &'v Bump) -> Result<Option<Value<'v>>, Failure> {
        let mut found = None;
        for (own, value) in self.params() {
            let same = match memchr::memchr2(b'%', b'+', own) {
                None => own == name.as_bytes(),
                Some(_) => matches!(decoded(own, arena)?, Value::Text(own) if own == name),
            };
            if same && found.replace(decoded(value, arena)?).is_some() {
                return Err(Failure::Ambiguous);
            }
        }
        Ok(found)
    }
}

/// Names, each once.
#[derive(Default)]
struct Names<'v>(SmallVec<[Value<'v>; 32]>);

impl<'v> Names<'v> {
    fn add(&mut self, name: Value<'v>) -> Result<(), Failure> {
        let Value::Text(name) = name else { return Err(Failure::NotUtf8) };
        if self.0.len() >= NAMES_MAX {
            return Err(Failure::Memory);
        }
        if !self.0.iter().any(|own| matches!(own, Value::Text(own) if *own == name)) {
            self.0.push(Value::Text(name));
        }
        Ok(())
    }
}

/// Names of cookies or parameters that an expression may go through; where there are more, it fails. Each is compared
/// with each.
const NAMES_MAX: usize = 256;

fn text(bytes: &[u8]) -> Result<Value<'_>, Failure> {
    std::str::from_utf8(bytes).map(Value::Text).map_err(|_| Failure::NotUtf8)
}

fn kept<'v>(bytes: &[u8], arena: &'v Bump) -> Result<Value<'v>, Failure> {
    let read = std::str::from_utf8(bytes).map_err(|_| Failure::NotUtf8)?;
    Ok(Value::Text(arena.try_alloc_str(read).map_err(|_| Failure::Memory)?))
}

/// A piece of the query as forms write it: `+` is a space, and a `%` without two hexadecimal digits stays as it is.
fn decoded<'v>(bytes: &'v [u8], arena: &'v Bump) -> Result<Value<'v>, Failure> {
    if memchr::memchr2(b'%', b'+', bytes).is_none() {
        return text(bytes);
    }
    if bytes.len() > EXPRESSION_MEMORY_MAX {
        return Err(Failure::Memory);
    }
    let mut out: SmallVec<[u8; 128]> = SmallVec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
        let escape = if *byte == b'%' { digit(at + 1).zip(digit(at + 2)) } else { None };
        out.push(match escape {
            Some((high, low)) => (high * 16 + low) as u8,
            None if *byte == b'+' => b' ',
            None => *byte,
        });
        at += if escape.is_some() { 3 } else { 1 };
    }
    kept(&out, arena)
}

fn instant(wall: Wall) -> Value<'static> {
    Value::Time(Instant::from_micros(wall.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cel::{Environment, Program};
    use crate::policy::fixture::Fixture;

    fn holds(text: &str, fixture: &Fixture) -> Result<bool, Failure> {
        Program::compile(text, &Environment::default()).unwrap().holds(&fixture.facts())
    }

    /// An expression and what it gives for the request below.
    const CASES: &[(&str, Result<bool, Failure>)] = &[
        ("request.method == 'GET' && request.scheme == 'https' && request.path == '/x'", Ok(true)),
        ("request.query == 'a=1&b=%2F+x&%61b=2&c&d=1&d=2' && request.protocol == 'HTTP/1.1'", Ok(true)),
        ("request.params.a == '1' && request.params.b == '/ x' && request.params.ab == '2'", Ok(true)),
        ("has(request.params.z)", Ok(false)),
        ("request.params.d == '1'", Err(Failure::Ambiguous)),
        ("has(request.params.d)", Err(Failure::Ambiguous)),
        ("request.params.exists(p, p == 'ab') && request.params.size() == 5", Ok(true)),
        ("request.headers['x-one'] == '1' && request.headers['X-ONE'] == '1'", Ok(true)),
        ("request.headers['x-two'] == 'a, b'", Ok(true)),
        ("request.headers['x_two'] == 'a, b'", Err(Failure::NoMember)),
        ("request.headers['x-latin'] == ''", Err(Failure::NotUtf8)),
        ("request.headers.exists(h, h == 'x-two') && request.headers.size() == 4", Ok(true)),
        ("request.cookies.s == 'k=v' && !has(request.cookies.q)", Ok(true)),
        ("request.cookies.t == '1'", Err(Failure::Ambiguous)),
        ("request.cookies.all(c, c in ['s', 't'])", Ok(true)),
        ("request.size == 0 && source.address == '192.0.2.1' && inNetwork(source.address, '192.0.2.0/24')", Ok(true)),
        ("now == timestamp(1800000000) && route.name == 'route'", Ok(true)),
        ("consumer.name == '' && consumer.groups == [] && claims == {} && consumer.tenant == ''", Ok(true)),
        ("tls.sni == '<Tls(Sni)>' && source.country == '<Country>'", Ok(true)),
    ];

    #[test]
    fn names_stand_for_what_the_request_has() {
        let fixture = Fixture::get("/x?a=1&b=%2F+x&%61b=2&c&d=1&d=2")
            .field("X-One", "1")
            .field("X-Two", "a")
            .field("x-two", "b")
            .field("X-Latin", "\u{e9}")
            .field("Cookie", "s=k=v; t=1; t=2");
        // The fixture writes texts; this one is Latin-1.
        let mut fixture = fixture;
        let at = fixture.bytes.windows(2).position(|pair| pair == "\u{e9}".as_bytes()).unwrap();
        fixture.bytes[at] = 0xe9;
        for (text, expected) in CASES {
            assert_eq!(holds(text, &fixture), *expected, "{text}");
        }
    }
}
