// SPDX-License-Identifier: Apache-2.0
//! A login that is under way, as it lies sealed in a cookie of the browser that began it. A browser that lacks the
//! cookie cannot end the login, whoever sent it the URL.

use serde::{Deserialize, Serialize};

/// A login that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ticket {
    /// What the issuer hands back with its response.
    #[serde(rename = "s")]
    pub state: String,
    /// What the ID token must repeat.
    #[serde(rename = "n")]
    pub nonce: String,
    /// What proves to the issuer who began (RFC 7636).
    #[serde(rename = "v")]
    pub verifier: String,
    /// Where the browser goes afterwards: a path of the same origin.
    #[serde(rename = "r")]
    pub return_to: String,
    /// When it began, in seconds since 1970.
    #[serde(rename = "t")]
    pub begun: u64,
}

/// How long a login may be under way, in seconds.
pub(crate) const TICKET_SECONDS: u64 = 10 * 60;
/// Characters of a `state`: 256 bits in base64url.
pub(crate) const STATE_CHARS: usize = 43;
/// Characters of it that the name of the cookie has.
const NAMED_CHARS: usize = 12;

impl Ticket {
    /// Is it too old at this time?
    pub(crate) fn is_over(&self, seconds: u64) -> bool {
        seconds > self.begun.saturating_add(TICKET_SECONDS) || seconds.saturating_add(TICKET_SECONDS) < self.begun
    }
}

/// The part of a `state` that the cookie's name has; `None` where it is no `state` of ours.
pub(crate) fn mark_of(state: &[u8]) -> Option<&[u8]> {
    let ours = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    (state.len() == STATE_CHARS && state.iter().all(ours)).then(|| &state[..NAMED_CHARS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_for_ten_minutes() {
        let text = String::new();
        let (nonce, verifier, return_to) = (text.clone(), text.clone(), text.clone());
        let ticket = Ticket { state: text, nonce, verifier, return_to, begun: 1_000 };
        for (seconds, over) in [(1_000, false), (1_600, false), (1_601, true), (400, false), (399, true)] {
            assert_eq!(ticket.is_over(seconds), over, "{seconds}");
        }
    }

    #[test]
    fn only_a_state_of_ours_names_a_cookie() {
        let state = "abcDEF012-_9".to_owned() + &"x".repeat(31);
        assert_eq!(mark_of(state.as_bytes()), Some(&b"abcDEF012-_9"[..]));
        for bad in ["", "a", &"x".repeat(44), &format!("{};", "x".repeat(42)), &format!("é{}", "x".repeat(41))] {
            assert_eq!(mark_of(bad.as_bytes()), None, "{bad}");
        }
    }
}
