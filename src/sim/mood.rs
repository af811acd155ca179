//! How bad a world is.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Slow, split and stalled, but nothing fails: every request must be answered.
    Calm,
    /// Few and long bodies, readers that stop: memory must stay bounded.
    Bulk,
    /// Clients, origins and network misbehave.
    Wild,
}
