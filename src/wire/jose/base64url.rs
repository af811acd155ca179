// SPDX-License-Identifier: Apache-2.0
//! base64url without padding (RFC 7515 appendix C). Each byte string has exactly one form: padding, white space,
//! letters of the other alphabet and trailing bits that are not zero are refused, so that a token cannot be written in
//! two ways.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text that stands for `bytes`.
pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes that `text` stands for.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
