// SPDX-License-Identifier: Apache-2.0
//! Who uses an API, as a shard knows it: consumers and their apps. Small, because a process may hold a million of them.

use std::sync::Arc;

use crate::base::{AppId, ConsumerId, PlanId, ProductId, TenantId};

/// Somebody who uses an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Its number.
    pub number: ConsumerId,
    /// May it call?
    pub standing: Standing,
    /// The name in the configuration, logs and metrics.
    pub name: Box<str>,
    /// What consumers often have in common.
    pub profile: Arc<Profile>,
    own: Option<Box<Own>>,
}

const _: () = assert!(size_of::<Consumer>() <= 40);

/// May a consumer call?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    #[default]
    Active,
    /// It may not, until somebody lifts that.
    Suspended,
}

/// What consumers often have in common. Equal profiles are the same one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Profile {
    /// The tenant that they belong to.
    pub tenant: Option<TenantId>,
    /// The groups that they are members of, in order.
    pub groups: Box<[Arc<str>]>,
    /// What they have subscribed to.
    pub subscriptions: Box<[Subscription]>,
}

/// A plan for a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subscription {
    /// The product; `None` for whatever the plan itself names.
    pub product: Option<ProductId>,
    /// The plan.
    pub plan: PlanId,
}

/// What only some consumers have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// The user's own identifier, sent as `X-Consumer-Id`; may be empty.
    pub id: Box<str>,
    /// Names and values, in order of the names.
    pub attributes: Box<[(Box<str>, Box<str>)]>,
}

impl Consumer {
    /// A consumer.
    pub fn new(number: ConsumerId, name: &str, standing: Standing, profile: Arc<Profile>, own: Own) -> Consumer {
        let own = (own != Own::default()).then(|| Box::new(own));
        Consumer { number, standing, name: name.into(), profile, own }
    }

    /// The user's own identifier; empty where there is none.
    pub fn id(&self) -> &str {
        self.own.as_ref().map_or("", |own| &own.id)
    }

    /// Names and values, in order of the names.
    pub fn attributes(&self) -> &[(Box<str>, Box<str>)] {
        self.own.as_ref().map_or(&[], |own| &own.attributes)
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        attribute(self.attributes(), name)
    }

    /// Is it a member of this group?
    pub fn is_member(&self, group: &str) -> bool {
        self.profile.groups.binary_search_by(|held| (**held).cmp(group)).is_ok()
    }
}

/// A program of a consumer, with credentials and subscriptions of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Its number.
    pub number: AppId,
    /// May it call?
    pub standing: Standing,
    /// Its name.
    pub name: Box<str>,
    /// Whose it is.
    pub consumer: ConsumerId,
    /// What it has subscribed to; empty where the consumer's hold.
    pub subscriptions: Box<[Subscription]>,
    /// Names and values, in order of the names.
    pub attributes: Box<[(Box<str>, Box<str>)]>,
}

/// The value of an attribute, of names that are in order.
fn attribute<'a>(attributes: &'a [(Box<str>, Box<str>)], name: &str) -> Option<&'a str> {
    let at = attributes.binary_search_by(|(held, _)| (**held).cmp(name)).ok()?;
    Some(&attributes[at].1)
}
