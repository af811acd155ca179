// SPDX-License-Identifier: Apache-2.0
//! The admin listener as the control plane runs it.

use crate::base::Address;

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminPlan {
    /// Where it listens.
    pub bind: Address,
    /// Host names that it answers to besides its addresses and `localhost`.
    pub names: Vec<Box<str>>,
    /// The SHA-256 of the token that requests which change the process need; without one they are refused.
    pub token: Option<[u8; 32]>,
}
