//! What policies let through, and what they make of it.

mod access;
mod listeners;
mod compression;
mod rate_limits;
