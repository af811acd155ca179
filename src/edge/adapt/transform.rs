// SPDX-License-Identifier: Apache-2.0
//! Hot. What a stage is: the trait that each one implements in its own file.
//!
//! A stage changes the content of a message in passing: bytes in, bytes out. It never waits and knows no connection:
//! `staged` and `staged_source` read and send for it. `stage` makes the enum and its dispatch from the list of them, so
//! nothing here is called through a pointer.

use std::borrow::Cow;

use crate::base::{Fault, FaultKind};
use crate::edge::flow::stream::Outgoing;
use crate::wire::coding::encoder::Step;
use crate::wire::head::{BodyLength, Response, ResponseHead};
use crate::wire::patch::Patch;

/// What a stage does. It is a codec with its output; what comes out waits in `out` until the next stage takes it, or
/// until it is sent.
pub(crate) trait Transform {
    /// A final response begins: changes its head, and says what is done with its content. A stage may see several
    /// responses of one exchange, where a local response takes the place of another. Not called for requests.
    fn head(&mut self, _outgoing: &mut Outgoing<'_>) -> Treatment {
        Treatment::Recodes
    }

    /// Takes content from the front of `content`. Its `Step` has `more` where it stops because `out` holds
    /// `STAGE_OUT_BYTES`.
    ///
    /// # Errors
    /// The content is refused; `out` holds nothing half made.
    fn push(&mut self, content: &[u8]) -> Result<Step, Fault>;

    /// Gives out what is held back, because nothing more is there at the moment. Called again where there is `more`.
    ///
    /// # Errors
    /// The stage is broken.
    fn flush(&mut self) -> Result<Step, Fault> {
        Ok(Step::ALL)
    }

    /// The content is complete: gives out the rest, and changes the trailers, each a line with its CRLF. Called again
    /// where there is `more`. Never called for content that was cut.
    ///
    /// # Errors
    /// The content cannot end here.
    fn finish(&mut self, trailers: &mut Cow<'_, [u8]>) -> Result<Step, Fault>;

    /// What was made and not taken yet. Whoever takes all of it clears it.
    fn out(&mut self) -> &mut Vec<u8>;

    /// The head that was kept, once it is known. Before that there is nothing in `out`.
    fn release(&mut self) -> Option<Box<HeldHead>> {
        None
    }
}

/// What a stage does with the content of one response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// Nothing: it does not see it.
    Skips,
    /// It sees the content as the exchange gives it, before any stage recodes it, and leaves it as it is.
    Inspects,
    /// It makes other content of it.
    Recodes,
    /// As `Recodes`, and it keeps the head until `release`.
    Holds,
}

/// A head that a stage kept.
pub(crate) struct HeldHead {
    /// The bytes that the head's spans point into.
    pub bytes: Vec<u8>,
    /// The head.
    pub head: ResponseHead,
    /// Changes to it.
    pub patch: Patch,
    /// How long the content is.
    pub length: BodyLength,
}

impl HeldHead {
    /// A copy of `outgoing`.
    pub(crate) fn of(outgoing: &Outgoing<'_>) -> HeldHead {
        HeldHead {
            // tidy(hot): only for a response that a stage makes anew from its end, such as JSON.
            bytes: outgoing.response.bytes.to_vec(),
            head: outgoing.response.head.clone(),
            patch: outgoing.patch.clone(),
            length: outgoing.length,
        }
    }

    /// The head on its way out.
    pub(crate) fn outgoing(&mut self) -> Outgoing<'_> {
        let response = Response { bytes: &self.bytes, head: &self.head };
        Outgoing { response, patch: &mut self.patch, length: self.length, upgrades: false }
    }
}

/// A stage's state is broken.
pub(crate) const BROKEN: Fault = Fault::last(FaultKind::Internal);
