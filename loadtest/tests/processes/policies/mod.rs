//! What policies let through.

mod access;
mod rate_limits;
