//! Hot. Heads into bytes (RFC 9112 sections 2 to 6), from what was received, a patch, and the gateway's own decisions.
//!
//! Invariants: the framing fields come from `BodyLength` and nowhere else; there is exactly one `Host` and it is
//! first; nothing about the connection a message came on is passed on (`hop`); runs of lines that stay are copied
//! whole, which is safe because the parsers only accept lines that have one reading.

use crate::base::Span;
use crate::base::ascii::{decimal, push_decimal};
use crate::base::date::IMF_LEN;
use crate::wire::field::{Known, KnownSet};
use crate::wire::h1::framing;
use crate::wire::head::{BodyLength, Field, Fields, Method, Request, Response, Version};
use crate::wire::patch::Patch;
use crate::wire::{hop, status};

/// What becomes of the connection behind a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It carries the next message.
    KeepAlive,
    /// It is closed.
    Close,
    /// It leaves HTTP; the received `Upgrade` field is passed on.
    Upgrade,
}

/// Which host a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostHeader<'a> {
    /// The one the client named.
    Received,
    /// This one.
    Is(&'a [u8]),
}

/// A request as it goes to an upstream.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingRequest<'a> {
    /// What was received. Its fields go on, but for those about the connection.
    pub request: Request<'a>,
    /// The method, nearly always `request.method_text()`.
    pub method: &'a [u8],
    /// The target: origin-form, or `*`.
    pub target: &'a [u8],
    /// The host. A request of HTTP/1.0 may have named none, and then one must be given.
    pub host: HostHeader<'a>,
    /// Fields removed and added.
    pub patch: &'a Patch,
    /// How the body is sent; never `UntilClose`.
    pub body: BodyLength,
    /// What becomes of the connection.
    pub after: After,
    /// Our name for `Via` (RFC 9110 section 7.6.3); `None` leaves it out.
    pub via: Option<&'a [u8]>,
}

/// A response as it goes to a client of HTTP/1.0 or 1.1.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingResponse<'a> {
    /// What was received, or a head of ours with a status and no fields.
    pub response: Response<'a>,
    /// Fields removed and added.
    pub patch: &'a Patch,
    /// How the body is sent: what `framing::to_client` says.
    pub body: BodyLength,
    /// The request's method.
    pub method: Method,
    /// The client's version.
    pub client: Version,
    /// What becomes of the connection.
    pub after: After,
    /// Now, for a missing `Date`.
    pub date: &'a [u8; IMF_LEN],
    /// Our name for `Via`; `None` leaves it out.
    pub via: Option<&'a [u8]>,
}

const CRLF: &[u8] = b"\r\n";

/// Room for the lines that we add to a head.
const OWN_LINES: usize = 256;

/// Fields of a request that are never copied: those about the connection, those that are made anew, credentials for us,
/// and names that an origin could take for others.
const REQUEST_DROPS: KnownSet =
    hop::HOP_BY_HOP.or(KnownSet::of(&[Known::Host, Known::ProxyAuthorization, Known::Underscored]));

/// Appends a request's head.
pub fn request(out: &mut Vec<u8>, outgoing: &OutgoingRequest<'_>) {
    let OutgoingRequest { request, patch, .. } = *outgoing;
    let head = request.head;
    debug_assert_ne!(outgoing.body, BodyLength::UntilClose);
    out.reserve(head.len + outgoing.target.len() + OWN_LINES);
    extend(out, &[outgoing.method, b" ", outgoing.target, b" HTTP/1.1\r\nHost: "]);
    match outgoing.host {
        HostHeader::Received => out.extend_from_slice(request.authority()),
        HostHeader::Is(host) => out.extend_from_slice(host),
    }
    out.extend_from_slice(CRLF);

    let mut drops = REQUEST_DROPS;
    if !head.expects_continue {
        drops.insert(Known::Expect);
    }
    if outgoing.body != BodyLength::Chunked {
        drops.insert(Known::Trailer);
    }
    if head.method == Method::Options {
        drops.insert(Known::MaxForwards);
    }
    let message = Message { bytes: request.bytes, fields: &head.fields, len: head.len, version: head.version };
    let kept = message.copy(out, drops, patch);
    added(out, patch, REQUEST_DROPS);
    if head.method == Method::Options {
        max_forwards(out, request);
    }
    match outgoing.body {
        BodyLength::Exact(bytes) => content_length(out, bytes),
        BodyLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        // RFC 9110 section 8.6: where content is usual, its absence is said.
        BodyLength::None if matches!(outgoing.method, b"POST" | b"PUT" | b"PATCH") => content_length(out, 0),
        BodyLength::None | BodyLength::UntilClose => {}
    }
    let trailers = head.accepts_trailers && kept.has(Known::Te);
    match outgoing.after {
        After::KeepAlive if trailers => out.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n"),
        After::KeepAlive => {}
        After::Close if trailers => out.extend_from_slice(b"TE: trailers\r\nConnection: close, TE\r\n"),
        After::Close => out.extend_from_slice(b"Connection: close\r\n"),
        After::Upgrade => upgrade(out, &message),
    }
    via(out, outgoing.via, head.version);
    out.extend_from_slice(CRLF);
}

/// Appends a response's head.
pub fn response(out: &mut Vec<u8>, outgoing: &OutgoingResponse<'_>) {
    let OutgoingResponse { response, patch, .. } = *outgoing;
    let head = response.head;
    out.reserve(head.len + OWN_LINES);
    status_line(out, response);

    let mut drops = hop::HOP_BY_HOP;
    let length_only = outgoing.body == BodyLength::None && !forbids_length(head.status);
    let length_kept = length_only && framing::is_bodiless(head.status, outgoing.method);
    if outgoing.body != BodyLength::Chunked {
        drops.insert(Known::Trailer);
    }
    let message = Message { bytes: response.bytes, fields: &head.fields, len: head.len, version: head.version };
    let mut names = message.copy(out, drops, patch);
    names = names.or(added(out, patch, hop::HOP_BY_HOP));
    if !names.has(Known::Date) && head.status >= 200 {
        extend(out, &[b"Date: ", outgoing.date, CRLF]);
    }
    match outgoing.body {
        BodyLength::Exact(bytes) => content_length(out, bytes),
        BodyLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        BodyLength::UntilClose => {}
        BodyLength::None if length_kept => {
            // To HEAD and with 304 the length is that of the body which is not sent.
            if let Some(bytes) = message.value(Known::ContentLength).and_then(decimal) {
                content_length(out, bytes);
            }
        }
        BodyLength::None if length_only => content_length(out, 0),
        BodyLength::None => {}
    }
    // RFC 9110 section 15.5.22: 426 says which protocols would do.
    let lists_protocols = head.status == 426 && message.value(Known::Upgrade).is_some();
    match (outgoing.after, outgoing.client) {
        (After::Upgrade, _) => upgrade(out, &message),
        (_, _) if lists_protocols => {
            upgrade(out, &message);
            if outgoing.after == After::Close {
                out.extend_from_slice(b"Connection: close\r\n");
            }
        }
        // An interim response says nothing about the connection.
        (After::Close, _) if head.status >= 200 => out.extend_from_slice(b"Connection: close\r\n"),
        (After::KeepAlive, Version::H10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (After::Close | After::KeepAlive, _) => {}
    }
    via(out, outgoing.via, head.version);
    out.extend_from_slice(CRLF);
}

/// A received head with its bytes.
struct Message<'a> {
    bytes: &'a [u8],
    fields: &'a Fields,
    len: usize,
    version: Version,
}

impl<'a> Message<'a> {
    fn value(&self, known: Known) -> Option<&'a [u8]> {
        self.fields.value(self.bytes, known)
    }

    /// Appends the fields that are not in `drops`, not removed by `patch` and not named by `Connection`. Returns the
    /// names that `patch` did not remove, dropped ones included.
    fn copy(&self, out: &mut Vec<u8>, drops: KnownSet, patch: &Patch) -> KnownSet {
        let mut removed = patch.removed();
        let mut names = self.fields.names;
        if removed != 0 {
            names = KnownSet::default();
            for (index, field) in self.fields.list.iter().enumerate() {
                if removed >> index & 1 == 0 {
                    names.insert(field.known);
                }
            }
        }
        if names.has(Known::Connection) {
            removed |= hop::nominated(self.fields, self.bytes);
        }
        match self.version {
            Version::H10 | Version::H11 => self.copy_runs(out, drops, removed),
            Version::H2 => self.copy_each(out, drops, removed),
        }
        names
    }

    /// Lines lie one behind the other, as the parsers made sure.
    fn copy_runs(&self, out: &mut Vec<u8>, drops: KnownSet, mut removed: u128) {
        let mut run = None;
        for field in &self.fields.list {
            let start = usize::from(field.name.start);
            let gone = drops.has(field.known) || removed & 1 != 0;
            removed >>= 1;
            match run {
                Some(from) if gone => {
                    out.extend_from_slice(&self.bytes[from..start]);
                    run = None;
                }
                None if !gone => run = Some(start),
                Some(_) | None => {}
            }
        }
        if let Some(from) = run {
            out.extend_from_slice(&self.bytes[from..self.len - CRLF.len()]);
        }
    }

    /// Names and values lie anywhere, as a field decoder left them.
    fn copy_each(&self, out: &mut Vec<u8>, drops: KnownSet, mut removed: u128) {
        for Field { name, value, known } in &self.fields.list {
            if !drops.has(*known) && removed & 1 == 0 {
                line(out, name.of(self.bytes), value.of(self.bytes));
            }
            removed >>= 1;
        }
    }
}

fn status_line(out: &mut Vec<u8>, response: Response<'_>) {
    let head = response.head;
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, u64::from(head.status));
    out.push(b' ');
    match head.reason {
        Span { start, end } if start == end => out.extend_from_slice(status::reason(head.status).as_bytes()),
        reason => out.extend_from_slice(reason.of(response.bytes)),
    }
    out.extend_from_slice(CRLF);
}

/// RFC 9110 section 8.6: neither 1xx nor 204 may have a length.
const fn forbids_length(status: u16) -> bool {
    status < 200 || status == 204
}

fn content_length(out: &mut Vec<u8>, bytes: u64) {
    out.extend_from_slice(b"Content-Length: ");
    push_decimal(out, bytes);
    out.extend_from_slice(CRLF);
}

/// Appends what a patch adds, but for names in `refused`: those are not a patch's to set. Returns the names it added.
fn added(out: &mut Vec<u8>, patch: &Patch, refused: KnownSet) -> KnownSet {
    if patch.names().and(refused).is_empty()
        && let Some(lines) = patch.lines()
    {
        out.extend_from_slice(lines);
        return patch.names();
    }
    let mut names = KnownSet::default();
    for (name, value) in patch.added() {
        let known = Known::of(name);
        if !refused.has(known) {
            names.insert(known);
            line(out, name, value);
        }
    }
    names
}

fn upgrade(out: &mut Vec<u8>, message: &Message<'_>) {
    if let Some(protocol) = message.value(Known::Upgrade) {
        extend(out, &[b"Connection: Upgrade\r\nUpgrade: ", protocol, CRLF]);
    }
}

/// RFC 9110 section 7.6.2. Whether the request may be forwarded at all, the caller decided.
fn max_forwards(out: &mut Vec<u8>, request: Request<'_>) {
    if let Some(hops) = request.value(Known::MaxForwards).and_then(decimal) {
        out.extend_from_slice(b"Max-Forwards: ");
        push_decimal(out, hops.saturating_sub(1));
        out.extend_from_slice(CRLF);
    }
}

fn via(out: &mut Vec<u8>, name: Option<&[u8]>, received: Version) {
    if let Some(name) = name {
        let version: &[u8] = match received {
            Version::H10 => b"1.0 ",
            Version::H11 => b"1.1 ",
            Version::H2 => b"2.0 ",
        };
        extend(out, &[b"Via: ", version, name, CRLF]);
    }
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    extend(out, &[name, b": ", value, CRLF]);
}

fn extend(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests;
