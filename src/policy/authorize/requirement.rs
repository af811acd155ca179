// SPDX-License-Identifier: Apache-2.0
//! Hot. What a caller must have, and what one who has it not lacks.

use crate::base::NetworkSet;
use crate::cel::Program;
use crate::policy::country::CountryCode;
use crate::policy::facts::Facts;
use crate::wire::template::{Lookup, Variable};

/// What a caller must have. Parts that are empty require nothing; of those that are given, all must hold.
#[derive(Clone, Debug, Default)]
pub struct Requirement {
    /// One of these groups.
    pub groups: Box<[Box<str>]>,
    /// A claim of the token whose texts are groups, too.
    pub group_claim: Option<Box<str>>,
    /// All of these scopes.
    pub scopes: Box<[Box<str>]>,
    /// One of these scopes.
    pub scopes_any: Box<[Box<str>]>,
    /// To be one of these consumers.
    pub consumers: Box<[Box<str>]>,
    /// To be of one of these tenants.
    pub tenants: Box<[Box<str>]>,
    /// To come from one of these addresses.
    pub networks: Option<NetworkSet>,
    /// To come from one of these countries.
    pub countries: Box<[CountryCode]>,
    /// Not to come from one of these countries.
    pub countries_denied: Box<[CountryCode]>,
    /// Expressions of which all must hold.
    pub allow: Box<[Program]>,
    /// What is told of what is missing.
    pub details: Details,
}

/// What a client is told, made when the policy is compiled.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// Of groups.
    pub groups: Box<str>,
    /// Of scopes that are all required.
    pub scopes: Box<str>,
    /// Of scopes of which one is required.
    pub scopes_any: Box<str>,
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lack<'p> {
    /// In one word, for logs.
    pub reason: &'static str,
    /// For the client, where it is to be told.
    pub detail: &'p str,
    /// Scopes that are required.
    pub scopes: &'p [Box<str>],
}

impl Lack<'static> {
    /// An expression of `deny` holds, or failed.
    pub const DENIED: Lack<'static> = Lack::of("authorize_denied", "The request is denied.");
    /// The path may be read in two ways.
    pub const AMBIGUOUS_PATH: Lack<'static> =
        Lack::of("authorize_path", "The path has an encoded slash, dot or backslash, `;` or `//`.");
    /// No rule takes it.
    pub const RULE: Lack<'static> = Lack::of("authorize_rule", "No rule allows this method and path.");

    const fn of(reason: &'static str, detail: &'static str) -> Lack<'static> {
        Lack { reason, detail, scopes: &[] }
    }
}

impl Requirement {
    /// What the caller lacks; `None` where nothing is missing. `allow` are a shard's own expressions.
    pub fn lack<L: Lookup>(&self, allow: &[Program], facts: &Facts<'_, L>) -> Option<Lack<'_>> {
        if self.networks.as_ref().is_some_and(|networks| !networks.contains(facts.client)) {
            return Some(Lack::of("authorize_network", "The address is not allowed."));
        }
        if !self.country_holds(facts) {
            return Some(Lack::of("authorize_country", "The country is not allowed."));
        }
        let consumer = facts.consumer();
        if !self.consumers.is_empty() && !consumer.is_some_and(|consumer| self.consumers.contains(&consumer.name)) {
            return Some(Lack::of("authorize_consumer", "The consumer is not allowed."));
        }
        let tenant = consumer.and_then(|consumer| facts.directory.tenant(consumer));
        if !self.tenants.is_empty() && !tenant.is_some_and(|tenant| self.tenants.contains(&tenant.name)) {
            return Some(Lack::of("authorize_tenant", "The tenant is not allowed."));
        }
        if !self.groups.is_empty() && !self.is_member(facts) {
            return Some(Lack { reason: "authorize_group", detail: &self.details.groups, scopes: &[] });
        }
        let allows = |scope: &str| facts.identity.claims.as_ref().is_some_and(|claims| claims.allows(scope));
        if !self.scopes.iter().all(|scope| allows(scope)) {
            return Some(Lack { reason: "authorize_scope", detail: &self.details.scopes, scopes: &self.scopes });
        }
        if !self.scopes_any.is_empty() && !self.scopes_any.iter().any(|scope| allows(scope)) {
            let detail = &self.details.scopes_any;
            return Some(Lack { reason: "authorize_scope", detail, scopes: &self.scopes_any });
        }
        if !allow.iter().all(|program| program.holds(facts) == Ok(true)) {
            return Some(Lack::of("authorize_expression", "A condition does not hold."));
        }
        None
    }

    /// Does it ask who calls?
    pub fn asks_identity(&self) -> bool {
        let lists = [&self.groups, &self.scopes, &self.scopes_any, &self.consumers, &self.tenants];
        lists.iter().any(|list| !list.is_empty()) || self.allow.iter().any(Program::names_consumer)
    }

    fn is_member<L: Lookup>(&self, facts: &Facts<'_, L>) -> bool {
        let member = |group: &str| facts.consumer().is_some_and(|consumer| consumer.is_member(group));
        let claim = self.group_claim.as_deref().and_then(|name| facts.identity.claim(name));
        self.groups.iter().any(|group| member(group) || claim.is_some_and(|claim| names(claim, group)))
    }

    /// Where the country is not known, it is none of those that are named.
    fn country_holds<L: Lookup>(&self, facts: &Facts<'_, L>) -> bool {
        if self.countries.is_empty() && self.countries_denied.is_empty() {
            return true;
        }
        let mut text = Vec::new();
        facts.words.append(&Variable::Country, &mut text);
        let country = std::str::from_utf8(&text).ok().and_then(CountryCode::parse);
        let is_in = |list: &[CountryCode]| country.is_some_and(|country| list.contains(&country));
        (self.countries.is_empty() || is_in(&self.countries)) && !is_in(&self.countries_denied)
    }
}

/// Does a claim name this group: as its text, or as a text of its list?
fn names(claim: &serde_json::Value, group: &str) -> bool {
    match claim {
        serde_json::Value::String(text) => text == group,
        serde_json::Value::Array(list) => list.iter().any(|item| item.as_str() == Some(group)),
        _ => false,
    }
}
