//! `smuggling-h1.jsonl`: hostile streams. Every one that must be rejected is, and what is forwarded of the others is
//! written by us, so that it has one reading (`check::rewritten` asks three parsers).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Message, bytes, data, messages};

#[derive(Deserialize)]
struct Stream {
    id: String,
    src: String,
    raw: String,
    expect: Option<String>,
}

/// Streams that their collection calls acceptable and we refuse, each with the reason.
const STRICTER: &[(&str, &str)] = &[
    ("llhttp-uri-03-request+host", "absolute-form names another host than Host"),
    ("llhttp-uri-08-request+host", "a fragment in the target"),
    ("llhttp-content-length-01-request+host", "leading zeros in a length"),
    ("llhttp-content-length-02-request+host", "leading zeros in a length"),
    ("llhttp-transfer-encoding-06-request+host", "`Vary` and `Content-Type` as trailers"),
    ("llhttp-transfer-encoding-20-request+host", "a transfer coding besides chunked (501)"),
    ("llhttp-transfer-encoding-21-request+host", "a transfer coding besides chunked, on two lines"),
    ("llhttp-pipelining-01-request+host", "no Host in the second request"),
    ("llhttp-sample-10-request", "HTTP/0.9"),
    ("llhttp-method-12-request", "ICE is not HTTP"),
    ("llhttp-method-13-request", "RTSP is not HTTP"),
    ("llhttp-method-14-request", "RTSP is not HTTP"),
    ("desync-more-compliant-tests-05", "a transfer coding besides chunked (501)"),
    ("desync-more-compliant-tests-07", "a transfer coding besides chunked (501)"),
    ("desync-more-compliant-tests-08", "a transfer coding besides chunked, on five lines"),
    ("desync-more-compliant-tests-09", "a parameter of chunked"),
    ("desync-rfc-compliant-08", "a transfer coding besides chunked, on five lines"),
    ("desync-rfc-compliant-09", "a transfer coding besides chunked (501)"),
    ("desync-rfc-compliant-10", "a transfer coding besides chunked, on three lines"),
    ("desync-rfc-compliant-11", "a fragment in the target"),
    ("desync-rfc-compliant-12", "raw UTF-8 in the target"),
    ("desync-rfc-compliant-13", "an empty target"),
    ("desync-uri-specific-test-cases-10", "%09 in a path"),
    ("desync-uri-specific-test-cases-12", "%0D in a path"),
    ("desync-uri-specific-test-cases-13", "%0A in a path"),
];

#[test]
fn streams() {
    let Some(text) = data("smuggling-h1.jsonl") else { return };
    let streams: Vec<Stream> = text.lines().map(|line| serde_json::from_str(line).expect("a stream")).collect();
    assert!(streams.len() > 2_000);
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for stream in &streams {
        let messages = messages(&bytes(&stream.raw));
        messages.iter().for_each(|message| read_alike(&stream.id, message));
        let ending = ending(&messages);
        let family = stream.src.as_str();
        *counts.entry((family, ending)).or_default() += 1;
        let listed = STRICTER.iter().any(|(id, _)| *id == stream.id);
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
