// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.plan]`.

use crate::config::location::Located;
use crate::config::spec::policy::rate_limit::{CountedIn, FieldDialect, LimitFields, OnOutage, Uncountable};
use crate::config::spec::scalar::Time;
use crate::config::spec::shape::{Many, table};

table! {
    /// Holds callers to their plans: refuses what they do not contain (another route, method or path) with 403, and
    /// what is above their `limits` or `concurrency` with 429. Which plan holds: of the app whose credential was used,
    /// else of the consumer, else of its tenant; of several, the one for the product that contains the route, else the
    /// one without a product. Use is counted for the app or the consumer, and for each product by itself.
    #[schemars(rename = "PlanPolicySpec")]
    pub struct Spec {
        /// What a client reads as `detail` that is refused with 403. Without it, what is not contained.
        detail: String = String::new(),
        /// Refuse nothing, and note in the access log what would be refused.
        report_only: bool = false,
        /// When clients are told where they stand.
        fields: LimitFields = LimitFields::default(),
        /// In which headers they are told, as in `rate_limit`.
        #[schemars(extend("x-default" = "ietf"))]
        dialect: Many<FieldDialect> = Many::default(),
        /// Subscribers that all threads together remember, for each period. One that has used something is not
        /// forgotten; where there is no room for another, that one is `uncountable`.
        #[schemars(extend("x-default" = 1000000))]
        keys_max: Option<u32> = None,
        /// Where limits of hours, days, weeks and months are counted: `"memory"`, `"store"` or `"redis"`, as in
        /// `rate_limit`. Without it in the store, where there is one, so that a restart, an upgrade or a crash gives
        /// nobody a fresh quota; else in memory. In Redis, those of minutes are counted too. Limits of other spans, and
        /// `concurrency`, are always counted in memory.
        #[schemars(extend("x-default" = "store"))]
        counted_in: Option<Located<CountedIn>> = None,
        /// What happens to requests while the store or Redis is away and nothing is leased any more.
        on_outage: OnOutage = OnOutage::default(),
        /// How many gateways share each quota: with `on_outage = "local_share"`, each gives one part of it at most.
        #[schemars(extend("x-default" = 1))]
        gateways: Option<Located<u32>> = None,
        /// How long a request waits for another thread's word about its subscriber, at most `"1m"`.
        #[schemars(extend("x-default" = "1s"))]
        wait: Option<Located<Time>> = None,
        /// What happens to a request that cannot be counted, because another thread gave no word in time or has no room
        /// for the subscriber.
        uncountable: Uncountable = Uncountable::default(),
    }
}
