// SPDX-License-Identifier: Apache-2.0
//! What every step of a request sees, and the responses that the gateway makes itself.

pub(crate) mod call_reply;
pub(crate) mod context;
pub(crate) mod fields;
pub(crate) mod peer;
pub(crate) mod policies;
pub(crate) mod reply;
pub(crate) mod response;
pub(crate) mod vars;
pub(crate) mod whole;
