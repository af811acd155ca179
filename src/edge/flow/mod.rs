//! Bodies in motion, and what every task of a thread uses whatever the plan says.
//!
//! `stream` has the traits between an exchange and the versions of HTTP, `relay` passes one body on, `duplex` runs two
//! directions at once, `watch` breaks off what a client that has gone waited for, `signal` and `notice` wake tasks,
//! `thread` is the rest.

pub mod duplex;
pub mod notice;
pub mod relay;
pub mod signal;
pub mod stream;
pub mod thread;
pub mod watch;
