// SPDX-License-Identifier: Apache-2.0
//! A request's head as the simulator's clients of HTTP/1 write it.

use crate::sim::ledger::PlannedRequest;
use crate::sim::message_io::Framing;

/// Whether a head has a hop-by-hop field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HopField {
    /// It has.
    Present,
    /// It has not.
    Absent,
}

/// A request's head, perhaps with a hop-by-hop field.
pub(super) fn head(id: u64, ask: &PlannedRequest, hop: HopField) -> String {
    let version = if ask.old { "1.0" } else { "1.1" };
    let path = ask.to.path(id);
    let mut head = format!("{} {path} HTTP/{version}\r\nHost: origin.test\r\nX-Exchange: {id}\r\n", ask.method);
    match ask.framing {
        Framing::Length(length) => head.push_str(&format!("Content-Length: {length}\r\n")),
        Framing::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
        Framing::Empty | Framing::Close => {}
    }
    if ask.expects {
        head.push_str("Expect: 100-continue\r\n");
    }
    if ask.accepts_gzip {
        head.push_str("Accept-Encoding: br, gzip;q=0.9\r\n");
    }
    if ask.upgrades {
        head.push_str("Connection: upgrade\r\nUpgrade: tagged\r\n");
    } else if ask.last && !ask.old {
        head.push_str("Connection: close\r\n");
    } else if hop == HopField::Present {
        head.push_str("Connection: x-hop\r\nX-Hop: from a client\r\n");
    }
    head + "\r\n"
}
