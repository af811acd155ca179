// SPDX-License-Identifier: Apache-2.0
//! How bad a world is.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultLevel {
    /// Calm: reads are slow, split and stalled, but nothing fails, so every request must get its response.
    Calm,
    /// Few and long bodies, and readers that stop: memory must stay bounded.
    Bulk,
    /// Clients, origins and network misbehave.
    Wild,
}
