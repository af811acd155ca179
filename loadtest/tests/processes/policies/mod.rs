//! What policies let through.

mod access;
mod listeners;
mod rate_limits;
