// SPDX-License-Identifier: Apache-2.0
//! Writes heads and trailers as field blocks, and checks received ones a second time by plain rules.

use crate::base::Rng;
use crate::sim::ledger::{PlannedRequest, PlannedResponse};
use crate::sim::message_io::{ConversationError, Framing, Head};
use crate::sim::tag::{Tag, note};
use crate::wire::h2::Section;
use crate::wire::h2::hpack::{Encoder, Mark};
use crate::wire::h2::section::Pseudo;

/// Connection-specific fields (RFC 9113 section 8.2.2).
const CONNECTION: [&str; 5] = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// A request as its client writes it.
pub(crate) struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Fields.
    pub fields: &'a [(String, String)],
}

impl Request<'_> {
    /// Appends its block.
    pub(crate) fn write(&self, out: &mut Vec<u8>, encoder: &mut Encoder) {
        encoder.begin(out);
        encoder.method(out, self.method.as_bytes());
        encoder.scheme(out, b"http");
        encoder.authority(out, b"origin.test");
        encoder.path(out, self.path.as_bytes());
        fields(out, encoder, self.fields);
    }
}

/// Appends the block of an extended CONNECT for a WebSocket (RFC 8441 section 4).
pub(crate) fn connect(out: &mut Vec<u8>, encoder: &mut Encoder, path: &str, lines: &[(String, String)]) {
    encoder.begin(out);
    encoder.method(out, b"CONNECT");
    encoder.protocol(out, b"websocket");
    encoder.scheme(out, b"http");
    encoder.authority(out, b"origin.test");
    encoder.path(out, path.as_bytes());
    fields(out, encoder, lines);
}

/// Appends a response's block.
pub(crate) fn response(out: &mut Vec<u8>, encoder: &mut Encoder, status: u16, lines: &[(String, String)]) {
    encoder.begin(out);
    encoder.status(out, status);
    fields(out, encoder, lines);
}

/// Appends the block of trailers.
pub(crate) fn trailers(out: &mut Vec<u8>, encoder: &mut Encoder) {
    encoder.begin(out);
    fields(out, encoder, &[("x-trailer".to_owned(), "here".to_owned())]);
}

/// Appends the block of trailers with these fields.
pub(crate) fn last(out: &mut Vec<u8>, encoder: &mut Encoder, lines: &[(String, String)]) {
    encoder.begin(out);
    fields(out, encoder, lines);
}

fn fields(out: &mut Vec<u8>, encoder: &mut Encoder, lines: &[(String, String)]) {
    for (name, value) in lines {
        // Some are sent as never indexed.
        let mark = if value.len() % 5 == 0 { Mark::NeverIndexed } else { Mark::Ordinary };
        encoder.field_in_any_case(out, name.as_bytes(), value.as_bytes(), mark);
    }
}

/// The fields of a request. Some only fill the HPACK tables.
pub(crate) fn request_fields(id: u64, ask: &PlannedRequest, rng: &mut Rng) -> Vec<(String, String)> {
    let mut fields = vec![("x-exchange".to_owned(), id.to_string())];
    fill(&mut fields, id, rng);
    if let Framing::Length(length) = ask.framing {
        fields.push(("content-length".to_owned(), length.to_string()));
    }
    if ask.expects {
        fields.push(("expect".to_owned(), "100-continue".to_owned()));
    }
    if ask.accepts_gzip {
        fields.push(("accept-encoding".to_owned(), "br, gzip;q=0.9".to_owned()));
    }
    if rng.chance(300) {
        fields.push(("te".to_owned(), "trailers".to_owned()));
    }
    fields
}

/// The fields of a response.
pub(crate) fn response_fields(
    tag: Tag,
    ask: &PlannedRequest,
    reply: PlannedResponse,
    rng: &mut Rng,
) -> Vec<(String, String)> {
    let Tag { exchange, attempt } = tag;
    let named = [("x-exchange", exchange.to_string()), ("x-attempt", attempt.to_string())];
    let mut fields: Vec<_> = named.map(|(name, value)| (name.to_owned(), value)).into();
    fields.push(("content-type".to_owned(), "text/plain".to_owned()));
    fields.push(("etag".to_owned(), format!("\"{exchange}\"")));
    fill(&mut fields, exchange, rng);
    match reply.framing {
        Framing::Length(length) => fields.push(("content-length".to_owned(), length.to_string())),
        Framing::Empty if ask.method == "HEAD" => fields.push(("content-length".to_owned(), "12345".to_owned())),
        Framing::Empty | Framing::Chunked | Framing::Close => {}
    }
    fields
}

/// Adds a field that must arrive unchanged, and some that only change the HPACK tables.
fn fill(fields: &mut Vec<(String, String)>, id: u64, rng: &mut Rng) {
    if rng.chance(700) {
        fields.push(("x-note".to_owned(), note(id)));
    }
    for number in 0..rng.below(4) {
        fields.push((format!("x-filler-{number}"), "filler ".repeat(1 + rng.below(20) as usize).trim().to_owned()));
    }
}

/// A request's head in the form of HTTP/1.1: with a start line, and `host` and `:protocol` as fields.
pub(crate) fn read_request(section: &Section) -> Result<Head, ConversationError> {
    let pseudo = |which| pseudo(section, which);
    let (Some(method), Some(path)) = (pseudo(Pseudo::Method)?, pseudo(Pseudo::Path)?) else {
        return Err(ConversationError::Malformed("a request without method or path".to_owned()));
    };
    if pseudo(Pseudo::Scheme)?.as_deref() != Some("http") || pseudo(Pseudo::Status)?.is_some() {
        return Err(ConversationError::Malformed("a request with wrong pseudo-fields".to_owned()));
    }
    let mut fields = read_fields(section)?;
    if let Some(authority) = pseudo(Pseudo::Authority)? {
        // A request may have both, but they must agree (RFC 9113 section 8.3.1).
        if fields.iter().any(|(name, value)| name == "host" && *value != authority) {
            return Err(ConversationError::Malformed("`host` and `:authority` differ".to_owned()));
        }
        fields.retain(|(name, _)| name != "host");
        fields.push(("host".to_owned(), authority));
    }
    if let Some(protocol) = pseudo(Pseudo::Protocol)? {
        fields.push((":protocol".to_owned(), protocol));
    }
    Ok(Head { start: format!("{method} {path} HTTP/1.1"), fields })
}

/// A response's head in the form of HTTP/1.1, with a status line.
pub(crate) fn read_response(section: &Section) -> Result<Head, ConversationError> {
    let Some(status) = pseudo(section, Pseudo::Status)? else {
        return Err(ConversationError::Malformed("an answer without a status".to_owned()));
    };
    if pseudo(section, Pseudo::Path)?.is_some() || pseudo(section, Pseudo::Method)?.is_some() {
        return Err(ConversationError::Malformed("an answer with a request's pseudo-fields".to_owned()));
    }
    Ok(Head { start: format!("HTTP/1.1 {status} "), fields: read_fields(section)? })
}

/// Trailers.
pub(crate) fn read_trailers(section: &Section) -> Result<Vec<(String, String)>, ConversationError> {
    for (which, name) in Pseudo::ALL {
        if section.pseudo(which).is_some() {
            return Err(ConversationError::Malformed(format!("{} in trailers", String::from_utf8_lossy(name))));
        }
    }
    read_fields(section)
}

fn pseudo(section: &Section, which: Pseudo) -> Result<Option<String>, ConversationError> {
    section.pseudo(which).map(|span| text(span.of(&section.bytes))).transpose()
}

fn read_fields(section: &Section) -> Result<Vec<(String, String)>, ConversationError> {
    let mut fields = Vec::new();
    for field in &section.fields.list {
        let (name, value) = (text(field.name.of(&section.bytes))?, text(field.value.of(&section.bytes))?);
        let proper = !name.is_empty() && !name.contains(|letter: char| letter.is_ascii_uppercase() || letter == ':');
        let clean = !value.contains(['\r', '\n', '\0']) && value.trim_matches([' ', '\t']) == value;
        let te = name != "te" || value == "trailers";
        if !proper || !clean || !te || CONNECTION.contains(&&*name) {
            return Err(ConversationError::Malformed(format!(
                "a field that HTTP/2 does not have: {name:?}: {value:?}"
            )));
        }
        fields.push((name, value));
    }
    Ok(fields)
}

fn text(bytes: &[u8]) -> Result<String, ConversationError> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| ConversationError::Malformed(format!("a field that is no text: {bytes:?}")))
}
