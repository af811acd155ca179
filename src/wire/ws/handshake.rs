// SPDX-License-Identifier: Apache-2.0
//! The opening handshake's proof (RFC 6455 sections 4.1 and 4.2.2), which HTTP/1.1 has and HTTP/2 does without: where
//! the two ends use different versions, the gateway generates and checks the proof.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// Bytes of a key as text.
pub(crate) const KEY_BYTES: usize = 24;
/// Bytes of its answer as text.
pub(crate) const ACCEPT_BYTES: usize = 28;
/// What every server adds to the key (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key of 16 random bytes, as it stands in `Sec-WebSocket-Key`.
pub(crate) fn key(random: [u64; 2]) -> [u8; KEY_BYTES] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random[0].to_be_bytes());
    bytes[8..].copy_from_slice(&random[1].to_be_bytes());
    text(&bytes)
}

/// What a server says in `Sec-WebSocket-Accept` to a client with this key.
pub(crate) fn accept(key: &[u8]) -> [u8; ACCEPT_BYTES] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    text(&digest)
}

fn text<const LEN: usize>(bytes: &[u8]) -> [u8; LEN] {
    let mut text = [0; LEN];
    let written = STANDARD.encode_slice(bytes, &mut text);
    debug_assert_eq!(written.ok(), Some(LEN), "the lengths of both are fixed");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_rfc_has_it() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let made = key([u64::from_be_bytes(*b"the samp"), u64::from_be_bytes(*b"le nonce")]);
        assert_eq!(made, *b"dGhlIHNhbXBsZSBub25jZQ==");
    }
}
