// SPDX-License-Identifier: Apache-2.0
//! Who asks, and what it may.

use hyper::header::{HeaderValue, WWW_AUTHENTICATE};

use crate::config::spec::server::AdminRole;
use crate::control::admin::problem::{Problem, Reason};
use crate::control::admin::router::Need;

/// What every token of the store begins with.
pub(crate) const PREFIX: &str = "tpa";
/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    /// What tells it from others: the name of a token, `control socket` or `anonymous`.
    pub name: String,
    /// What it may do; `None` without a token.
    pub role: Option<AdminRole>,
    /// Does it ask from this machine?
    pub local: bool,
}

impl Principal {
    /// Somebody with a role, from anywhere.
    pub(crate) fn new(name: &str, role: AdminRole) -> Principal {
        Principal { name: name.to_owned(), role: Some(role), local: false }
    }

    /// May it use a route that needs this?
    pub(crate) fn may(&self, need: Need) -> Result<(), Problem> {
        let least = match need {
            Need::Nothing => return Ok(()),
            Need::Local if self.local || self.role.is_some() => return Ok(()),
            Need::Local => AdminRole::Viewer,
            Need::Role(role) => role,
        };
        match self.role {
            Some(role) if role >= least => Ok(()),
            Some(role) => {
                let detail = format!("the token has the role {}; this needs the role {}", role.word(), least.word());
                Err(Problem::new(Reason::RoleTooLow, detail).with("role", least.word().into()))
            }
            None => {
                let detail = format!(
                    "this needs a token with the role {least}, as `Authorization: Bearer TOKEN`: one of [admin], or \
                     one that `turnpike admin-token create` made; over the control socket none is needed",
                    least = least.word()
                );
                Err(unauthenticated(detail))
            }
        }
    }
}

/// The role of that word.
pub(crate) fn role_of(word: &str) -> Option<AdminRole> {
    [AdminRole::Viewer, AdminRole::Operator, AdminRole::Admin].into_iter().find(|role| role.word() == word)
}

/// A refusal for want of a token that is right.
pub(crate) fn unauthenticated(detail: String) -> Problem {
    Problem::new(Reason::Unauthenticated, detail).field(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}
