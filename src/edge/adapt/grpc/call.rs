// SPDX-License-Identifier: Apache-2.0
//! Hot. What is special about an exchange that is a gRPC call: who calls, by when it must be over, how it ended.

use crate::balance::Outcome;
use crate::base::Tick;
use crate::config::plan::{GrpcPlan, WebCalls};
use crate::wire::field::Known;
use crate::wire::grpc::timeout::{TIMEOUT, TimeoutError};
use crate::wire::grpc::{Code, End, Media, timeout};
use crate::wire::head::{Fields, Method, Request, Response};
use crate::wire::patch::Patch;

/// In which words a caller speaks of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// In messages.
    Framed(Media),
    /// In JSON, which the gateway turns into messages.
    Json,
}

impl Caller {
    /// The caller of a request that says so by its `content-type`; `None` for any other request.
    pub(crate) fn of(request: Request<'_>) -> Option<Caller> {
        if request.head.method != Method::Post {
            return None;
        }
        request.value(Known::ContentType).and_then(Media::of).map(Caller::Framed)
    }

    /// Are the messages of this caller bounded one by one on a route with this plan? gRPC-Web that is passed on as it
    /// is is not looked into.
    pub(crate) fn is_bounded(self, plan: &GrpcPlan) -> bool {
        match self {
            Caller::Framed(Media::Grpc) | Caller::Json => true,
            Caller::Framed(Media::Web | Media::WebText) => plan.web == WebCalls::Taken,
        }
    }
}

/// When a call that began at `started` must be over, as its caller wants it.
pub(crate) fn deadline(request: Request<'_>, started: Tick) -> Result<Tick, TimeoutError> {
    match request.named(TIMEOUT) {
        Some(value) => timeout::parse(value).map(|timeout| started.after(timeout)),
        None => Ok(Tick::NEVER),
    }
}

/// Tells the upstream how much of the time is left.
pub(crate) fn tell_deadline(request: Request<'_>, patch: &mut Patch, deadline: Tick, now: Tick) {
    if deadline != Tick::NEVER {
        patch.remove(&request.head.fields, request.bytes, TIMEOUT);
        patch.add_with(TIMEOUT, |value| timeout::write(deadline.since(now), value));
    }
}

/// The code in a head that is the whole answer.
pub(crate) fn code_of(response: Response<'_>) -> Option<Code> {
    End::read(fields(&response.head.fields, response.bytes)).map(|end| end.code)
}

/// Names and values.
pub(crate) fn fields<'a>(fields: &'a Fields, bytes: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    fields.list.iter().map(|field| (field.name.of(bytes), field.value.of(bytes)))
}

/// What a code says of the endpoint that it came from. Most say something of the call only, and a caller can bring
/// them about.
pub(crate) const fn outcome(code: Code) -> Outcome {
    match code {
        Code::Unavailable => Outcome::GatewayError,
        Code::Unknown | Code::Internal | Code::DataLoss => Outcome::ServerError,
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => Outcome::Ok,
    }
}
