// SPDX-License-Identifier: Apache-2.0
//! The condition of a policy (`when`).

use crate::cel::Program;

/// When a policy is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// For every request.
    Always,
    /// Where the expression holds or fails. Shards use clones of their own (`Bound::when`).
    When(Program),
    /// For none; no route and no listener names it.
    Never,
}
