// SPDX-License-Identifier: Apache-2.0
//! Signed tokens: JSON Web Signatures in compact form (RFC 7515), the keys that verify them (RFC 7517, RFC 7518) and
//! the JSON inside, read strictly.
//!
//! The format is read here and not by a JOSE crate, because what counts is what must be refused: members that stand
//! twice, sloppy base64url, keys that come with the token, algorithms that do not belong to the key. The signatures
//! themselves are verified by aws-lc-rs, which TLS uses as well.
//!
//! ```text
//!  bytes ─► Token (header read, nothing verified) ─► a key that fits ─► Verifier ─► claims
//! ```

mod algorithm;
mod base64url;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod check;
mod json;
mod key;
mod sign;
mod token;
mod verify;

pub(crate) use algorithm::{Algorithm, AlgorithmSet};
pub(crate) use json::{Members, members};
pub(crate) use key::{Key, KeyError, KeySet, SECRET_BYTES_MIN, Secrets};
pub(crate) use sign::{SigningKey, published};
pub(crate) use token::{Token, TokenError};
pub(crate) use verify::Verifier;

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
