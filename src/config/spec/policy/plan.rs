// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.plan]`.

use crate::config::spec::shape::table;

table! {
    /// Refuses what the caller's plans do not contain with 403: another route, method or path. Which plan holds: of the
    /// app whose credential was used, else of the consumer, else of its tenant; of several, the one for the product
    /// that contains the route, else the one without a product.
    #[schemars(rename = "PlanPolicySpec")]
    pub struct Spec {
        /// What a refused client reads as `detail`. Without it, what is not contained.
        detail: String = String::new(),
        /// Refuse nothing, and note in the access log what would be refused.
        report_only: bool = false,
    }
}
