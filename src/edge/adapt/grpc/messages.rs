// SPDX-License-Identifier: Apache-2.0
//! Hot. The stage for plain gRPC: it looks at the messages and leaves them as they are. Above the allowed length, and
//! where the body is no sequence of messages, the exchange ends.

use std::borrow::Cow;

use crate::base::{Fault, FaultKind, Side};
use crate::edge::adapt::grpc::owed_status::OwedStatus;
use crate::edge::adapt::transform::{Transform, Treatment};
use crate::edge::flow::stream::Outgoing;
use crate::wire::coding::encoder::Step;
use crate::wire::grpc::message::Dialect;
use crate::wire::grpc::{End, Offence, Scanner};

/// Looks at messages.
pub(crate) struct Messages {
    scanner: Scanner,
    /// Who sends them.
    sender: Side,
    status: OwedStatus,
    offence: Option<Offence>,
    /// The output: nothing, because the content leaves as it is.
    none: Vec<u8>,
}

impl Messages {
    /// Of `sender`, with at most `bytes_max` bytes each.
    pub(crate) fn new(sender: Side, bytes_max: u32) -> Messages {
        Messages {
            scanner: Scanner::new(Dialect::Grpc, bytes_max),
            sender,
            status: OwedStatus::default(),
            offence: None,
            none: Vec::new(),
        }
    }

    /// How the call ends because of an offence in the messages.
    pub(crate) fn end(&self) -> Option<End<'static>> {
        self.offence.map(end_of)
    }

    /// The status that the gateway sent, because the server ended without one.
    pub(crate) fn supplied(&self) -> Option<End<'static>> {
        self.status.supplied()
    }

    fn refuse(&mut self, offence: Offence) -> Fault {
        self.offence = Some(offence);
        Fault::last(match self.sender {
            Side::Client => of_client(offence),
            Side::Upstream | Side::Gateway => FaultKind::UpstreamProtocol,
        })
    }
}

/// How a call ends because of an offence in its messages.
pub(crate) fn end_of(offence: Offence) -> End<'static> {
    End::plain(offence.code(), offence.text())
}

/// An offence in what the client sent, as a fault.
pub(crate) fn of_client(offence: Offence) -> FaultKind {
    match offence {
        Offence::TooLarge => FaultKind::BodyTooLarge,
        Offence::Flag | Offence::Truncated | Offence::Trailers | Offence::Base64 => FaultKind::BadRequest,
    }
}

impl Transform for Messages {
    fn head(&mut self, outgoing: &mut Outgoing<'_>) -> Treatment {
        self.status.head(outgoing);
        self.status.add_to_head(outgoing);
        Treatment::Inspects
    }

    fn push(&mut self, content: &[u8]) -> Result<Step, Fault> {
        self.scanner.advance(content).map_err(|offence| self.refuse(offence))?;
        Ok(Step::took(content))
    }

    fn finish(&mut self, trailers: &mut Cow<'_, [u8]>) -> Result<Step, Fault> {
        match self.sender {
            // A server that ends within a message has sent its status behind it, which the client gets.
            Side::Upstream | Side::Gateway => self.status.add_to_trailers(trailers),
            Side::Client => self.scanner.finish().map_err(|offence| self.refuse(offence))?,
        }
        Ok(Step::ALL)
    }

    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.none
    }
}
