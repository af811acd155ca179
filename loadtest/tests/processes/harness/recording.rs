// SPDX-License-Identifier: Apache-2.0
//! Origins that record every byte, each behind a listener of its own, for streams that mean to be read in two ways.

use std::fmt::Write;
use std::sync::Arc;

use super::{Gateway, Origin, Setup};

/// A field of every answer of these origins, which tells it from the gateway's own.
pub const MARK: &str = "x-from-the-origin";

/// So many origins, and one gateway whose listeners `l0`, `l1`, … lead to them; `listener` is a line of each. There are
/// no second tries: a byte that is sent twice would be two readings.
pub fn recorders(count: usize, listener: &str) -> (Vec<Origin>, Gateway) {
    let origins: Vec<Origin> = (0..count).map(|_| recorder()).collect();
    let mut text = String::new();
    for (number, origin) in origins.iter().enumerate() {
        let _ = writeln!(
            text,
            "[[listener]]\nname = \"l{number}\"\nbind = \"127.0.1.{number}:0\"\n{listener}\n\
             [upstream.o{number}]\nendpoints = \"{}\"\noutlier = false\n\
             [[route]]\nname = \"r{number}\"\nlisteners = \"l{number}\"\nto = \"o{number}\"\nretry = {{ tries = 1 }}\n\
             limits = {{ body = \"8MiB\" }}\n",
            origin.address
        );
    }
    let gateway = Setup::new(text).log("").start();
    (origins, gateway)
}

fn recorder() -> Origin {
    Origin::with(|peer| {
        loop {
            let request = peer.request()?;
            let length = if request.method == "HEAD" { "" } else { "Content-Length: 0\r\n" };
            peer.send(format!("HTTP/1.1 200 OK\r\n{MARK}: 1\r\n{length}\r\n"));
        }
    })
}

/// What the origin received since the last time, by connection.
pub fn taken(origin: &Origin) -> Vec<Vec<u8>> {
    let mut streams = origin.seen.streams.lock().expect("no worker panics with it");
    let bytes: Vec<Vec<u8>> =
        streams.iter().map(|stream| std::mem::take(&mut *stream.lock().expect("no worker panics with it"))).collect();
    streams.retain(|stream| Arc::strong_count(stream) > 1);
    bytes.into_iter().filter(|bytes| !bytes.is_empty()).collect()
}
