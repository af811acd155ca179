// SPDX-License-Identifier: Apache-2.0
//! What must hold for any bytes that come as a token, as a set of keys or as a URL.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::wire::jose::algorithm::Algorithm;
use crate::wire::jose::key::{Key, KeySet, Secrets};
use crate::wire::jose::token::Token;
use crate::wire::jose::verify::Verifier;
use crate::wire::url::Url;

/// A token has one form, and none verifies with keys that nobody has signed with; a set holds usable keys only; a URL
/// means the same when it is read again.
pub fn tokens(bytes: &[u8]) {
    if let Ok(token) = Token::read(bytes) {
        let parts: Vec<&[u8]> = bytes.split(|byte| *byte == b'.').collect();
        assert_eq!(parts.len(), 3);
        assert_eq!(URL_SAFE_NO_PAD.encode(&token.signature).as_bytes(), parts[2]);
        assert_eq!(token.signed.len(), parts[0].len() + 1 + parts[1].len());
        let secret = Key::secret(b"a secret that signs no token at all").expect("long enough");
        if let Some(verifier) = Verifier::new(&secret, token.algorithm) {
            assert!(!verifier.verifies(token.signed, &token.signature));
        }
        // Whether they are claims or not: reading them ends.
        let _ = token.claims();
    }
    for secrets in [Secrets::Taken, Secrets::Ignored] {
        let Ok(set) = KeySet::read(bytes, secrets) else { continue };
        for key in &set.keys {
            let fitting = Algorithm::ALL.iter().filter(|algorithm| key.fits(**algorithm));
            assert!(fitting.clone().all(|algorithm| Verifier::new(key, *algorithm).is_some()));
            assert!(
                Algorithm::ALL
                    .iter()
                    .filter(|algorithm| !key.fits(**algorithm))
                    .all(|algorithm| { Verifier::new(key, *algorithm).is_none() })
            );
        }
    }
    // A text that is no PEM is no key.
    let _ = Key::of_pem(bytes);
    if let Ok(url) = std::str::from_utf8(bytes).map_err(|_| "").and_then(Url::parse) {
        assert_eq!(Url::parse(&url.to_string()), Ok(url));
    }
}
