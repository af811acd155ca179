// SPDX-License-Identifier: Apache-2.0
//! What a kind of policy may need to know beyond what is written in its own table.

use crate::config::compile::Compiler;
use crate::config::location::Located;

/// What stands around a policy that is compiled.
pub(super) struct Context<'c> {
    /// The policy's name.
    pub name: &'c str,
}

impl Compiler<'_> {
    /// Reports a realm that cannot stand in a challenge (RFC 9110 section 11.5).
    pub(super) fn realm(&mut self, realm: &Located<String>) {
        if realm.value.bytes().any(|byte| !(0x20..0x7f).contains(&byte) || b"\"\\".contains(&byte)) {
            self.error(realm.location, "a realm has no quotes, backslashes or control characters");
        }
    }
}
