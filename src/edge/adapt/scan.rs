// SPDX-License-Identifier: Apache-2.0
//! Hot. A request's body that is looked at in passing (`wire/inspect`), and left as it is.

use std::borrow::Cow;

use crate::base::{Fault, FaultKind};
use crate::edge::adapt::transform::Transform;
use crate::wire::coding::encoder::Step;
use crate::wire::inspect::{Offence, Scanner};

/// The stage.
pub(crate) struct Scan {
    scanner: Scanner,
    offence: Option<Offence>,
    none: Vec<u8>,
}

impl Scan {
    /// At the beginning of a body.
    pub(crate) fn new(scanner: Scanner) -> Scan {
        Scan { scanner, offence: None, none: Vec::new() }
    }

    /// What was wrong with the body.
    pub(crate) fn offence(&self) -> Option<Offence> {
        self.offence
    }

    fn refuse(&mut self, offence: Offence) -> Fault {
        self.offence = Some(offence);
        Fault::last(FaultKind::BadRequest)
    }
}

impl Transform for Scan {
    fn push(&mut self, content: &[u8]) -> Result<Step, Fault> {
        self.scanner.push(content).map_err(|offence| self.refuse(offence))?;
        Ok(Step::took(content))
    }

    fn finish(&mut self, _: &mut Cow<'_, [u8]>) -> Result<Step, Fault> {
        self.scanner.finish().map_err(|offence| self.refuse(offence))?;
        Ok(Step::ALL)
    }

    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.none
    }
}
