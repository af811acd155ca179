// SPDX-License-Identifier: Apache-2.0
//! Keys of a rate limit as administrators name them.

use std::hash::{Hash, Hasher};

use crate::policy::limit_key::{Lasting, seeded};
use crate::policy::limiting::Scope;
use crate::policy::rate_limit::Plan;

impl Plan {
    /// What requests count as that have these values (`Key::named`), on that route where routes count apart.
    pub fn key_named(&self, values: &[&str], route: Option<&str>) -> Result<u64, String> {
        match self.kept {
            None => self.key_named_by(seeded(self.hash_seed), values, route),
            Some(_) => self.key_named_by(Lasting::default(), values, route),
        }
    }

    fn key_named_by(&self, mut hasher: impl Hasher, values: &[&str], route: Option<&str>) -> Result<u64, String> {
        match (self.scope, route) {
            (Scope::PerRoute, Some(route)) => route.hash(&mut hasher),
            (Scope::Shared, None) => {}
            (Scope::PerRoute, None) => return Err("each route counts for itself: `route` is missing".to_owned()),
            (Scope::Shared, Some(_)) => return Err("routes count together: `route` means nothing here".to_owned()),
        }
        self.key.named(values, hasher)
    }
}
