// SPDX-License-Identifier: Apache-2.0
//! Finds parts of a plan by name. The compiler makes these maps once, so that no shard ever searches.

use std::sync::Arc;

use ahash::AHashMap;

use crate::policy::limit::LimitId;

/// The maps of a plan, to places in its lists.
#[derive(Debug, Default)]
pub struct Index {
    routes: AHashMap<Arc<str>, u32>,
    upstreams: AHashMap<Arc<str>, u32>,
    limits: AHashMap<LimitId, u32>,
}

impl Index {
    /// Over the names of all routes and upstreams, and the limits of all policies. Of several limits that are the same,
    /// the first counts.
    pub fn over<'n>(
        routes: impl Iterator<Item = &'n Arc<str>>,
        upstreams: impl Iterator<Item = &'n Arc<str>>,
        policies: impl Iterator<Item = Option<LimitId>>,
    ) -> Index {
        let routes = (0..).zip(routes).map(|(location, name)| (Arc::clone(name), location)).collect();
        let upstreams = (0..).zip(upstreams).map(|(location, name)| (Arc::clone(name), location)).collect();
        let mut limits = AHashMap::new();
        for (location, limit) in (0..).zip(policies) {
            if let Some(limit) = limit {
                limits.entry(limit).or_insert(location);
            }
        }
        Index { routes, upstreams, limits }
    }

    /// The place of the route of that name.
    pub fn route(&self, name: &str) -> Option<u32> {
        self.routes.get(name).copied()
    }

    /// The place of the upstream of that name.
    pub fn upstream(&self, name: &str) -> Option<u32> {
        self.upstreams.get(name).copied()
    }

    /// The place of the policy with that limit.
    pub fn limit(&self, limit: LimitId) -> Option<u32> {
        self.limits.get(&limit).copied()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{ConfigSource, Environment, load};

    #[test]
    fn upstreams_and_limits_are_found_by_name() {
        let text = "[[listener]]\nbind = \"127.0.0.1:0\"\n[upstream.a]\nendpoints = \"127.0.0.1:1\"\n\
                    [upstream.b]\nendpoints = \"127.0.0.1:2\"\n\
                    [policy.cors]\ncors = { origins = [\"https://a.test\"] }\n\
                    [policy.l]\nrate_limit = { rate = \"1/s\", key = \"address\" }\n\
                    [[route]]\npath = \"/a\"\nto = \"a\"\npolicies = [\"cors\", \"l\"]\n\
                    [[route]]\npath = \"/b\"\nto = \"b\"\n"
            .to_owned();
        let source = ConfigSource::Text { name: "test".to_owned(), text };
        let plan = load(&source, &Environment::sealed()).expect("compiles").plan;
        for name in ["a", "b"] {
            let id = plan.upstream_named(name).expect("known");
            assert_eq!(&*plan.upstream(id).name, name);
        }
        assert!(plan.upstream_named("c").is_none());
        for route in &plan.routes {
            let id = plan.route_named(&route.name).expect("known");
            assert_eq!(plan.route(id).name, route.name);
        }
        let limit = plan.policies.iter().find_map(|policy| policy.policy.limit_id()).expect("one limits");
        let id = plan.policy_of_limit(limit).expect("known");
        assert_eq!(&*plan.policy(id).name, "l");
    }
}
