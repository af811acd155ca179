// SPDX-License-Identifier: Apache-2.0
//! Bodies in motion, and what every task of a thread uses whatever the plan says.
//!
//! `stream` has the traits between an exchange and the versions of HTTP, `relay` passes one body on, `duplex` runs two
//! directions at once, `pace` ends uploads that drip, `watch` breaks off what a client that has gone waited for,
//! `signal` and `notice` wake tasks, `descriptors` counts those that were lacking, `thread` is the rest.

pub(crate) mod descriptors;
pub(crate) mod duplex;
pub(crate) mod hold;
pub(crate) mod notice;
pub(crate) mod pace;
pub(crate) mod relay;
pub(crate) mod signal;
pub(crate) mod stream;
pub(crate) mod thread;
pub(crate) mod throttle;
pub(crate) mod watch;
