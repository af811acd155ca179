// SPDX-License-Identifier: Apache-2.0
//! What the admin server wants of the store, as messages to the control plane.

use crate::config::directory::Declared;
use crate::control::store::command::{Actor, Write};
use crate::control::store::database::Database;
use crate::control::store::fault::StoreFault;
use crate::control::store::response::Idempotency;

/// A write, and who wants it.
#[derive(Debug)]
pub(crate) struct WriteOrder {
    /// What.
    pub write: Write,
    /// Who.
    pub by: Actor,
    /// How the client marks a repetition.
    pub idempotency: Option<Idempotency>,
}

/// Something that reads the store and what the configuration declares. It gets no connection where there is no store.
pub(crate) struct ReadJob(pub(super) Box<Read>);

/// What it does.
pub(super) type Read = dyn FnOnce(Option<&mut Database>, &Declared) -> Result<(), StoreFault> + Send;

impl ReadJob {
    /// Reads, with this connection to the store. Fails where the store does, which whoever asked is told as well.
    pub(crate) fn run(self, connection: Option<&mut Database>, declared: &Declared) -> Result<(), StoreFault> {
        (self.0)(connection, declared)
    }
}

impl std::fmt::Debug for ReadJob {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ReadJob")
    }
}
