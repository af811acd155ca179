// SPDX-License-Identifier: Apache-2.0
//! Hot. Why a run of an expression fails, and how many steps it may take.

use std::cell::Cell;

use crate::base::limits::EXPRESSION_STEPS_MAX;

/// Why an expression has no value for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A map has no such member.
    NoMember,
    /// A list has no such item.
    NoItem,
    /// An operator or a function does not take values of these types.
    NoOverload,
    /// A number is beyond its type.
    Overflow,
    /// Division by zero.
    ZeroDivision,
    /// A text is no number, time, duration, address or zone.
    Unreadable,
    /// A value of the request is not UTF-8.
    NotUtf8,
    /// A cookie or a parameter stands more than once in the request.
    Ambiguous,
    /// It took more than `limits::EXPRESSION_STEPS_MAX` steps.
    Steps,
    /// It took more than `limits::EXPRESSION_MEMORY_MAX` bytes.
    Memory,
}

impl Failure {
    /// Must the whole expression fail, whatever another side of it says?
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Failure::Steps | Failure::Memory)
    }
}

/// The steps that a run may still take.
#[derive(Debug)]
pub(super) struct Budget(Cell<u32>);

impl Budget {
    pub(super) fn new() -> Budget {
        Budget(Cell::new(EXPRESSION_STEPS_MAX))
    }

    /// Takes one step.
    pub(super) fn step(&self) -> Result<(), Failure> {
        self.steps(1)
    }

    /// Takes as many steps as looking at so many bytes costs.
    pub(super) fn bytes(&self, bytes: usize) -> Result<(), Failure> {
        self.steps(u32::try_from(bytes / BYTES_A_STEP).unwrap_or(u32::MAX))
    }

    fn steps(&self, count: u32) -> Result<(), Failure> {
        self.0.set(self.0.get().checked_sub(count).ok_or(Failure::Steps)?);
        Ok(())
    }
}

/// Bytes that a search, a copy or a pattern looks at in about the time of one other step.
const BYTES_A_STEP: usize = 32;
