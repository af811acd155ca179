//! Bodies in motion, and what every task of a thread uses whatever the plan says.
//!
//! `stream` has the traits between an exchange and the versions of HTTP, `relay` passes one body on, `duplex` runs two
//! directions at once, `signal` wakes tasks.

pub mod duplex;
pub mod relay;
pub mod signal;
pub mod stream;
