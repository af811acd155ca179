// SPDX-License-Identifier: Apache-2.0
//! Gateways that are broken on purpose: the simulator must catch each, or it proves nothing.
//!
//! Only a unit test can break one, and only on its own thread: in every other build `has` is `false` at compile time.

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Upstream connections are used again whose response was not read to its end.
    UnreadResponse,
    /// The end of a request is counted for the upstream, but not for its endpoint.
    EndpointLoad,
    /// Room that a request got and did not use is not passed on to the next in the queue.
    UnusedRoom,
    /// An idle connection that is taken out of the pool still counts as idle.
    IdleCount,
    /// A closed client connection stays in the registry.
    RegistryEntry,
    /// What is released of a stream's window is not given back to its connection's window.
    ConnectionWindow,
    /// Content that an exchange took is not released to the sender.
    UnreleasedContent,
    /// A home takes slots back and still counts them as lent.
    LentSlots,
}

/// Is the gateway of this thread broken in this way?
#[cfg(test)]
pub(crate) fn has(flaw: Flaw) -> bool {
    FLAW.get() == Some(flaw)
}

/// Is the gateway of this thread broken in this way?
#[cfg(not(test))]
pub(crate) const fn has(_: Flaw) -> bool {
    false
}

/// Runs `act` with a broken gateway.
#[cfg(test)]
pub(crate) fn with<T>(flaw: Flaw, act: impl FnOnce() -> T) -> T {
    struct Mended;
    impl Drop for Mended {
        fn drop(&mut self) {
            FLAW.set(None);
        }
    }
    FLAW.set(Some(flaw));
    let _mended = Mended;
    act()
}

#[cfg(test)]
thread_local! {
    static FLAW: std::cell::Cell<Option<Flaw>> = const { std::cell::Cell::new(None) };
}
