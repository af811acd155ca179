// SPDX-License-Identifier: Apache-2.0
//! Failed attempts: finds out why an endpoint gave no response, counts the cause, and has the operator told.
//!
//! A flood of failures costs a few counters. A message leaves for an endpoint once in `FAILURE_NOTICE_MS`, with the
//! number of failures since the last one.

use std::io::ErrorKind;

use crate::balance::EndpointIndex;
use crate::base::limits::{BUF_CLASSES, HEADROOM};
use crate::base::{Buf, Cause, Fault, FaultKind, Retry, UpstreamId};
use crate::edge::exchange::context::Context;
use crate::link::{FromShard, Notice, UpstreamCounter};
use crate::net::Net;
use crate::wire::h1::{Caps, Deviation, line_feeds};

/// Counts a failed attempt. The operator is told of the endpoint, where the failure is one of the endpoint.
#[cold]
pub(super) fn note<N: Net>(
    context: Context<'_, N>,
    upstream: UpstreamId,
    endpoint: Option<EndpointIndex>,
    fault: Fault,
) {
    let counters = &context.bound.counters;
    counters.add_upstream(upstream.0, UpstreamCounter::Failures, 1);
    let Some(cause) = fault.cause() else { return };
    counters.add_cause(upstream.0, cause);
    // A kept connection that the endpoint closed meanwhile, a refused stream, a name that does not resolve, of which
    // the control plane knows, and a lack of descriptors, which has its own notice, are no failures of an endpoint.
    if matches!(fault.retry, Retry::IfReused | Retry::Refused) || matches!(cause, Cause::Dns | Cause::Descriptors) {
        return;
    }
    let load = &context.bound.upstream(upstream).load;
    let Some(index) = endpoint else { return };
    let Some(failures) = load.failed(index, context.shard.thread.net.now()) else { return };
    context.shard.tell(FromShard::Notice(Box::new(Notice::EndpointFails {
        upstream: context.bound.plan.upstream(upstream).cluster.name.clone(),
        endpoint: load.endpoint_name(index),
        cause,
        failures,
    })));
}

/// Why the bytes of an endpoint are no head.
#[cold]
pub(super) fn of_head(kind: FaultKind, bytes: &[u8]) -> Fault {
    let fault = Fault::last(kind);
    if kind != FaultKind::UpstreamProtocol {
        return fault;
    }
    fault.because(match bytes {
        // A record of TLS (RFC 8446 section 5.1): an alert, or a handshake.
        [0x15 | 0x16, 3, ..] => Cause::SpeaksTls,
        // A frame of HTTP/2 (RFC 9113 section 4.1): SETTINGS or GOAWAY on stream zero.
        [0, 0, _, 4 | 7, _, 0, 0, 0, 0, ..] => Cause::SpeaksHttp2,
        _ if bytes.starts_with(&b"HTTP/"[..bytes.len().min(5)]) => Cause::Malformed,
        _ => Cause::NotHttp,
    })
}

/// A buffer whose head was refused, with whole line ends, where lines may end in LF alone and some do; else as it was.
#[cold]
pub(super) fn completed(buf: Buf, caps: &Caps, refused: FaultKind) -> Result<Buf, Buf> {
    if refused != FaultKind::UpstreamProtocol || !caps.tolerance.has(Deviation::LineFeeds) {
        return Err(buf);
    }
    let Some(bytes) = line_feeds::completed(buf.filled()) else { return Err(buf) };
    // Room for what comes behind, as before; above the largest class it is freed after use.
    let mut whole = Buf::with_capacity(HEADROOM + bytes.len() + BUF_CLASSES[1]);
    whole.reset(HEADROOM);
    let copied = whole.append(&bytes);
    debug_assert!(copied, "room was made above");
    Ok(whole)
}

/// How much of a head came before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// No byte.
    Nothing,
    /// Some bytes.
    Part,
}

/// Why no head came: `read` is how the last read ended.
#[cold]
pub(super) fn without_head(read: Result<usize, ErrorKind>, came: Came) -> Fault {
    let cause = match read {
        _ if came == Came::Part => Cause::ClosedInHead,
        Ok(_) | Err(ErrorKind::UnexpectedEof) => Cause::ClosedBeforeHead,
        Err(_) => Cause::ResetBeforeHead,
    };
    Fault::last(FaultKind::UpstreamClosed).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_another_protocol_are_recognised() {
        let cause = |bytes: &[u8]| of_head(FaultKind::UpstreamProtocol, bytes).cause();
        assert_eq!(cause(b"\x15\x03\x03\x00\x02\x02\x46"), Some(Cause::SpeaksTls));
        assert_eq!(cause(b"\0\0\x12\x04\0\0\0\0\0\0\x03"), Some(Cause::SpeaksHttp2));
        assert_eq!(cause(b"HTTP/1.1 200 OK\r\nA B: c\r\n"), Some(Cause::Malformed));
        assert_eq!(cause(b"SSH-2.0-OpenSSH_9.2\r\n"), Some(Cause::NotHttp));
        assert_eq!(cause(b"HTT"), Some(Cause::Malformed));
        let large = of_head(FaultKind::UpstreamHeadTooLarge, b"\x15\x03");
        assert_eq!(large.cause(), Some(Cause::HeadTooLarge));
    }

    #[test]
    fn an_end_before_a_head_is_told_from_one_within() {
        assert_eq!(without_head(Ok(0), Came::Nothing).cause(), Some(Cause::ClosedBeforeHead));
        assert_eq!(without_head(Err(ErrorKind::ConnectionReset), Came::Nothing).cause(), Some(Cause::ResetBeforeHead));
        assert_eq!(without_head(Err(ErrorKind::ConnectionReset), Came::Part).cause(), Some(Cause::ClosedInHead));
    }
}
