// SPDX-License-Identifier: Apache-2.0
//! Forwarding to an upstream: attempts, the exchange with an endpoint, its response, upgrades, subrequests.

pub(crate) mod attempts;
pub(crate) mod calls;
mod close_reason;
pub(crate) mod converse;
pub(crate) mod destination;
mod failures;
mod fetch;
pub(crate) mod respond;
pub(crate) mod retry;
pub(crate) mod scan;
pub(crate) mod slowed;
pub(crate) mod subrequest;
pub(crate) mod tunnel;
pub(crate) mod upgrade;
pub(crate) mod websocket;
