// SPDX-License-Identifier: Apache-2.0
//! Hot. Decides which upgrade requests the gateway forwards (RFC 9110 section 7.8, RFC 6455).
//!
//! An extended CONNECT (RFC 8441) is such a request, too: it is treated as the GET that it would be in HTTP/1.1.
//! `h2c`, other HTTP versions and TLS are never passed on: the tunnel that followed would carry requests that no rule
//! of the gateway sees. Such an upgrade is ignored, as the RFC allows, and the request is forwarded as plain HTTP/1.1.

use crate::base::ascii::is_name;
use crate::wire::field::Known;
use crate::wire::head::{BodyLength, Method, Request, RequestHead, Response};
use crate::wire::hop::{members, options};

/// What a request wants to upgrade to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// `websocket`, with what RFC 6455 section 4.1 demands of the request.
    WebSocket,
    /// Another protocol that we tunnel without knowing it.
    Other,
}

/// Is the `Upgrade` field of this head of HTTP/1.1 an offer that we pass on? That `Connection` has the `upgrade` option
/// is known.
pub(crate) fn is_offered(bytes: &[u8], head: &RequestHead) -> bool {
    head.body == BodyLength::None && protocol(bytes, head).is_some()
}

/// What `head` offers to upgrade to, in either version of HTTP. `None` where it offers nothing, or nothing that we pass
/// on. Where one of several protocols is WebSocket, that is the answer: what holds of WebSockets holds of the request.
pub(crate) fn protocol(bytes: &[u8], head: &RequestHead) -> Option<Protocol> {
    let extended = head.protocol.of(bytes);
    if !extended.is_empty() {
        return Some(if names_websocket(extended) { Protocol::WebSocket } else { Protocol::Other });
    }
    let value = head.fields.value(bytes, Known::Upgrade)?;
    if members(value).any(is_refused) {
        return None;
    }
    if members(value).any(names_websocket) {
        return is_websocket(bytes, head).then_some(Protocol::WebSocket);
    }
    Some(Protocol::Other)
}

/// What this 101 of HTTP/1.1 chose of what `request` offered (RFC 9110 section 15.2.2). A 101 that chose nothing of it
/// is a fault of the upstream: whoever sends it means to leave HTTP on a connection that stays in it.
pub(crate) fn accepted(request: Request<'_>, response: Response<'_>) -> Option<Protocol> {
    let mut chosen = response.head.fields.values(response.bytes, Known::Upgrade);
    let (Some(chosen), None) = (chosen.next(), chosen.next()) else { return None };
    let offered = match request.head.protocol.of(request.bytes) {
        [] => request.value(Known::Upgrade).unwrap_or_default(),
        protocol => protocol,
    };
    let fits = request.head.upgrade
        && response.head.status == 101
        && options(&response.head.fields, response.bytes).upgrade
        && members(offered).any(|protocol| protocol.eq_ignore_ascii_case(chosen));
    let kind = if names_websocket(chosen) { Protocol::WebSocket } else { Protocol::Other };
    fits.then_some(kind)
}

/// WebSocket, of whatever version.
fn names_websocket(protocol: &[u8]) -> bool {
    is_name(protocol.split(|byte| *byte == b'/').next().unwrap_or(protocol), b"websocket")
}

/// Protocols that would carry HTTP past the gateway, and what is no protocol at all.
pub(crate) fn is_refused(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or(protocol);
    name.is_empty() || [&b"h2c"[..], b"h2", b"h3", b"http", b"tls"].iter().any(|refused| is_name(name, refused))
}

/// GET with a key of 16 bytes in base64. The version is left to the origin, which answers 426 with those it speaks.
fn is_websocket(bytes: &[u8], head: &RequestHead) -> bool {
    let mut keys = head.fields.values(bytes, Known::SecWebsocketKey);
    let (Some(key), None) = (keys.next(), keys.next()) else { return false };
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    head.method == Method::Get && key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_base64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::h1::{Caps, request, response};
    use crate::wire::head::ResponseHead;

    fn offered(method: &str, lines: &str) -> Option<Protocol> {
        let bytes = format!("{method} / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes();
        let mut head = RequestHead::default();
        request::parse(&bytes, &Caps::default(), &mut head).unwrap();
        head.upgrade.then(|| protocol(&bytes, &head)).flatten()
    }

    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    #[test]
    fn websocket_needs_get_and_a_key() {
        let lines = format!("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n{KEY}");
        assert_eq!(offered("GET", &lines), Some(Protocol::WebSocket));
        assert_eq!(offered("POST", &lines), None);
        assert_eq!(offered("GET", "Connection: upgrade\r\nUpgrade: websocket\r\n"), None);
        assert_eq!(offered("GET", &format!("Upgrade: websocket\r\n{KEY}")), None);
        assert_eq!(offered("GET", &format!("{lines}{KEY}")), None);
        // One of several: nothing gets past the rules for WebSockets by standing beside another protocol.
        for value in ["tcp, WebSocket", "websocket/13", "a, websocket/8"] {
            let lines = format!("Connection: upgrade\r\nUpgrade: {value}\r\n");
            assert_eq!(offered("GET", &format!("{lines}{KEY}")), Some(Protocol::WebSocket), "{value}");
            assert_eq!(offered("GET", &lines), None, "{value}");
        }
    }

    #[test]
    fn http_and_tls_are_never_tunnelled() {
        for value in ["h2c", "H2C", "HTTP/2.0", "websocket, h2c", "TLS/1.0", "", "a,"] {
            assert_eq!(offered("GET", &format!("Connection: upgrade\r\nUpgrade: {value}\r\n")), None, "{value}");
        }
        assert_eq!(offered("POST", "Connection: upgrade\r\nUpgrade: tcp\r\n"), Some(Protocol::Other));
        assert_eq!(offered("POST", "Connection: upgrade\r\nUpgrade: tcp\r\nContent-Length: 1\r\n"), None);
    }

    #[test]
    fn only_what_was_offered_is_accepted() {
        let asked = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: a/1, B\r\n\r\n";
        let mut head = RequestHead::default();
        request::parse(asked, &Caps::default(), &mut head).unwrap();
        let accepted = |answer: &str| {
            let mut answered = ResponseHead::default();
            response::parse(answer.as_bytes(), &Caps::default(), Method::Get, &mut answered).unwrap();
            let response = Response { bytes: answer.as_bytes(), head: &answered };
            accepted(Request { bytes: asked, head: &head }, response).is_some()
        };
        assert!(accepted("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: b\r\n\r\n"));
        assert!(!accepted("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: c\r\n\r\n"));
        assert!(!accepted("HTTP/1.1 101 x\r\nUpgrade: b\r\n\r\n"));
        assert!(!accepted("HTTP/1.1 101 x\r\nConnection: Upgrade\r\n\r\n"));
        assert!(!accepted("HTTP/1.1 200 x\r\nConnection: Upgrade\r\nUpgrade: b\r\n\r\n"));
    }
}
