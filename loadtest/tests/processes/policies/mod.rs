// SPDX-License-Identifier: Apache-2.0
//! What policies let through, and what they make of it.

mod access;
mod browsers_and_bodies;
mod compression;
mod header_names;
mod listeners;
mod rate_limits;
