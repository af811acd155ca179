// SPDX-License-Identifier: Apache-2.0
//! `Content-Digest` (RFC 9530): does a body have the digests that a field says?

use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::wire::structured::{self, Bare, Item, Member};

/// How content and a field agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// Every digest of an algorithm that is known is right, and there is one.
    Agrees,
    /// A digest is wrong.
    Differs,
    /// The field is malformed, or has no digest by SHA-256 or SHA-512.
    Unreadable,
}

/// Compares content with the combined value of `Content-Digest`. Broken algorithms of the registry (MD5 and others)
/// count as unknown.
pub(crate) fn compare(field: &[u8], content: &[u8]) -> Agreement {
    let Some(digests) = structured::dictionary(field) else { return Agreement::Unreadable };
    let mut agreement = Agreement::Unreadable;
    for (name, member) in &digests {
        let Member::Item(Item { value: Bare::Bytes(stated), .. }) = member else { return Agreement::Unreadable };
        let same = match name.as_str() {
            "sha-256" => Sha256::digest(content).as_slice().ct_eq(stated),
            "sha-512" => Sha512::digest(content).as_slice().ct_eq(stated),
            _ => continue,
        };
        if !bool::from(same) {
            return Agreement::Differs;
        }
        agreement = Agreement::Agrees;
    }
    agreement
}
