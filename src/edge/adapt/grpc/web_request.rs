// SPDX-License-Identifier: Apache-2.0
//! Hot. The stage that makes gRPC of a request in gRPC-Web.

use std::borrow::Cow;

use crate::base::Fault;
use crate::edge::adapt::grpc::messages::{end_of, of_client};
use crate::edge::adapt::transform::Transform;
use crate::wire::coding::encoder::Step;
use crate::wire::grpc::web::{Coding, Decoder, TrailersFrame};
use crate::wire::grpc::{End, Offence};

/// A request in gRPC-Web.
pub(crate) struct WebRequest {
    decoder: Decoder,
    offence: Option<Offence>,
    out: Vec<u8>,
}

impl WebRequest {
    /// In `coding`, with messages of at most `bytes_max` bytes each.
    pub(crate) fn new(coding: Coding, bytes_max: u32) -> WebRequest {
        let decoder = Decoder::new(coding, TrailersFrame::Refused, bytes_max);
        WebRequest { decoder, offence: None, out: Vec::new() }
    }

    /// How the call ends because of an offence in the request.
    pub(crate) fn end(&self) -> Option<End<'static>> {
        self.offence.map(end_of)
    }

    fn refuse(&mut self, offence: Offence) -> Fault {
        self.offence = Some(offence);
        Fault::last(of_client(offence))
    }
}

impl Transform for WebRequest {
    fn push(&mut self, content: &[u8]) -> Result<Step, Fault> {
        self.decoder.push(content, &mut self.out).map_err(|offence| self.refuse(offence))?;
        Ok(Step::took(content))
    }

    fn finish(&mut self, _: &mut Cow<'_, [u8]>) -> Result<Step, Fault> {
        self.decoder.finish().map_err(|offence| self.refuse(offence))?;
        Ok(Step::ALL)
    }

    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }
}
