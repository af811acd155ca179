// SPDX-License-Identifier: Apache-2.0
//! What policies let through, and what they make of it.

mod access;
mod bandwidth;
mod browsers_and_bodies;
mod authorize;
mod compression;
mod concurrency;
mod header_names;
mod identify;
mod limit_kinds;
mod listeners;
mod rate_limits;
mod tokens;
