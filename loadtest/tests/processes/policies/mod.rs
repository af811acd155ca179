// SPDX-License-Identifier: Apache-2.0
//! What policies let through, and what they make of it.

mod access;
mod authorize;
mod bandwidth;
mod bots;
mod browsers_and_bodies;
mod compression;
mod concurrency;
mod cors;
mod header_names;
mod identify;
mod limit_kinds;
mod listeners;
mod oidc;
mod quotas;
mod rate_limits;
mod token_issuer;
mod tokens;
mod versions;
