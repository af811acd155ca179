//! The outside cases of `../shared/data` driven through the parsers: what is accepted, with which status the rest is
//! refused, and that what is forwarded has one reading.
//!
//! The data are not part of the project; where they are absent the tests say so and pass.

mod compliance;
mod sections;
mod smuggling;

use std::path::{Path, PathBuf};

use crate::base::FaultKind;
use crate::wire::check;
use crate::wire::grpc;
use crate::wire::h1::body::Body;
use crate::wire::h1::{Caps, Parsed, request};
use crate::wire::head::RequestHead;
use crate::wire::target::{self, PathRules};
use crate::wire::ws;

/// The text of a data file, if it is there: beside the project, or one folder further up for a second worktree.
fn data(name: &str) -> Option<String> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = project.ancestors().skip(1).take(2).map(|folder| folder.join("shared/data").join(name));
    let text = places.into_iter().find_map(|path| std::fs::read_to_string(path).ok());
    if text.is_none() {
        println!("skipped: ../shared/data/{name} is not there");
    }
    text
}

/// The data write bytes as characters below 256.
fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|char| u8::try_from(u32::from(char)).expect("a byte")).collect()
}

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
    match body.advance(raw) {
        Err(kind) => (Message::Refused(kind), stream.len()),
        Ok(found) if found.done => {
            let body = raw[..found.raw].to_vec();
            let message = Message::Forwarded { head: forwarded, body, keep_alive: head.keep_alive };
            (message, head.len + found.raw)
        }
        Ok(_) => (Message::PartialBody, stream.len()),
    }
}

/// Every seed of a fuzz target, if the folder is there.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|_| panic!("no seeds in {}", folder.display()));
    entries.map(|entry| std::fs::read(entry.expect("a seed").path()).expect("a seed")).collect()
}

#[test]
fn fuzz_seeds() {
    type Check = fn(&[u8]);
    let targets: [(&str, Check); 12] = [
        ("head", check::head),
        ("response", check::response_head),
        ("chunk", check::chunked),
        ("target", check::target),
        ("proxy", check::proxy),
        ("forwarded", check::forwarded),
        ("blocks", check::blocks),
        ("frames", check::frames),
        ("grpc_body", grpc::check::body),
        ("grpc_json", grpc::check::transcoded),
        ("grpc_load", grpc::check::loaded),
        ("websocket", ws::check::frames),
    ];
    for (target, check) in targets {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{target} has no seeds");
        seeds.iter().for_each(|seed| check(seed));
    }
}
