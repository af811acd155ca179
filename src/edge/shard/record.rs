// SPDX-License-Identifier: Apache-2.0
//! Hot. The record of an exchange, for counters and the access log.

use std::cell::Cell;

use crate::balance::EndpointIndex;
use crate::base::{Cause, Fault, FaultKind, Tick, UpstreamId, VersionId};
use crate::edge::adapt::grpc::Caller;
use crate::wire::grpc::{Code, Media};

/// What is remembered of one exchange.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// When the first byte of the head was there.
    pub started: Tick,
    /// When the conversation with the upstream was over.
    pub ended: Option<Tick>,
    /// The upstream it was sent to, last.
    pub upstream: Option<UpstreamId>,
    /// The endpoint it was sent to, last.
    pub endpoint: Option<EndpointIndex>,
    /// Attempts made.
    pub tries: u32,
    /// When the last attempt began.
    pub attempted: Tick,
    /// Microseconds that connecting took; `None` on a kept connection.
    pub connect_us: Option<u64>,
    /// Microseconds from the start to the response's head.
    pub first_byte_us: Option<u64>,
    /// Content bytes received from the client.
    pub received: Cell<u64>,
    /// Content bytes sent to the client.
    pub sent: Cell<u64>,
    /// The status that was sent, or would have been.
    pub status: u16,
    /// How a gRPC call ended, as far as it was seen.
    pub grpc: Option<Code>,
    /// Which version of an API it is for.
    pub version: Option<VersionId>,
    /// What went wrong, if anything did.
    pub fault: Option<FaultKind>,
    /// Why, where the upstream is guilty of it.
    pub cause: Option<Cause>,
    /// The rule of HTTP that the head of the last attempt's response broke.
    pub rule: Option<&'static str>,
    /// The answer did not reach its end.
    pub aborted: bool,
    /// A policy refused: its reason for the log.
    pub refused: Option<&'static str>,
    /// Why a policy would have refused it, had it not been told to report only or to admit what it cannot judge.
    pub reported: Option<&'static str>,
}

impl Default for Record {
    fn default() -> Record {
        Record {
            started: Tick::ZERO,
            ended: None,
            upstream: None,
            endpoint: None,
            tries: 0,
            attempted: Tick::ZERO,
            connect_us: None,
            first_byte_us: None,
            received: Cell::new(0),
            sent: Cell::new(0),
            status: 0,
            grpc: None,
            version: None,
            fault: None,
            cause: None,
            rule: None,
            aborted: false,
            refused: None,
            reported: None,
        }
    }
}

impl Record {
    /// The machine-readable reason of a failure or refusal.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        self.cause.map(Cause::reason).or(self.fault.map(FaultKind::name)).or(self.refused)
    }

    /// What exactly an upstream's failure was, in words; empty where there was none.
    pub(crate) fn detail(&self) -> &'static str {
        match (self.cause, self.rule) {
            (Some(Cause::Malformed), Some(rule)) => rule,
            (cause, _) => cause.map_or("", Cause::detail),
        }
    }

    /// Notes what went wrong.
    pub(crate) fn fail(&mut self, fault: Fault) {
        self.fault = Some(fault.kind);
        self.cause = fault.cause();
    }

    /// The status code of a gRPC call. The caller may have got it as a reset or as an HTTP status. `None` where it is
    /// inside a body that was not parsed, and where the response is not gRPC.
    pub(crate) fn call_ended(&self, caller: Caller, upstream_status: u16) -> Option<Code> {
        let of_fault = || self.fault.map(Code::of_fault);
        let of_upstream = || match (caller, upstream_status) {
            (Caller::Framed(Media::Web | Media::WebText), 200) => None,
            (Caller::Framed(_) | Caller::Json, status) => self.upstream.map(|_| Code::of_upstream(status)),
        };
        self.grpc.or_else(of_fault).or_else(of_upstream)
    }
}
