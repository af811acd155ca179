//! What policies let through, and what they make of it.

mod access;
mod compression;
mod listeners;
mod rate_limits;
