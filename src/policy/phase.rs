//! Hot. When a policy decides.
//!
//! ```text
//!  Screen ─► Identify ─► Admit ─► Shape ──► (upstream) ──► Adapt ──► Settle
//! ```

/// When a policy decides. The order is fixed and the same for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before we know who it is: source networks, CORS preflights, limits by address.
    Screen,
    /// Who is it?
    Identify,
    /// May this one do this, and how often?
    Admit,
    /// What the upstream gets to see.
    Shape,
    /// What the client gets to see.
    Adapt,
    /// What it cost, once that is known.
    Settle,
}
