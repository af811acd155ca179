// SPDX-License-Identifier: Apache-2.0
//! The context of an exchange, which every step gets, and local responses.

pub(crate) mod call_reply;
pub(crate) mod context;
pub(crate) mod fields;
pub(crate) mod local_response;
pub(crate) mod peer;
pub(crate) mod policies;
pub(crate) mod response;
pub(crate) mod switched;
pub(crate) mod usage;
pub(crate) mod vars;
pub(crate) mod whole;
