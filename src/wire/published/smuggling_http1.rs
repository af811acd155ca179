// SPDX-License-Identifier: Apache-2.0
//! `smuggling-h1.jsonl`: hostile streams. Every one that must be rejected is, and what is forwarded of the others is
//! written by us, so that it has one reading (`check::rewritten` asks three parsers).

use std::collections::BTreeMap;

use super::cases::{bytes, smuggling_streams};
use super::{Message, messages};

#[test]
fn hostile_streams_are_refused_or_have_one_meaning() {
    let Some(streams) = smuggling_streams() else { return };
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for stream in &streams {
        let messages = messages(&bytes(&stream.raw));
        messages.iter().for_each(|message| read_alike(&stream.id, message));
        let ending = ending(&messages);
        let family = stream.src.as_str();
        *counts.entry((family, ending)).or_default() += 1;
        let listed = stream.rightly_refused();
        match stream.expect.as_deref() {
            Some("reject") if ending == "forwarded" => wrong.push(format!("accepted: {}", stream.id)),
            Some("accept") if ending == "refused" && !listed => wrong.push(format!("refused: {}", stream.id)),
            Some("accept") if ending != "refused" && listed => wrong.push(format!("not refused: {}", stream.id)),
            _ => {}
        }
    }
    for ((family, ending), count) in counts {
        println!("{family:32} {ending:10} {count}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// How the connection ended: a stream counts as forwarded only where every message of it was.
fn ending(messages: &[Message]) -> &'static str {
    match messages.last() {
        Some(Message::Forwarded { .. }) | None => "forwarded",
        Some(Message::Refused(_)) => "refused",
        Some(Message::Unread) => "cut off",
        Some(Message::PartialHead | Message::PartialBody) => "waiting",
    }
}

/// What is forwarded is, to a second gateway, exactly the same one message.
fn read_alike(id: &str, message: &Message) {
    let Message::Forwarded { head, body, .. } = message else { return };
    let again = messages(&[&head[..], body].concat());
    let [Message::Forwarded { head: second, body: content, keep_alive: true }] = &again[..] else {
        panic!("{id}: forwarded in a form that we would not take");
    };
    assert_eq!(content, body, "{id}");
    let added = b"Via: 1.1 turnpike\r\n";
    assert_eq!(second.len(), head.len() + added.len(), "{id}");
}
