// SPDX-License-Identifier: Apache-2.0
//! Hot. The names under which an upstream believes what the gateway says: who calls, with which claims. What a client
//! sends under them is never forwarded, in the head or in trailers, whether the policy that sets them is asked or not.

use crate::base::ascii::is_same_to_origin;
use crate::wire::field::Known;
use crate::wire::head::Request;
use crate::wire::patch::Patch;

/// Names of fields that only policies may set. Compared as an origin may read them: in any case, and with `_` for `-`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protected {
    names: Vec<Box<[u8]>>,
    prefixes: Vec<Box<[u8]>>,
    /// A bit for each length that a name has; the last one stands for all longer ones. Most fields have another length.
    lengths: u64,
}

impl Protected {
    /// Adds a name.
    pub fn add(&mut self, name: &[u8]) {
        if !self.names.iter().any(|known| is_same_to_origin(known, name)) {
            self.names.push(name.into());
            self.lengths |= bit(name.len());
        }
    }

    /// Adds all names that begin so, but for those of a connection and of a body.
    pub fn add_prefix(&mut self, start: &[u8]) {
        self.prefixes.push(start.into());
    }

    /// Is there no such name?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.prefixes.is_empty()
    }

    /// Is this name one of them?
    pub fn has(&self, known: Known, name: &[u8]) -> bool {
        let named = self.lengths & bit(name.len()) != 0 && self.names.iter().any(|own| is_same_to_origin(name, own));
        named || (!self.prefixes.is_empty() && self.has_prefix(known, name))
    }

    fn has_prefix(&self, known: Known, name: &[u8]) -> bool {
        let begins = self.prefixes.iter().any(|start| has_start(name, start));
        begins && !is_of_connection(known) && !is_of_body(name)
    }

    /// Takes them out of what the client sent. What was added before stays.
    pub fn remove(&self, request: Request<'_>, patch: &mut Patch) {
        for (index, field) in request.head.fields.list.iter().enumerate() {
            if self.has(field.known, field.name.of(request.bytes)) {
                patch.remove_at(index);
            }
        }
    }

    /// Takes them out of trailers: lines that end in CRLF.
    pub fn remove_lines(&self, trailers: &mut Vec<u8>) {
        let mut kept = 0;
        let mut start = 0;
        while start < trailers.len() {
            let end = memchr::memchr(b'\n', &trailers[start..]).map_or(trailers.len(), |at| start + at + 1);
            let line = &trailers[start..end];
            let name = memchr::memchr(b':', line).map_or(line, |colon| &line[..colon]);
            if !self.has(Known::of(name), name) {
                trailers.copy_within(start..end, kept);
                kept += end - start;
            }
            start = end;
        }
        trailers.truncate(kept);
    }
}

/// Does the name begin so, as an origin reads it?
pub(super) fn has_start(name: &[u8], start: &[u8]) -> bool {
    name.get(..start.len()).is_some_and(|front| is_same_to_origin(front, start))
}

/// RFC 9110 section 7.6.1, and what the edge writes itself.
pub(super) fn is_of_connection(known: Known) -> bool {
    matches!(
        known,
        Known::Host
            | Known::Underscored
            | Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::ProxyAuthorization
            | Known::Te
            | Known::Trailer
            | Known::TransferEncoding
            | Known::ContentLength
            | Known::Upgrade
            | Known::Expect
            | Known::Http2Settings
            | Known::XForwardedFor
            | Known::XForwardedHost
            | Known::XForwardedProto
            | Known::XForwardedPort
            | Known::Forwarded
            | Known::MaxForwards
    )
}

/// Describes it a body?
pub(super) fn is_of_body(name: &[u8]) -> bool {
    let starts = |start: &[u8]| name.get(..start.len()).is_some_and(|front| front.eq_ignore_ascii_case(start));
    starts(b"content-") || name.eq_ignore_ascii_case(b"digest") || name.eq_ignore_ascii_case(b"range")
}

const fn bit(length: usize) -> u64 {
    1 << if length < 63 { length } else { 63 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::Fixture;

    fn protected() -> Protected {
        let mut protected = Protected::default();
        assert!(protected.is_empty());
        protected.add(b"X-Consumer-Name");
        protected.add(b"x_consumer_name");
        protected.add(&[b'a'; 80]);
        protected.add_prefix(b"x-auth-");
        protected.add_prefix(b"Content-");
        protected
    }

    #[test]
    fn names_are_read_as_an_origin_may_read_them() {
        let (own, long) = (protected(), "A".repeat(80));
        assert!(!own.is_empty() && own.names.len() == 2);
        for (name, held) in [
            ("x-consumer-name", true),
            ("X_CONSUMER-name", true),
            (&long, true),
            ("X_Auth-Anything", true),
            ("x-auth-", true),
            ("x-consumer-names", false),
            ("x-auth", false),
            ("content-type", false),
            ("transfer-encoding", false),
            (&long[..79], false),
            ("", false),
        ] {
            assert_eq!(own.has(Known::of(name.as_bytes()), name.as_bytes()), held, "{name}");
        }
    }

    #[test]
    fn they_leave_head_and_trailers_and_nothing_else_does() {
        let fixture = Fixture::get("/").field("X_Consumer_Name", "root").field("X-Other", "1").field("x-auth-a", "2");
        let mut patch = Patch::default();
        patch.add(b"X-Consumer-Name", b"anna");
        protected().remove(fixture.request(), &mut patch);
        assert_eq!(fixture.left(&patch), [("X-Other".to_owned(), "1".to_owned())]);
        assert_eq!(patch.added().count(), 1, "what a policy added stays");
        for (lines, left) in [
            ("X-Consumer-Name: root\r\n", ""),
            ("a: 1\r\nx-consumer-NAME: root\r\nb: 2\r\n", "a: 1\r\nb: 2\r\n"),
            ("x-auth-x: 1\r\na: x-consumer-name: 1\r\n", "a: x-consumer-name: 1\r\n"),
            ("", ""),
        ] {
            let mut trailers = lines.as_bytes().to_vec();
            protected().remove_lines(&mut trailers);
            assert_eq!(trailers, left.as_bytes(), "{lines:?}");
        }
    }
}
