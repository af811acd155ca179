// SPDX-License-Identifier: Apache-2.0
//! Hot. Fields that concern one connection only and are not forwarded (RFC 9110 section 7.6.1).
//!
//! `Connection` may name further fields of that kind. A client can abuse this to strip a field that another hop added
//! or that the origin relies on, so naming a field that the gateway itself acts upon, or one of `ESSENTIAL`, has no
//! effect.

use crate::base::ascii::is_name;
use crate::wire::field::{Known, KnownSet};
use crate::wire::field_set::FieldSet;
use crate::wire::head::Fields;

/// Fields about the connection they came on: never forwarded as they are, in either direction.
pub(crate) const HOP_BY_HOP: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::TransferEncoding,
    Known::ContentLength,
    Known::Upgrade,
    Known::Http2Settings,
]);

/// End-to-end fields that are not `Known` but that no `Connection` field may take away.
const ESSENTIAL: [&[u8]; 12] = [
    b"cache-control",
    b"content-range",
    b"content-disposition",
    b"content-security-policy",
    b"etag",
    b"expires",
    b"if-match",
    b"if-none-match",
    b"if-modified-since",
    b"if-unmodified-since",
    b"strict-transport-security",
    b"www-authenticate",
];

/// What the `Connection` fields ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `close`
    pub close: bool,
    /// `keep-alive`
    pub keep_alive: bool,
    /// `upgrade`
    pub upgrade: bool,
    /// Something else, which may name a field.
    pub others: bool,
}

/// Reads the `Connection` fields.
pub(crate) fn options(fields: &Fields, bytes: &[u8]) -> Options {
    let mut options = Options::default();
    for value in fields.values(bytes, Known::Connection) {
        // What browsers send needs no list.
        if is_name(value, b"keep-alive") {
            options.keep_alive = true;
            continue;
        }
        for option in members(value) {
            if is_name(option, b"keep-alive") {
                options.keep_alive = true;
            } else if is_name(option, b"close") {
                options.close = true;
            } else if is_name(option, b"upgrade") {
                options.upgrade = true;
            } else {
                options.others |= !option.is_empty() && !is_name(option, b"te");
            }
        }
    }
    options
}

/// Fields that a `Connection` field names and that may be taken away.
pub(crate) fn nominated(fields: &Fields, bytes: &[u8]) -> FieldSet {
    if !options(fields, bytes).others {
        return FieldSet::default();
    }
    removable(fields, bytes)
}

#[cold]
fn removable(fields: &Fields, bytes: &[u8]) -> FieldSet {
    let mut set = FieldSet::default();
    for option in fields.values(bytes, Known::Connection).flat_map(members) {
        for (index, field) in fields.list.iter().enumerate() {
            let name = field.name.of(bytes);
            let plain = field.known == Known::Other && !ESSENTIAL.iter().any(|essential| is_name(name, essential));
            if plain && name.eq_ignore_ascii_case(option) {
                set.insert(index);
            }
        }
    }
    set
}

/// Does this value of `TE` say that trailers are welcome (RFC 9110 section 10.1.4)?
pub(crate) fn names_trailers(value: &[u8]) -> bool {
    members(value).any(|member| is_name(member, b"trailers"))
}

/// The members of a comma-separated list without quoted strings (RFC 9110 section 5.6.1); empty ones included.
pub(crate) fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::h1::{Caps, request};
    use crate::wire::head::RequestHead;

    fn nominated_names(lines: &str) -> Vec<String> {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes();
        let mut head = RequestHead::default();
        request::parse(&bytes, &Caps::default(), &mut head).unwrap();
        let set = nominated(&head.fields, &bytes);
        let fields = head.fields.list.iter().enumerate().filter(|(index, _)| set.has(*index));
        fields.map(|(_, field)| String::from_utf8(field.name.of(&bytes).to_vec()).unwrap()).collect()
    }

    #[test]
    fn named_fields_go() {
        assert_eq!(nominated_names("Connection: close, x-a ,X-B\r\nX-A: 1\r\nx-b: 2\r\nX-C: 3\r\n"), ["X-A", "x-b"]);
        assert!(nominated_names("Connection: keep-alive, te\r\nX-A: 1\r\n").is_empty());
    }

    #[test]
    fn essential_fields_stay() {
        let lines = "Connection: host, content-length, authorization, cookie, x-forwarded-for, cache-control\r\n\
            Authorization: a\r\nCookie: b=c\r\nX-Forwarded-For: 1.2.3.4\r\nCache-Control: no-store\r\n";
        assert!(nominated_names(lines).is_empty());
    }
}
