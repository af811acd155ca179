// SPDX-License-Identifier: Apache-2.0
//! Groups of origins.

mod balancing_and_health;
mod caps;
mod failure_reasons;
