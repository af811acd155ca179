// SPDX-License-Identifier: Apache-2.0
//! Hot. The stage that codes a response's content, where the offer of a policy and an encoder of the shard allow it.

use std::borrow::Cow;

use crate::base::Fault;
use crate::edge::adapt::encoders::{Encoders, Lent};
use crate::edge::adapt::transform::{BROKEN, Transform, Treatment};
use crate::edge::flow::stream::Outgoing;
use crate::wire::coding::encoder::Step;
use crate::wire::coding::response::code;
use crate::wire::coding::{EncodeError, Offer};
use crate::wire::head::BodyLength;

/// Codes content.
pub(crate) struct Coding<'a> {
    offer: Offer<'a>,
    encoders: &'a Encoders,
    /// What codes the content of the response whose head came last; `None` where it stays as it is.
    lent: Option<Lent<'a>>,
    /// The output where no encoder is lent: nothing.
    none: Vec<u8>,
    /// A response is uncoded because too many encoders were lent.
    pub is_refused: bool,
}

impl<'a> Coding<'a> {
    /// As `offer` says, with one of `encoders`.
    pub(crate) fn new(offer: Offer<'a>, encoders: &'a Encoders) -> Coding<'a> {
        Coding { offer, encoders, lent: None, none: Vec::new(), is_refused: false }
    }
}

/// What ends a response whose encoder is broken.
fn broken(_: EncodeError) -> Fault {
    BROKEN
}

impl Transform for Coding<'_> {
    fn head(&mut self, outgoing: &mut Outgoing<'_>) -> Treatment {
        self.lent = None;
        let Some(encoding) = self.offer.judge(outgoing.response, outgoing.patch) else { return Treatment::Skips };
        let Some(lent) = self.encoders.lend(encoding) else {
            self.is_refused = true;
            return Treatment::Skips;
        };
        code(encoding.coding, outgoing.response, outgoing.patch);
        if outgoing.length == BodyLength::None {
            return Treatment::Skips;
        }
        outgoing.length = BodyLength::Chunked;
        self.lent = Some(lent);
        Treatment::Recodes
    }

    fn push(&mut self, content: &[u8]) -> Result<Step, Fault> {
        let coder = self.lent.as_mut().ok_or(BROKEN)?.coder();
        coder.holds_content = true;
        coder.encoder.push(content, &mut coder.out).map_err(broken)
    }

    fn flush(&mut self) -> Result<Step, Fault> {
        let coder = self.lent.as_mut().ok_or(BROKEN)?.coder();
        if !coder.holds_content {
            return Ok(Step::ALL);
        }
        let step = coder.encoder.flush(&mut coder.out).map_err(broken)?;
        coder.holds_content = step.more;
        Ok(step)
    }

    fn finish(&mut self, _: &mut Cow<'_, [u8]>) -> Result<Step, Fault> {
        let coder = self.lent.as_mut().ok_or(BROKEN)?.coder();
        coder.encoder.finish(&mut coder.out).map_err(broken)
    }

    fn out(&mut self) -> &mut Vec<u8> {
        match &mut self.lent {
            Some(lent) => &mut lent.coder().out,
            None => &mut self.none,
        }
    }
}
