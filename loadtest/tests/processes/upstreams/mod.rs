//! Groups of origins.

mod balancing_and_health;
