// SPDX-License-Identifier: Apache-2.0
//! HTTP Message Signatures of requests (RFC 9421): what a signature covers, the base that is signed, the algorithms,
//! and digests of content (RFC 9530).

mod base;
pub(crate) mod digest;
mod verifier;

pub(crate) use base::{BaseError, Signed, is_covered};
pub(crate) use verifier::{Algorithm, Verifier};
