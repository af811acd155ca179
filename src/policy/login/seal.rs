// SPDX-License-Identifier: Apache-2.0
//! Seals what lies in a browser: nobody else can read it, change it, or put pieces of two together.
//!
//! AES-256-GCM-SIV (RFC 8452): a nonce that is drawn twice tells that two texts are equal, and nothing more. The key is
//! derived from the operator's secret for one policy, and what a text is for is sealed with it, so that no text can be
//! used for something else. The first secret seals; all of them open, so that secrets can be exchanged.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Bytes of the randomness that sealing takes.
pub(crate) const NONCE_BYTES: usize = 12;

/// What a sealed text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A login that is under way.
    Ticket,
    /// A session.
    Session,
}

impl Purpose {
    const fn word(self) -> &'static [u8] {
        match self {
            Purpose::Ticket => b"ticket",
            Purpose::Session => b"session",
        }
    }
}

/// Keys of one policy; at least one.
#[derive(Clone)]
pub struct SealingKeys {
    keys: Vec<SealingKey>,
}

#[derive(Clone)]
struct SealingKey {
    /// What it is known by in a text.
    mark: [u8; MARK_BYTES],
    /// The derived key itself, to compare it with that of another plan.
    bytes: [u8; 32],
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SealingKeys({})", self.keys.len())
    }
}

impl PartialEq for SealingKeys {
    fn eq(&self, other: &SealingKeys) -> bool {
        self.keys.iter().map(|key| key.bytes).eq(other.keys.iter().map(|key| key.bytes))
    }
}

impl SealingKeys {
    /// Of an operator's secrets, for what `context` names. The first seals.
    pub(crate) fn new<'s>(secrets: impl Iterator<Item = &'s [u8]>, context: &str) -> SealingKeys {
        SealingKeys { keys: secrets.map(|secret| SealingKey::derive(secret, context)).collect() }
    }

    /// Seals a text with this randomness. `None` where there is no key, or the text is longer than any cookie.
    pub(crate) fn seal(&self, purpose: Purpose, text: &[u8], random: [u8; NONCE_BYTES]) -> Option<String> {
        let key = self.keys.first()?;
        let mut sealed = text.to_vec();
        key.cipher()?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(random), Aad::from(purpose.word()), &mut sealed)
            .ok()?;
        Some(URL_SAFE_NO_PAD.encode([&key.mark[..], &random, &sealed].concat()))
    }

    /// What was sealed; `None` where no key of these sealed it for this purpose, or where it was changed.
    pub(crate) fn open(&self, purpose: Purpose, text: &[u8]) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (mark, rest) = bytes.split_first_chunk::<MARK_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
        self.keys.iter().filter(|key| key.mark == *mark).find_map(|key| {
            let mut opened = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let length = key.cipher()?.open_in_place(nonce, Aad::from(purpose.word()), &mut opened).ok()?.len();
            opened.truncate(length);
            Some(opened)
        })
    }

    /// What tells these keys from others, and tells nothing of them.
    pub(crate) fn marks(&self) -> Vec<[u8; MARK_BYTES]> {
        self.keys.iter().map(|key| key.mark).collect()
    }

    /// Bytes of a sealed text of so many bytes.
    pub(crate) const fn sealed_bytes(text: usize) -> usize {
        ((MARK_BYTES + NONCE_BYTES + TAG_BYTES + text) * 4).div_ceil(3)
    }
}

impl SealingKey {
    fn derive(secret: &[u8], context: &str) -> SealingKey {
        let parts = [context.as_bytes()];
        let mut derived = [0; MARK_BYTES + 32];
        let expanded = Salt::new(HKDF_SHA256, b"turnpike browser sessions")
            .extract(secret)
            .expand(&parts, DerivedBytes)
            .and_then(|material| material.fill(&mut derived));
        expanded.expect("HKDF-SHA256 gives up to 8160 bytes");
        let (mut mark, mut bytes) = ([0; MARK_BYTES], [0; 32]);
        mark.copy_from_slice(&derived[..MARK_BYTES]);
        bytes.copy_from_slice(&derived[MARK_BYTES..]);
        SealingKey { mark, bytes }
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM_SIV, &self.bytes).ok().map(LessSafeKey::new)
    }
}

/// As many bytes as a key and its mark have.
struct DerivedBytes;

impl KeyType for DerivedBytes {
    fn len(&self) -> usize {
        MARK_BYTES + 32
    }
}

const MARK_BYTES: usize = 4;
const TAG_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn keys(secrets: &[&str]) -> SealingKeys {
        SealingKeys::new(secrets.iter().map(|secret| secret.as_bytes()), "policy")
    }

    #[test]
    fn a_secret_is_exchanged_while_sessions_go_on() {
        let (old, both, new) = (keys(&["old"]), keys(&["new", "old"]), keys(&["new"]));
        let sealed = old.seal(Purpose::Session, b"text", [1; 12]).unwrap();
        assert_eq!(both.open(Purpose::Session, sealed.as_bytes()).as_deref(), Some(&b"text"[..]));
        assert_eq!(new.open(Purpose::Session, sealed.as_bytes()), None);
        let sealed = both.seal(Purpose::Session, b"text", [1; 12]).unwrap();
        assert_eq!(new.open(Purpose::Session, sealed.as_bytes()).as_deref(), Some(&b"text"[..]));
    }

    #[test]
    fn a_text_is_good_for_one_purpose_of_one_policy() {
        let sealed = keys(&["s"]).seal(Purpose::Ticket, b"text", [2; 12]).unwrap();
        assert_eq!(keys(&["s"]).open(Purpose::Session, sealed.as_bytes()), None);
        let other = SealingKeys::new([&b"s"[..]].into_iter(), "another policy");
        assert_eq!(other.open(Purpose::Ticket, sealed.as_bytes()), None);
        assert!(keys(&[]).seal(Purpose::Ticket, b"text", [2; 12]).is_none());
    }

    proptest! {
        #[test]
        fn what_is_sealed_comes_back_and_nothing_else_does(
            text in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            change in 1_u8..=255,
        ) {
            let keys = keys(&["s"]);
            let sealed = keys.seal(Purpose::Session, &text, [3; 12]).unwrap();
            prop_assert_eq!(sealed.len(), SealingKeys::sealed_bytes(text.len()));
            prop_assert_eq!(keys.open(Purpose::Session, sealed.as_bytes()), Some(text));
            let mut changed = sealed.clone().into_bytes();
            let at = at.index(changed.len());
            changed[at] ^= change;
            prop_assert!(keys.open(Purpose::Session, &changed).is_none());
            prop_assert!(keys.open(Purpose::Session, &sealed.as_bytes()[..at]).is_none());
        }
    }
}
