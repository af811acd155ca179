// SPDX-License-Identifier: Apache-2.0
//! Versions of APIs, which are named in logs, usage and metrics. What clients are told of them is the policy's.

use std::sync::Arc;

/// A version of an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionPlan {
    /// The policy that knows it; empty where a route says it.
    pub policy: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}
