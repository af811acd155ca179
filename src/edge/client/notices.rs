// SPDX-License-Identifier: Apache-2.0
//! Tells the operator of clients that do not come through: failed TLS handshakes and malformed requests.
//!
//! A flood of them costs a counter each; a few notices a second leave (`Allowance`).

use crate::base::limits::OFFENDING_BYTES_MAX;
use crate::config::plan::ListenerPlan;
use crate::edge::exchange::peer::Peer;
use crate::edge::shard::state::Shard;
use crate::link::{FromShard, Notice};
use crate::net::Net;
use crate::net::tls::Failure;
use crate::wire::h1::{Caps, request};

/// A client and the listener it came to.
#[derive(Clone, Copy)]
pub(super) struct Who<'a, N: Net> {
    /// The shard.
    pub shard: &'a Shard<N>,
    /// The listener.
    pub listener: &'a ListenerPlan,
    /// The client.
    pub peer: &'a Peer,
}

impl<N: Net> Who<'_, N> {
    /// The TLS handshake failed.
    #[cold]
    pub(super) fn handshake_failed(self, failure: Failure) {
        let Some(left_out) = self.shard.handshake_notices.take(self.shard.thread.net.now()) else { return };
        let cause = failure.words().into();
        self.shard.tell(FromShard::Notice(Box::new(Notice::Handshake {
            listener: self.listener.name.clone(),
            client: self.client(),
            server_name: failure.server_name,
            cause,
            left_out,
        })));
    }

    /// `bytes` begin with a head of HTTP/1 that was refused.
    #[cold]
    pub(super) fn malformed_http1(self, bytes: &[u8], caps: &Caps) {
        let Some(left_out) = self.shard.malformed_notices.take(self.shard.thread.net.now()) else { return };
        let (rule, at) = request::broken_rule(bytes, caps);
        self.malformed("HTTP/1.1", rule, excerpt(bytes, at), left_out);
    }

    /// A message or connection of HTTP/2 broke `rule`. Its fields are not shown: they are decoded, and the bytes that
    /// the client sent are gone.
    #[cold]
    pub(super) fn malformed_http2(self, rule: &'static str) {
        let Some(left_out) = self.shard.malformed_notices.take(self.shard.thread.net.now()) else { return };
        self.malformed("HTTP/2.0", rule, Box::from("-"), left_out);
    }

    fn malformed(self, protocol: &'static str, rule: &'static str, bytes: Box<str>, left_out: u64) {
        self.shard.tell(FromShard::Notice(Box::new(Notice::Malformed {
            listener: self.listener.name.clone(),
            client: self.client(),
            protocol,
            rule,
            bytes,
            left_out,
        })));
    }

    fn client(self) -> Box<str> {
        String::from_utf8_lossy(&self.peer.text).into()
    }
}

/// The bytes around `at`, or the first ones, escaped.
fn excerpt(bytes: &[u8], at: Option<usize>) -> Box<str> {
    let from = at.map_or(0, |at| at.saturating_sub(OFFENDING_BYTES_MAX / 2)).min(bytes.len());
    let to = bytes.len().min(from + OFFENDING_BYTES_MAX);
    bytes[from..to].escape_ascii().to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_escaped_and_around_the_offending_byte() {
        let bytes = [b"a".repeat(500), b"\x1b\r\n".to_vec(), b"b".repeat(500)].concat();
        let half = OFFENDING_BYTES_MAX / 2;
        let shown = excerpt(&bytes, Some(500));
        assert_eq!(&*shown, format!("{}\\x1b\\r\\n{}", "a".repeat(half), "b".repeat(half - 3)));
        assert_eq!(&*excerpt(b"GET /", Some(90)), "");
        assert_eq!(&*excerpt(b"GET /", None), "GET /");
    }
}
