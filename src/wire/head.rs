// SPDX-License-Identifier: Apache-2.0
//! Hot. A parsed head: spans into bytes that the caller keeps, without strings of its own.
//!
//! `RequestHead` and `ResponseHead` are reused from request to request, so parsing allocates nothing after warm-up.
//! They say nothing of an HTTP version's framing beyond `BodyLength`, so that h1 and h2 feed the same pipeline: for
//! h1 the bytes are the head as received, for h2 an arena that the field decoder wrote.

use crate::base::Span;
use crate::wire::field::{Known, KnownSet};
use crate::wire::field_set::FieldSet;

/// A method that rules may name (RFC 9110 section 9, RFC 5789, RFC 4918 by token).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Method {
    /// `GET`
    #[default]
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `PATCH`
    Patch,
    /// `OPTIONS`
    Options,
    /// `CONNECT`
    Connect,
    /// `TRACE`
    Trace,
    /// Any other token; its text is in `RequestHead::method_text`.
    Other,
}

impl Method {
    /// The method of a token. Methods are case-sensitive (RFC 9110 section 9.1).
    pub fn of(token: &[u8]) -> Method {
        match token {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"PATCH" => Method::Patch,
            b"OPTIONS" => Method::Options,
            b"CONNECT" => Method::Connect,
            b"TRACE" => Method::Trace,
            _ => Method::Other,
        }
    }

    /// Idempotent by RFC 9110 section 9.2.2: may be sent again after an unclear failure.
    pub const fn idempotent(self) -> bool {
        match self {
            Method::Get | Method::Head | Method::Put | Method::Delete | Method::Options | Method::Trace => true,
            Method::Post | Method::Patch | Method::Connect | Method::Other => false,
        }
    }
}

/// The HTTP version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0
    H10,
    /// HTTP/1.1
    #[default]
    H11,
    /// HTTP/2
    H2,
}

/// How long a body is, decided in one place only (`wire::h1::framing`, or h2's END_STREAM).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// No body.
    #[default]
    None,
    /// Exactly this many bytes, at least one.
    Exact(u64),
    /// Chunked coding on h1; DATA until END_STREAM on h2 without a length.
    Chunked,
    /// A response that ends with its connection.
    UntilClose,
}

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name as received.
    pub name: Span,
    /// Its value without surrounding whitespace.
    pub value: Span,
    /// Its name, if it is one we act upon.
    pub known: Known,
}

const _: () = assert!(size_of::<Field>() == 10, "a head of 24 fields takes 240 bytes");

impl Field {
    /// Has it this name, in any case? A line that is dropped for its `_` has none.
    pub fn is_named(&self, bytes: &[u8], name: &[u8]) -> bool {
        self.known != Known::Underscored && self.name.of(bytes).eq_ignore_ascii_case(name)
    }
}

/// Field lines in order of arrival; at most `limits::FIELDS_MAX`.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// The field lines. Code that adds one here must add its name to `names`; `push` does both.
    pub list: Vec<Field>,
    /// The names among them that we act upon, so that asking for one that is not there costs nothing. It may name
    /// more than there are.
    pub names: KnownSet,
    /// The lines that came as never-indexed literals of HPACK; they leave as such where they leave as HTTP/2
    /// (RFC 7541 section 6.2.3).
    pub never_indexed: FieldSet,
}

impl Fields {
    /// Adds a line.
    pub fn push(&mut self, field: Field) {
        self.names.insert(field.known);
        self.list.push(field);
    }

    /// Makes all lines whose names have a `_` `Known::Underscored`: they are not forwarded, and `named` does not find
    /// them. They stay in the list, because writers copy lines that lie side by side as one. No known name has a `_`.
    #[expect(clippy::manual_contains, reason = "names are short: calling a search costs more than this loop")]
    pub fn drop_underscored(&mut self, bytes: &[u8]) {
        for field in self.list.iter_mut().filter(|field| field.known == Known::Other) {
            if field.name.of(bytes).iter().any(|byte| *byte == b'_') {
                field.known = Known::Underscored;
                self.names.insert(Known::Underscored);
            }
        }
    }

    /// The value of the first field of that name.
    pub fn value<'a>(&self, bytes: &'a [u8], known: Known) -> Option<&'a [u8]> {
        if !self.names.has(known) {
            return None;
        }
        self.list.iter().find(|field| field.known == known).map(|field| field.value.of(bytes))
    }

    /// The values of all fields of that name.
    pub fn values<'a>(&'a self, bytes: &'a [u8], known: Known) -> impl Iterator<Item = &'a [u8]> {
        let list = if self.names.has(known) { &self.list[..] } else { &[] };
        list.iter().filter(move |field| field.known == known).map(|field| field.value.of(bytes))
    }

    /// Appends the combined value of the fields with the name `name` (any case): all lines in order (RFC 9110 section
    /// 5.3). Nothing where there are none.
    pub fn append_combined(&self, bytes: &[u8], name: &[u8], out: &mut Vec<u8>) {
        let mut separator: &[u8] = b"";
        for field in self.list.iter().filter(|field| field.is_named(bytes, name)) {
            out.extend_from_slice(separator);
            out.extend_from_slice(field.value.of(bytes));
            separator = separator_of(field.known);
        }
    }

    /// The values of all fields with the name `name` (any case).
    pub fn named<'a>(&'a self, bytes: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.list.iter().filter(move |field| field.is_named(bytes, name)).map(|field| field.value.of(bytes))
    }
}

/// What separates the lines of a field in its combined value: a comma and a space (RFC 9110 section 5.3), but for
/// cookies a semicolon and a space (RFC 9113 section 8.2.3).
pub(crate) const fn separator_of(known: Known) -> &'static [u8] {
    if matches!(known, Known::Cookie) { b"; " } else { b", " }
}

/// A request's head. All spans point into the bytes that came with it.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The method, if known by name.
    pub method: Method,
    /// Its text.
    pub method_text: Span,
    /// The request target as received.
    pub target: Span,
    /// The path part of the target, not normalised; empty for asterisk-form.
    pub path: Span,
    /// The query without `?`; `None` where there is no `?`.
    pub query: Option<Span>,
    /// Host (and port) from the target's authority or the Host field, validated. Empty only for HTTP/1.0 without Host.
    pub authority: Span,
    /// The protocol that an extended CONNECT of HTTP/2 asks for (RFC 8441 section 4); empty for any other request. Its
    /// method is GET, as it would be in HTTP/1.1.
    pub protocol: Span,
    /// The scheme of an absolute-form target, or of HTTP/2's `:scheme`, said `https`.
    pub absolute_https: bool,
    /// The message's version.
    pub version: Version,
    /// Field lines.
    pub fields: Fields,
    /// How long the body is.
    pub body: BodyLength,
    /// The connection may carry another request after this one.
    pub keep_alive: bool,
    /// `Expect: 100-continue` was sent.
    pub expects_continue: bool,
    /// `Connection: upgrade` with an `Upgrade` field, or an extended CONNECT.
    pub upgrade: bool,
    /// `TE: trailers` was sent.
    pub accepts_trailers: bool,
    /// Length of the head in bytes, including the empty line (h1) or of the arena (h2).
    pub len: usize,
}

impl RequestHead {
    /// What may come behind the head on a stream of HTTP/2: the body, or behind an upgrade whatever the other protocol
    /// says.
    pub const fn content(&self) -> BodyLength {
        if self.upgrade { BodyLength::Chunked } else { self.body }
    }
}

/// A response's head. All spans point into the bytes that came with it.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The status, `100..=999`.
    pub status: u16,
    /// The reason phrase.
    pub reason: Span,
    /// The message's version.
    pub version: Version,
    /// Field lines.
    pub fields: Fields,
    /// How long the body is, with the request's method taken into account.
    pub body: BodyLength,
    /// The connection may be used again after this message.
    pub keep_alive: bool,
    /// Length of the head in bytes, including the empty line.
    pub len: usize,
}

impl ResponseHead {
    /// Makes it the head of a response of ours, without a reason and without fields; keeps its memory.
    pub(crate) fn begin(&mut self, status: u16, version: Version, body: BodyLength) {
        let mut list = std::mem::take(&mut self.fields.list);
        list.clear();
        let fields = Fields { list, ..Fields::default() };
        *self = ResponseHead { status, version, fields, body, keep_alive: true, ..ResponseHead::default() };
    }
}

/// A request head together with its bytes: what routes, policies and templates look at.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The bytes that the head's spans point into.
    pub bytes: &'a [u8],
    /// The head.
    pub head: &'a RequestHead,
}

impl<'a> Request<'a> {
    /// The method's text.
    pub fn method_text(self) -> &'a [u8] {
        self.head.method_text.of(self.bytes)
    }

    /// The path as received.
    pub fn path(self) -> &'a [u8] {
        self.head.path.of(self.bytes)
    }

    /// The query without `?`; empty where there is none.
    pub fn query(self) -> &'a [u8] {
        self.head.query.map_or(&[], |query| query.of(self.bytes))
    }

    /// Host and port as received.
    pub fn authority(self) -> &'a [u8] {
        self.head.authority.of(self.bytes)
    }

    /// The first value of a known field.
    pub fn value(self, known: Known) -> Option<&'a [u8]> {
        self.head.fields.value(self.bytes, known)
    }

    /// The first value of a field by name, any case.
    pub fn named(self, name: &[u8]) -> Option<&'a [u8]> {
        let mut fields = self.head.fields.list.iter();
        let found = fields.find(|field| field.is_named(self.bytes, name));
        found.map(|field| field.value.of(self.bytes))
    }

    /// The value of a field by name, any case, where it has exactly one line.
    pub fn only(self, name: &[u8]) -> Option<&'a [u8]> {
        let mut lines = self.head.fields.list.iter().filter(|field| field.is_named(self.bytes, name));
        let line = lines.next()?;
        if lines.next().is_some() { None } else { Some(line.value.of(self.bytes)) }
    }

    /// The value of a cookie (RFC 6265 section 5.4), the first of that name from any `Cookie` field.
    pub fn cookie(self, name: &[u8]) -> Option<&'a [u8]> {
        self.head.fields.values(self.bytes, Known::Cookie).find_map(|value| {
            let pairs = value.split(|byte| *byte == b';');
            pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
        })
    }
}

/// A response head together with its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The bytes that the head's spans point into.
    pub bytes: &'a [u8],
    /// The head.
    pub head: &'a ResponseHead,
}

impl<'a> Response<'a> {
    /// The first value of a known field.
    pub fn value(self, known: Known) -> Option<&'a [u8]> {
        self.head.fields.value(self.bytes, known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(names: &[&str]) -> (Fields, Vec<u8>) {
        let (mut fields, mut bytes) = (Fields::default(), Vec::new());
        for (index, name) in names.iter().enumerate() {
            let start = bytes.len();
            bytes.extend_from_slice(name.as_bytes());
            let middle = bytes.len();
            bytes.extend_from_slice(format!("v_{index}").as_bytes());
            let (name, value) = (Span::new(start, middle), Span::new(middle, bytes.len()));
            fields.push(Field { name, value, known: Known::of(&bytes[start..middle]) });
        }
        (fields, bytes)
    }

    #[test]
    fn lines_with_an_underscore_in_their_name_are_dropped() {
        let (mut all, bytes) = fields(&["x_a", "accept", "X-B", "X_Request_Id", "_", "d"]);
        all.drop_underscored(&bytes);
        let dropped: Vec<bool> = all.list.iter().map(|field| field.known == Known::Underscored).collect();
        assert_eq!(dropped, [true, false, false, true, true, false]);
        assert!(all.names.has(Known::Underscored));
        assert_eq!((all.named(&bytes, b"X_A").count(), all.named(&bytes, b"x-b").count()), (0, 1));
        let (mut none, bytes) = fields(&["x-a"]);
        none.drop_underscored(&bytes);
        assert!(!none.names.has(Known::Underscored));
    }

    #[test]
    fn lines_are_combined_in_their_order() {
        let (all, bytes) = fields(&["x-a", "cookie", "X-A", "x-ab", "Cookie", "x-A"]);
        let combined = |name: &str| {
            let mut out = Vec::new();
            all.append_combined(&bytes, name.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(combined("X-a"), "v_0, v_2, v_5");
        assert_eq!(
            (combined("cookie").as_str(), combined("x-ab").as_str(), combined("b").as_str()),
            ("v_1; v_4", "v_3", "")
        );
    }
}
