// SPDX-License-Identifier: Apache-2.0
//! What is sold and to whom: plans, products, tenants. There are few of them, so a change makes a new catalogue.

use std::sync::Arc;

use crate::base::{PlanId, ProductId, TenantId};
use crate::policy::directory::consumer::{Standing, Subscription};
use crate::policy::directory::period::Allowance;
use crate::policy::limit::gcra::Rate;
use crate::policy::rate_limit::Window;

/// All plans, products and tenants, by their numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    /// By `PlanId`; `None` where it was removed.
    pub plans: Vec<Option<Arc<Plan>>>,
    /// By `ProductId`; `None` where it was removed.
    pub products: Vec<Option<Arc<Product>>>,
    /// By `TenantId`; `None` where it was removed.
    pub tenants: Vec<Option<Arc<Tenant>>>,
}

/// What a subscriber may do, and how much of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Its number.
    pub number: PlanId,
    /// Its name.
    pub name: Box<str>,
    /// The products whose routes it contains.
    pub products: Box<[ProductId]>,
    /// Further routes that it contains, in order.
    pub routes: Box<[Box<str>]>,
    /// The methods that it allows; empty for all.
    pub methods: Box<[Box<str>]>,
    /// Prefixes of paths that it allows; empty for all.
    pub paths: Box<[Box<str>]>,
    /// How many requests in which time, as shards count them: `Allowance::window`.
    pub windows: Box<[Window]>,
    /// Most requests at the same time: so many slots of `Rate::in_flight`.
    pub at_once: Option<Rate>,
    /// Models that it allows; empty for all.
    pub models: Box<[Box<str>]>,
    /// How many tokens in which time.
    pub tokens: Box<[Allowance]>,
    /// Who goes first where not all can be served: 0 to 9, more is better.
    pub priority: u8,
}

/// A set of routes that is sold together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Product {
    /// Its number.
    pub number: ProductId,
    /// Its name.
    pub name: Box<str>,
    /// The names of its routes, in order.
    pub routes: Box<[Box<str>]>,
}

/// Whom consumers belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenant {
    /// Its number.
    pub number: TenantId,
    /// Its name.
    pub name: Box<str>,
    /// May its consumers call?
    pub standing: Standing,
    /// What those of its consumers have that have subscribed to nothing.
    pub subscriptions: Box<[Subscription]>,
    /// Names and values, in order of the names.
    pub attributes: Box<[(Box<str>, Box<str>)]>,
}

impl Product {
    /// Is this route one of its routes?
    pub fn contains(&self, route: &str) -> bool {
        holds(&self.routes, route)
    }
}

impl Catalogue {
    /// The plan of this number.
    pub fn plan(&self, id: PlanId) -> Option<&Plan> {
        self.plans.get(id.0 as usize)?.as_deref()
    }

    /// The product of this number.
    pub fn product(&self, id: ProductId) -> Option<&Product> {
        self.products.get(id.0 as usize)?.as_deref()
    }

    /// The tenant of this number.
    pub fn tenant(&self, id: TenantId) -> Option<&Tenant> {
        self.tenants.get(id.0 as usize)?.as_deref()
    }

    /// Of these subscriptions, the plan that holds on a route: that of the first whose product contains the route, or
    /// else of the first without a product whose plan does. With the name of the product, empty where there is none.
    pub fn in_force(&self, subscriptions: &[Subscription], route: &str) -> Option<(&Plan, &str)> {
        for subscription in subscriptions {
            let product = subscription.product.and_then(|id| self.product(id));
            if let Some(product) = product.filter(|product| product.contains(route)) {
                return Some((self.plan(subscription.plan)?, &product.name));
            }
        }
        let general = subscriptions.iter().filter(|subscription| subscription.product.is_none());
        let mut plans = general.filter_map(|subscription| self.plan(subscription.plan));
        plans.find(|plan| self.contains(plan, route)).map(|plan| (plan, ""))
    }

    /// Of these subscriptions, the product that contains the route: the one that is subscribed to, or else one of a
    /// plan without a product.
    pub fn sold(&self, subscriptions: &[Subscription], route: &str) -> Option<&Product> {
        let containing = |id: ProductId| self.product(id).filter(|product| product.contains(route));
        let own = subscriptions.iter().filter_map(|subscription| subscription.product);
        let general = subscriptions.iter().filter(|subscription| subscription.product.is_none());
        let plans = general.filter_map(|subscription| self.plan(subscription.plan));
        own.chain(plans.flat_map(|plan| plan.products.iter().copied())).find_map(containing)
    }

    /// Does a plan contain a route? One that names neither routes nor products contains all.
    fn contains(&self, plan: &Plan, route: &str) -> bool {
        let everything = plan.products.is_empty() && plan.routes.is_empty();
        let sold = |id: &ProductId| self.product(*id).is_some_and(|product| product.contains(route));
        everything || holds(&plan.routes, route) || plan.products.iter().any(sold)
    }
}

/// Is a text in a list that is in order?
fn holds(list: &[Box<str>], text: &str) -> bool {
    list.binary_search_by(|held| (**held).cmp(text)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Box<[Box<str>]> {
        names.iter().map(|name| Box::from(*name)).collect()
    }

    fn catalogue() -> Catalogue {
        let plan = |number, name: &str, products: &[u32], routes: &[&str]| {
            let products = products.iter().map(|id| ProductId(*id)).collect();
            let (number, name, routes) = (PlanId(number), name.into(), list(routes));
            Some(Arc::new(Plan { number, name, products, routes, ..Plan::default() }))
        };
        let product = |number, routes: &[&str]| {
            Some(Arc::new(Product { number: ProductId(number), name: Box::from("p"), routes: list(routes) }))
        };
        Catalogue {
            plans: vec![plan(0, "free", &[], &[]), plan(1, "gold", &[1], &["status"]), None],
            products: vec![product(0, &["maps", "tiles"]), product(1, &["search"])],
            tenants: Vec::new(),
        }
    }

    #[test]
    fn the_plan_of_the_product_holds_before_the_general_one() {
        let catalogue = catalogue();
        let of = |product: Option<u32>, plan| Subscription { product: product.map(ProductId), plan: PlanId(plan) };
        let name = |subscriptions: &[Subscription], route| {
            catalogue.in_force(subscriptions, route).map(|(plan, _)| plan.name.to_string())
        };
        let both = [of(None, 0), of(Some(0), 1)];
        assert_eq!(name(&both, "maps").as_deref(), Some("gold"));
        assert_eq!(name(&both, "search").as_deref(), Some("free"));
        assert_eq!(name(&[of(None, 1)], "search").as_deref(), Some("gold"), "by the plan's own product");
        assert_eq!(name(&[of(None, 1)], "status").as_deref(), Some("gold"), "by the plan's own route");
        assert_eq!(name(&[of(None, 1)], "maps"), None);
        assert_eq!(name(&[of(Some(0), 2)], "maps"), None, "a plan that was removed allows nothing");
        assert_eq!(name(&[of(Some(9), 0)], "maps"), None, "nor does a product that was removed");
        assert_eq!(name(&[], "maps"), None);
    }
}
