// SPDX-License-Identifier: Apache-2.0
//! Hot. When a policy decides. Policies of the listener are asked before the route is known, those of the route once it
//! is.
//!
//! ```text
//!        listener                             route
//!  Screen ► … ► Shape ──► routing ──► Screen ► … ► Shape ► Adapt ──► action ──► Kind::adapt of all ──► Kind::settle
//! ```
//!
//! `Kind::adapt` is no phase: it is called for every response, of all policies in the order of their decisions. Nor is
//! `Kind::settle`: it is called once the status of the response is known, where a policy asked for it. For a gRPC call
//! that is the end of the call.

/// When a policy decides. The order is fixed and the same for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before we know who it is: source networks, CORS preflights, limits by address.
    Screen,
    /// Who is it?
    Identify,
    /// May this one do this, and how often?
    Admit,
    /// All have admitted it: a policy that serves paths of its own responds (`Kind::answer`). No policy decides in this
    /// phase alone.
    Answer,
    /// What the upstream gets to see.
    Shape,
    /// What the client gets to see, once every other change to the response's head is made. Such a policy decides
    /// behind all others, before the upstream is asked; its `adapt` comes last.
    Adapt,
}
