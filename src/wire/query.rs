// SPDX-License-Identifier: Apache-2.0
//! Hot. Parameters of a request's query, as an origin reads them: names and values with `%XX` and `+` decoded
//! (`target::form_bytes`), so that no spelling gets around whoever looks for one.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::base::Span;
use crate::wire::head::Request;
use crate::wire::target::form_bytes;
use crate::wire::template::{Lookup, Variable};

/// The values of a parameter, in order; one without `=` is empty.
pub(crate) fn values<'r>(request: Request<'r>, name: &[u8]) -> impl Iterator<Item = Cow<'r, [u8]>> {
    spans(request, name).map(move |(_, value)| decoded(value.of(request.bytes)))
}

/// The value of a parameter as it was sent; the first of that name.
pub(crate) fn raw_value<'r>(request: Request<'r>, name: &[u8]) -> Option<&'r [u8]> {
    spans(request, name).next().map(|(_, value)| value.of(request.bytes))
}

/// Where a parameter stands among the bytes of the head, each time: the whole piece, and the value in it, as sent.
pub(crate) fn spans(request: Request<'_>, name: &[u8]) -> impl Iterator<Item = (Span, Span)> {
    let query = request.head.query.unwrap_or(Span::EMPTY);
    let mut start = usize::from(query.start);
    query.of(request.bytes).split(|byte| *byte == b'&').filter_map(move |pair| {
        let (begin, end) = (start, start + pair.len());
        // The last `&` may be the last byte of the head; the piece after it does not exist.
        start = (end + 1).min(usize::from(u16::MAX));
        let mark = memchr::memchr(b'=', pair);
        let own = &pair[..mark.unwrap_or(pair.len())];
        let value = mark.map_or(end, |mark| begin + mark + 1);
        (!pair.is_empty() && is_same(own, name)).then(|| (Span::new(begin, end), Span::new(value, end)))
    })
}

/// Is a name of a query, as it was sent, this one?
pub(crate) fn is_same(sent: &[u8], name: &[u8]) -> bool {
    // Most are not encoded, and differ in their lengths.
    match sent.len().cmp(&name.len()) {
        Ordering::Less => false,
        Ordering::Equal => sent == name || form_bytes(sent).eq(name.iter().copied()),
        Ordering::Greater => sent.contains(&b'%') && form_bytes(sent).eq(name.iter().copied()),
    }
}

/// What a form-encoded text stands for.
pub(crate) fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    match memchr::memchr2(b'%', b'+', text) {
        None => Cow::Borrowed(text),
        // tidy(hot): few names and values are encoded.
        Some(_) => Cow::Owned(form_bytes(text).collect()),
    }
}

/// What variables are worth where something is decided by them: parameters of the query are decoded, so that another
/// spelling is no other value.
#[derive(Debug)]
pub(crate) struct Decoded<'a, L>(pub(crate) &'a L);

impl<L: Lookup> Lookup for Decoded<'_, L> {
    fn append(&self, variable: &Variable, out: &mut Vec<u8>) {
        let start = out.len();
        self.0.append(variable, out);
        if let Variable::QueryValue(_) = variable
            && let Cow::Owned(value) = decoded(&out[start..])
        {
            out.truncate(start);
            out.extend_from_slice(&value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_origins_read_them() {
        for (sent, name, same) in [
            ("key", "key", true),
            ("%6bey", "key", true),
            ("k%65%79", "key", true),
            ("Key", "key", false),
            ("key%", "key", false),
            ("key%00", "key", false),
            ("a+b", "a b", true),
            ("a%2Bb", "a+b", true),
            ("a+b", "a+b", true),
            ("%zz", "%zz", true),
            ("", "", true),
        ] {
            assert_eq!(is_same(sent.as_bytes(), name.as_bytes()), same, "{sent} {name}");
        }
    }

    #[test]
    fn values_of_variables_are_decoded_where_they_decide() {
        struct Sent;
        impl Lookup for Sent {
            fn append(&self, _: &Variable, out: &mut Vec<u8>) {
                out.extend_from_slice(b"a%62+");
            }
        }
        let text = |variable: &Variable| {
            let mut out = b"before:".to_vec();
            Decoded(&Sent).append(variable, &mut out);
            String::from_utf8(out).expect("text")
        };
        assert_eq!(text(&Variable::QueryValue("x".into())), "before:ab ");
        assert_eq!(text(&Variable::Query), "before:a%62+");
    }
}
