// SPDX-License-Identifier: Apache-2.0
//! What one shard owns: the plan with its state, the registry of client connections, scratch memory, the access log.

pub(crate) mod allowance;
pub(crate) mod attributes;
pub(crate) mod bound;
pub(crate) mod discarded;
mod escape;
pub(crate) mod kept;
pub(crate) mod log;
pub(crate) mod peers;
pub(crate) mod questions;
pub(crate) mod record;
pub(crate) mod registry;
pub(crate) mod report;
pub(crate) mod scratch;
pub(crate) mod slices;
pub(crate) mod state;
pub(crate) mod tracer;
pub(crate) mod transcoders;
pub(crate) mod usage;
pub(crate) mod waiters;
