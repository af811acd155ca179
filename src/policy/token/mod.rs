// SPDX-License-Identifier: Apache-2.0
//! What the policies have in common that identify callers by a token: where it stands in a request, what is remembered
//! of it, which claims the upstream is told, and how a refusal is said.

pub(crate) mod admission;
pub(crate) mod cache;
pub(crate) mod challenge;
pub(crate) mod claim;
pub(crate) mod consumer;
pub(crate) mod location;
pub(crate) mod rules;
pub(crate) mod upstream;

pub(crate) use admission::Admission;
pub(crate) use cache::{Cache, TokenHash, hash_of};
pub(crate) use challenge::{Challenge, Refusal};
pub(crate) use claim::ClaimPath;
pub(crate) use consumer::{ConsumerBy, ConsumerKey, ConsumerRule, Unknown};
pub(crate) use location::{Found, TokenLocation};
pub(crate) use rules::{ClaimDemands, Rules};
pub(crate) use upstream::{ClaimTexts, Credential, ToUpstream};
