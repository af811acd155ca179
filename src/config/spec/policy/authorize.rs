// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.authorize]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::Network;
use crate::config::spec::shape::{Many, table};

/// Declares a table with the keys of a requirement and others.
macro_rules! requirement {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$key_meta:meta])* $key:ident: $kind:ty = $default:expr,)* }) => {
        table! {
            $(#[$meta])*
            pub struct $name {
                $($(#[$key_meta])* $key: $kind = $default,)*
                /// Groups, of which the consumer must be in one.
                groups: Many<Located<String>> = Many::default(),
                /// A claim of the token (a text or a list) whose texts count as groups, too.
                group_claim: Option<Located<String>> = None,
                /// Scopes, all of which the token must have (`scope` or `scp`).
                scopes: Many<Located<String>> = Many::default(),
                /// Scopes, of which the token must have one.
                scopes_any: Many<Located<String>> = Many::default(),
                /// Consumers by name, of which the caller must be one.
                consumers: Many<Located<String>> = Many::default(),
                /// Tenants by name, of one of which the consumer must be.
                tenants: Many<Located<String>> = Many::default(),
                /// Networks, of which one must hold the client's address, or one of `ip_sets` must.
                networks: Many<Network> = Many::default(),
                /// Names of `[ip_set.NAME]`; see `networks`.
                ip_sets: Many<Located<String>> = Many::default(),
                /// Countries by their two letters, of which the client must come from one. Needs `[geoip]`. Whose
                /// country is not known comes from none.
                countries: Many<Located<String>> = Many::default(),
                /// Countries that the client must not come from.
                deny_countries: Many<Located<String>> = Many::default(),
                /// CEL expressions, all of which must hold; see `docs/expressions.md`. One that fails does not hold.
                allow: Many<Located<String>> = Many::default(),
            }
        }

        impl $name {
            /// What it has in common with others.
            pub(crate) fn requirement(&self) -> RequirementSpec<'_> {
                RequirementSpec {
                    groups: &self.groups,
                    group_claim: self.group_claim.as_ref(),
                    scopes: &self.scopes,
                    scopes_any: &self.scopes_any,
                    consumers: &self.consumers,
                    tenants: &self.tenants,
                    networks: &self.networks,
                    ip_sets: &self.ip_sets,
                    countries: &self.countries,
                    deny_countries: &self.deny_countries,
                    allow: &self.allow,
                }
            }
        }
    };
}

/// The keys of a requirement.
#[derive(Clone, Copy)]
pub(crate) struct RequirementSpec<'s> {
    pub groups: &'s Many<Located<String>>,
    pub group_claim: Option<&'s Located<String>>,
    pub scopes: &'s Many<Located<String>>,
    pub scopes_any: &'s Many<Located<String>>,
    pub consumers: &'s Many<Located<String>>,
    pub tenants: &'s Many<Located<String>>,
    pub networks: &'s Many<Network>,
    pub ip_sets: &'s Many<Located<String>>,
    pub countries: &'s Many<Located<String>>,
    pub deny_countries: &'s Many<Located<String>>,
    pub allow: &'s Many<Located<String>>,
}

requirement! {
    /// Who may; others get 403. Everything that is given must hold, then the first of `rules` that takes the request
    /// says what else must.
    #[schemars(rename = "AuthorizeSpec")]
    pub struct Spec {
        /// CEL expressions, of which none may hold. One that fails counts as holding.
        deny: Many<Located<String>> = Many::default(),
        /// What else is required, by method and path. The first rule that takes a request decides. A request is refused
        /// where its path may be read in two ways (`%2F`, `%5C`, `%2E`, `;`, `//`) and a rule names paths; fields and
        /// parameters that change the method at an origin are removed where a rule names methods.
        rules: Many<Located<RuleSpec>> = Many::default(),
        /// What becomes of a request that no rule takes.
        otherwise: Otherwise = Otherwise::Refuse,
        /// Tell refused clients what is missing.
        verbose: bool = false,
    }
}

requirement! {
    /// What is required of requests with these methods and paths.
    #[schemars(rename = "AuthorizeRuleSpec")]
    pub struct RuleSpec {
        /// Methods, of which one must match; without it all. `GET` includes `HEAD`.
        methods: Many<Located<String>> = Many::default(),
        /// Paths as in a route's `path`, of which one must match; without any key for the path, every path.
        path: Many<Located<String>> = Many::default(),
        /// Prefixes by whole segments, as in a route's `path_prefix`; one of these or of `path` must match.
        path_prefix: Many<Located<String>> = Many::default(),
        /// Compare paths without regard to the case of ASCII letters, for origins that do.
        ignore_case: bool = false,
    }
}

/// What becomes of a request that no rule takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Otherwise {
    /// It is refused.
    #[default]
    Refuse,
    /// It passes.
    Pass,
}
