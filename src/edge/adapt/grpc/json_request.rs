// SPDX-License-Identifier: Apache-2.0
//! The stage that makes gRPC messages of a request that is a stream of JSON texts.

use std::borrow::Cow;
use std::rc::Rc;

use crate::base::{Fault, FaultKind};
use crate::edge::adapt::transform::Transform;
use crate::wire::coding::encoder::Step;
use crate::wire::grpc::json::{Incoming, Refusal, Requests, Route, Transcoder};

/// A stream of JSON texts that become messages.
pub(crate) struct JsonRequest {
    texts: Requests,
    transcoder: Rc<Transcoder>,
    refusal: Option<Refusal>,
    out: Vec<u8>,
}

impl JsonRequest {
    /// For a request that matched `route`.
    pub(crate) fn new(transcoder: &Rc<Transcoder>, route: &Route, incoming: &Incoming<'_>) -> JsonRequest {
        let texts = Requests::new(transcoder, route, incoming);
        JsonRequest { texts, transcoder: transcoder.clone(), refusal: None, out: Vec::new() }
    }

    /// Why the request was refused.
    pub(crate) fn into_refusal(self) -> Option<Refusal> {
        self.refusal
    }

    fn refuse(&mut self, refusal: Refusal) -> Fault {
        self.refusal = Some(refusal);
        Fault::last(FaultKind::BadRequest)
    }
}

impl Transform for JsonRequest {
    fn push(&mut self, content: &[u8]) -> Result<Step, Fault> {
        let mut rest = content;
        while !rest.is_empty() {
            let read =
                self.texts.push(&self.transcoder, rest, &mut self.out).map_err(|refusal| self.refuse(refusal))?;
            rest = &rest[read..];
        }
        Ok(Step::took(content))
    }

    fn finish(&mut self, _: &mut Cow<'_, [u8]>) -> Result<Step, Fault> {
        self.texts.finish(&self.transcoder, &mut self.out).map_err(|refusal| self.refuse(refusal))?;
        Ok(Step::ALL)
    }

    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }
}
