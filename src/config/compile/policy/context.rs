// SPDX-License-Identifier: Apache-2.0
//! What a kind of policy may need to know beyond what is written in its own table.

/// What stands around a policy that is compiled.
pub(super) struct Context<'c> {
    /// The policy's name.
    pub name: &'c str,
}
