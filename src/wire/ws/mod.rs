//! WebSocket (RFC 6455) as an intermediary sees it: where frames and messages begin and end, the opening handshake in
//! both versions of HTTP (RFC 8441), and the few frames that the gateway says itself.
//!
//! What is inside a message is not looked at: extensions, compression and text are the two ends' own.

pub mod frame;
pub mod handshake;
pub mod own;

#[cfg(any(test, feature = "fuzz"))]
pub mod check;
