// SPDX-License-Identifier: Apache-2.0
//! The cases that others published, driven through the parsers: what is accepted, with which status the rest is
//! refused, and that what is forwarded has one reading.

pub(crate) mod cases;
mod http11_cases;
mod smuggling_http1;
mod smuggling_http2;

use crate::base::FaultKind;
use crate::wire::check;
use crate::wire::h1::body::Body;
use crate::wire::h1::{Caps, Parsed, request};
use crate::wire::head::RequestHead;
use crate::wire::target::{self, PathRules};

/// One message of a stream, as the gateway would take it.
enum Message {
    /// It is complete: what would be forwarded, and whether the connection goes on.
    Forwarded { head: Vec<u8>, body: Vec<u8>, keep_alive: bool },
    /// It is refused, and the connection closed.
    Refused(FaultKind),
    /// The head is not complete: nothing is forwarded.
    PartialHead,
    /// The head is forwarded, the body is not complete.
    PartialBody,
    /// Bytes behind the last message of a connection, which nobody reads.
    Unread,
}

/// Takes a stream of requests apart, up to the first that ends it.
fn messages(mut stream: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    loop {
        let (message, len) = first(stream);
        let closes = matches!(message, Message::Forwarded { keep_alive: false, .. });
        messages.push(message);
        stream = &stream[len..];
        if stream.is_empty() {
            return messages;
        }
        if closes {
            messages.push(Message::Unread);
            return messages;
        }
    }
}

fn first(stream: &[u8]) -> (Message, usize) {
    let mut head = RequestHead::default();
    match request::parse(stream, &Caps::default(), &mut head) {
        Ok(Parsed::Partial) => return (Message::PartialHead, stream.len()),
        Ok(Parsed::Complete) => {}
        Err(kind) => return (Message::Refused(kind), stream.len()),
    }
    if !head.path.is_empty()
        && let Err(kind) = target::normalise(head.path.of(stream), &PathRules::default(), &mut Vec::new())
    {
        return (Message::Refused(kind), stream.len());
    }
    let forwarded = check::rewritten(&stream[..head.len], &head);
    let mut body = Body::request(head.body);
    let raw = &stream[head.len..];
    match body.decode(&mut raw.to_vec(), &mut Vec::new()) {
        Err(kind) => (Message::Refused(kind), stream.len()),
        Ok(found) if found.done => {
            let body = raw[..found.consumed].to_vec();
            let message = Message::Forwarded { head: forwarded, body, keep_alive: head.keep_alive };
            (message, head.len + found.consumed)
        }
        Ok(_) => (Message::PartialBody, stream.len()),
    }
}
