// SPDX-License-Identifier: Apache-2.0
//! Makes JWTs for requests of tests (RFC 7519, HS256).

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::base::Wall;
use crate::trial::spec::JwtSpec;

/// The token that `spec` describes, at this time.
pub(super) fn token(spec: &JwtSpec, now: Wall) -> String {
    let mut head = json!({ "alg": "HS256", "typ": "JWT" });
    if let Some(kid) = &spec.kid {
        head["kid"] = kid.as_str().into();
    }
    let mut claims: Map<String, Value> = spec.claims.clone().into_iter().collect();
    if let Some(wait) = &spec.expires_in {
        claims.insert("exp".to_owned(), now.seconds().saturating_add(wait.0.as_secs()).into());
    }
    let part = |value: String| URL_SAFE_NO_PAD.encode(value);
    let signed = format!("{}.{}", part(head.to_string()), part(Value::Object(claims).to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, spec.secret.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}
