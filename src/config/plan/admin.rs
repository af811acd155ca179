// SPDX-License-Identifier: Apache-2.0
//! The admin listener as the control plane runs it.

use crate::base::{Address, Wall};
use crate::config::spec::server::AdminRole;

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminPlan {
    /// Where it listens.
    pub bind: Address,
    /// Host names that it answers to besides its addresses and `localhost`.
    pub names: Vec<Box<str>>,
    /// The tokens that are valid here.
    pub tokens: Vec<AdminTokenPlan>,
}

/// A token of the admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminTokenPlan {
    /// Whose it is.
    pub name: Box<str>,
    /// What it may do.
    pub role: AdminRole,
    /// The SHA-256 of the token.
    pub hash: [u8; 32],
    /// Not valid from then on.
    pub expires: Option<Wall>,
}
