// SPDX-License-Identifier: Apache-2.0
//! Hot. Formats a record as an access-log line, and buffers the lines for the control plane.
//!
//! Lines are written straight into the shard's log buffer, which goes to the control plane when it is large enough or
//! old enough. Where the control plane is behind, whole lines are dropped and counted; a shard never waits for a log.

use std::cell::{Cell, RefCell};

use crate::base::Wall;
use crate::base::ascii::{push_decimal, two_digits};
use crate::base::date::{self, RFC3339_LEN, Rfc3339Cache};
use crate::base::marks::{self, Escaped};
use crate::config::plan::{LogEscape, LogField, LogFormat, LogPiece, Plan};
use crate::edge::shard::escape;
use crate::edge::shard::record::Record;
use crate::link::{Counter, Counters, FromShard, Outbox};
use crate::wire::grpc::Code;
use crate::wire::template::{Lookup, Variable};

/// Lines are sent on when there are this many bytes of them.
const FLUSH_BYTES: usize = 48 * 1024;
/// Memory of one log buffer: a line that crosses `FLUSH_BYTES` still fits.
const BUFFER_BYTES: usize = 64 * 1024;

/// The texts of a line, which the exchange still holds; the rest comes from the record.
pub(crate) struct Line<'a> {
    /// The record.
    pub record: &'a Record,
    /// The client's address as text; nothing in it is escaped.
    pub client: &'a [u8],
    /// Method, as sent: a token, or empty where there was no valid head.
    pub method: &'a [u8],
    /// Target, as sent.
    pub target: &'a [u8],
    /// `HTTP/1.1` and the like.
    pub protocol: &'static str,
    /// Host, as sent.
    pub host: &'a [u8],
    /// `User-Agent`.
    pub user_agent: &'a [u8],
    /// `Referer`.
    pub referer: &'a [u8],
    /// The route's name.
    pub route: &'a str,
    /// The upstream's name.
    pub upstream: &'a str,
    /// The endpoint's name.
    pub endpoint: &'a str,
    /// The request's id, validated or our own.
    pub request_id: &'a [u8],
    /// The consumer's name.
    pub consumer: &'a str,
    /// The version of an API.
    pub version: &'a str,
    /// The subject of the client's certificate.
    pub client_certificate: &'a str,
    /// Time of the end.
    pub wall: Wall,
    /// Microseconds in all.
    pub micros: u64,
}

/// A shard's access log on its way.
#[derive(Debug, Default)]
pub(crate) struct LogSink {
    buffer: RefCell<Vec<u8>>,
    time: RefCell<Rfc3339Cache>,
    lines: Cell<u64>,
    wanted: Cell<bool>,
}

impl LogSink {
    /// Follows a new plan.
    pub(crate) fn configure(&self, plan: &Plan) {
        self.wanted.set(plan.access_log.is_some());
    }

    /// Writes one line.
    pub(crate) fn write(&self, format: &LogFormat, line: &Line<'_>, lookup: &impl Lookup) {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.capacity() == 0 {
            buffer.reserve(BUFFER_BYTES);
        }
        match format {
            LogFormat::Json(fields) => {
                json(&mut buffer, line, self.time.borrow_mut().text(line.wall));
                more_fields(&mut buffer, fields, line, lookup);
                buffer.push(b'}');
            }
            LogFormat::Combined => combined(&mut buffer, line),
            LogFormat::Template(template) => {
                let lookup = Escaping { lookup, escape: template.escape };
                template.pieces.iter().for_each(|piece| write_piece(&mut buffer, piece, line, &lookup));
            }
        }
        buffer.push(b'\n');
        self.lines.set(self.lines.get() + 1);
    }

    /// Sends lines on where there are enough.
    pub(crate) fn flush_if_full(&self, outbox: &Outbox, counters: &Counters) {
        if self.buffer.borrow().len() >= FLUSH_BYTES {
            self.flush(outbox, counters);
        }
    }

    /// Sends lines on. Where the control plane is behind they are dropped and counted.
    pub(crate) fn flush(&self, outbox: &Outbox, counters: &Counters) {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.is_empty() {
            return;
        }
        let lines = self.lines.take();
        let full = std::mem::take(&mut *buffer);
        match outbox.send(FromShard::LogLines(full)) {
            Ok(()) => {}
            Err(refused) => {
                counters.add(Counter::LogLinesDropped, lines);
                if let FromShard::LogLines(mut unsent) = *refused {
                    unsent.clear();
                    *buffer = unsent;
                }
            }
        }
    }
}

/// All but the closing brace.
fn json(out: &mut Vec<u8>, line: &Line<'_>, time: &[u8; RFC3339_LEN]) {
    let record = line.record;
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(time);
    plain_field(out, b"\",\"client\":\"", line.client);
    plain_field(out, b"\",\"method\":\"", line.method);
    text_field(out, b"\",\"host\":\"", line.host);
    text_field(out, b"\",\"target\":\"", line.target);
    plain_field(out, b"\",\"protocol\":\"", line.protocol.as_bytes());
    number_field(out, b"\",\"status\":", u64::from(record.status));
    if let Some(code) = record.grpc {
        text_field(out, b",\"grpc_status\":\"", code.name().as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(b",\"duration_ms\":");
    millis(out, line.micros);
    number_field(out, b",\"bytes_received\":", record.received.get());
    number_field(out, b",\"bytes_sent\":", record.sent.get());
    text_field(out, b",\"route\":\"", line.route.as_bytes());
    if record.upstream.is_some() {
        text_field(out, b"\",\"upstream\":\"", line.upstream.as_bytes());
        text_field(out, b"\",\"endpoint\":\"", line.endpoint.as_bytes());
        number_field(out, b"\",\"tries\":", u64::from(record.tries));
        optional_millis(out, b",\"connect_ms\":", record.connect_us);
        optional_millis(out, b",\"first_byte_ms\":", record.first_byte_us);
    } else {
        out.push(b'"');
    }
    if !line.request_id.is_empty() {
        plain_field(out, b",\"request_id\":\"", line.request_id);
        out.push(b'"');
    }
    optional_text(out, b",\"consumer\":\"", line.consumer.as_bytes());
    optional_text(out, b",\"version\":\"", line.version.as_bytes());
    optional_text(out, b",\"client_certificate\":\"", line.client_certificate.as_bytes());
    optional_text(out, b",\"reason\":\"", record.reason().unwrap_or("").as_bytes());
    optional_text(out, b",\"detail\":\"", record.detail().as_bytes());
    optional_text(out, b",\"reported\":\"", record.reported.unwrap_or("").as_bytes());
    if record.aborted {
        out.extend_from_slice(b",\"aborted\":true");
    }
    optional_text(out, b",\"user_agent\":\"", line.user_agent);
    optional_text(out, b",\"referer\":\"", line.referer);
}

/// Fields of the operator's own.
fn more_fields(out: &mut Vec<u8>, fields: &[LogField], line: &Line<'_>, lookup: &impl Lookup) {
    for LogField { opening, value } in fields {
        out.extend_from_slice(opening);
        let lookup = Escaping { lookup, escape: value.escape };
        value.pieces.iter().for_each(|piece| write_piece(out, piece, line, &lookup));
        out.push(b'"');
    }
}

/// A text that has nothing to escape: an address, a token (RFC 9110 section 5.6.2), or an id that was validated.
#[inline]
fn plain_field<const LEN: usize>(out: &mut Vec<u8>, key: &[u8; LEN], text: &[u8]) {
    debug_assert!(marks::find::<Escaped>(text).is_none());
    out.extend_from_slice(key);
    out.extend_from_slice(text);
}

/// Keys are arrays, so that copying one is a few moves instead of a call.
#[inline]
fn text_field<const LEN: usize>(out: &mut Vec<u8>, key: &[u8; LEN], text: &[u8]) {
    out.extend_from_slice(key);
    escape::json(out, text);
}

#[inline]
fn optional_text<const LEN: usize>(out: &mut Vec<u8>, key: &[u8; LEN], text: &[u8]) {
    if !text.is_empty() {
        text_field(out, key, text);
        out.push(b'"');
    }
}

#[inline]
fn number_field<const LEN: usize>(out: &mut Vec<u8>, key: &[u8; LEN], number: u64) {
    out.extend_from_slice(key);
    push_decimal(out, number);
}

#[inline]
fn optional_millis<const LEN: usize>(out: &mut Vec<u8>, key: &[u8; LEN], micros: Option<u64>) {
    if let Some(micros) = micros {
        out.extend_from_slice(key);
        millis(out, micros);
    }
}

/// Milliseconds with three digits behind the point.
fn millis(out: &mut Vec<u8>, micros: u64) {
    push_decimal(out, micros / 1_000);
    fraction(out, (micros % 1_000) as u32);
}

/// Seconds with three digits behind the point.
fn seconds(out: &mut Vec<u8>, micros: u64) {
    push_decimal(out, micros / 1_000_000);
    fraction(out, (micros / 1_000 % 1_000) as u32);
}

fn fraction(out: &mut Vec<u8>, thousandths: u32) {
    let [tens, ones] = two_digits(thousandths);
    out.extend_from_slice(&[b'.', b'0' + (thousandths / 100) as u8, tens, ones]);
}

/// `client - consumer [time] "request" status bytes "referer" "user agent"`.
fn combined(out: &mut Vec<u8>, line: &Line<'_>) {
    out.extend_from_slice(line.client);
    out.extend_from_slice(b" - ");
    or_dash(out, line.consumer.as_bytes());
    out.extend_from_slice(b" [");
    out.extend_from_slice(&date::clf(line.wall));
    out.extend_from_slice(b"] \"");
    escape::hex(out, line.method);
    out.push(b' ');
    escape::hex(out, line.target);
    out.push(b' ');
    out.extend_from_slice(line.protocol.as_bytes());
    out.extend_from_slice(b"\" ");
    push_decimal(out, u64::from(line.record.status));
    out.push(b' ');
    push_decimal(out, line.record.sent.get());
    out.extend_from_slice(b" \"");
    or_dash(out, line.referer);
    out.extend_from_slice(b"\" \"");
    or_dash(out, line.user_agent);
    out.push(b'"');
}

fn or_dash(out: &mut Vec<u8>, text: &[u8]) {
    if text.is_empty() {
        out.push(b'-');
    } else {
        escape::hex(out, text);
    }
}

/// Gives the values of variables as a text log writes them.
struct Escaping<'a, L> {
    lookup: &'a L,
    escape: LogEscape,
}

impl<L: Lookup> Lookup for Escaping<'_, L> {
    fn append(&self, variable: &Variable, out: &mut Vec<u8>) {
        let start = out.len();
        self.lookup.append(variable, out);
        escape::appended(out, start, self.escape);
    }
}

/// One piece of a template. The values that only logs have need no escape, but may be absent.
fn write_piece<L: Lookup>(out: &mut Vec<u8>, piece: &LogPiece, line: &Line<'_>, lookup: &Escaping<'_, L>) {
    let record = line.record;
    let absent = escape::absent(lookup.escape);
    match piece {
        LogPiece::Text(template) => template.render(lookup, out),
        LogPiece::Duration => seconds(out, line.micros),
        LogPiece::FirstByte => optional_seconds(out, record.first_byte_us, absent),
        LogPiece::Connect => optional_seconds(out, record.connect_us, absent),
        LogPiece::BytesSent => push_decimal(out, record.sent.get()),
        LogPiece::BytesReceived => push_decimal(out, record.received.get()),
        LogPiece::GrpcStatus => or_absent(out, record.grpc.map_or("", Code::name), absent),
        LogPiece::Reason => or_absent(out, record.reason().unwrap_or(""), absent),
        LogPiece::Detail => or_absent(out, record.detail(), absent),
        LogPiece::Reported => or_absent(out, record.reported.unwrap_or(""), absent),
        LogPiece::Time => out.extend_from_slice(&date::rfc3339(line.wall)),
        LogPiece::TimeCommon => out.extend_from_slice(&date::clf(line.wall)),
        LogPiece::Tries => push_decimal(out, u64::from(record.tries)),
    }
}

fn optional_seconds(out: &mut Vec<u8>, micros: Option<u64>, absent: &str) {
    match micros {
        Some(micros) => seconds(out, micros),
        None => out.extend_from_slice(absent.as_bytes()),
    }
}

fn or_absent(out: &mut Vec<u8>, text: &str, absent: &str) {
    out.extend_from_slice(if text.is_empty() { absent } else { text }.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{FaultKind, UpstreamId};
    use crate::config::plan::JSON_FIELDS;

    fn sample(record: &Record) -> Line<'_> {
        Line {
            record,
            client: b"10.0.0.1",
            method: b"GET",
            target: b"/a\"b\xff",
            protocol: "HTTP/1.1",
            host: b"h",
            user_agent: b"",
            referer: b"",
            route: "r",
            upstream: "u",
            endpoint: "e:1",
            request_id: b"",
            consumer: "",
            version: "",
            client_certificate: "",
            wall: Wall(784_111_777_000_000),
            micros: 1_234_567,
        }
    }

    fn line_of(out: &mut Vec<u8>, line: &Line<'_>) {
        json(out, line, &date::rfc3339(line.wall));
        out.push(b'}');
    }

    #[test]
    fn json_lines_are_json_whatever_the_client_sends() {
        let record = Record { upstream: Some(UpstreamId(0)), status: 200, ..Record::default() };
        let mut out = Vec::new();
        line_of(&mut out, &sample(&record));
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["target"], "/a\"b\u{ff}");
        assert_eq!(value["duration_ms"], 1234.567);
        assert!(value.as_object().unwrap().keys().all(|name| JSON_FIELDS.split(' ').any(|known| known == name)));
        let plain = Record { fault: Some(FaultKind::NoRoute), ..Record::default() };
        out.clear();
        line_of(&mut out, &sample(&plain));
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["reason"], "no_route");
        assert!(value.get("grpc_status").is_none());
        let reported = Record { reported: Some("rate_limited"), ..Record::default() };
        out.clear();
        line_of(&mut out, &sample(&reported));
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["reported"], "rate_limited");
        let call = Record { grpc: Some(Code::NotFound), ..Record::default() };
        out.clear();
        line_of(&mut out, &sample(&call));
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["grpc_status"], "NOT_FOUND");
    }

    #[test]
    fn combined_lines_are_what_log_tools_read() {
        let record = Record { status: 200, ..Record::default() };
        let mut out = Vec::new();
        combined(&mut out, &sample(&record));
        let expected = "10.0.0.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /a\\x22b\\xFF HTTP/1.1\" 200 0 \"-\" \"-\"";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
