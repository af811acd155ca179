// SPDX-License-Identifier: Apache-2.0
//! A gateway that is broken on purpose: the simulator must catch it, or it proves nothing.
//!
//! It uses upstream connections again whose response was not read to its end. Only a unit test can break it, and only
//! on its own thread: in every other build `is_let_out` is `false` at compile time.

/// Is the gateway of this thread broken on purpose?
#[cfg(test)]
pub(crate) fn is_let_out() -> bool {
    LET_OUT.get()
}

/// Is the gateway of this thread broken on purpose?
#[cfg(not(test))]
pub(crate) const fn is_let_out() -> bool {
    false
}

/// Runs `act` with a broken gateway.
#[cfg(test)]
pub(crate) fn let_out<T>(act: impl FnOnce() -> T) -> T {
    struct Caged;
    impl Drop for Caged {
        fn drop(&mut self) {
            LET_OUT.set(false);
        }
    }
    LET_OUT.set(true);
    let _caged = Caged;
    act()
}

#[cfg(test)]
thread_local! {
    static LET_OUT: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}
