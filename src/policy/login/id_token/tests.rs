// SPDX-License-Identifier: Apache-2.0
//! What an issuer, or somebody who would like to be one, may send.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::policy::jwt::KeySource;
use crate::policy::{Keys, SourceId};
use crate::wire::jose::sample::Signer;
use crate::wire::jose::{KeySet, Secrets};

const NOW: Wall = Wall(1_800_000_000_000_000);
const SECONDS: u64 = 1_800_000_000;
const ISSUER: &str = "https://login.test";

fn expected() -> Expected<'static> {
    let algorithms = [Algorithm::Es256, Algorithm::Rs256, Algorithm::EdDsa].into_iter().collect();
    Expected { issuer: ISSUER, client: "gateway", algorithms, leeway: Duration::from_secs(30) }
}

fn keys(signer: &Signer) -> IssuerKeys {
    let set = KeySet::read(&signer.set("k"), Secrets::Ignored).expect("a set");
    let mut keys = IssuerKeys::new(&KeySource::Asked(SourceId(1)), Duration::ZERO);
    keys.learn(&Keys { source: SourceId(1), set: Some(Arc::new(set)) });
    keys
}

fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "sub": "anna", "aud": "gateway", "iat": SECONDS, "exp": SECONDS + 60, "nonce": "n",
    });
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

#[test]
fn an_id_token_is_for_this_login_of_this_client_alone() {
    let signer = Signer::new(Algorithm::Es256);
    let mut keys = keys(&signer);
    let fits = Fits { nonce: Some("n"), access_token: Some("access") };
    let hash = half_hash(Algorithm::Es256, "access");
    let cases = [
        (json!({}), true),
        (json!({"aud": ["gateway"]}), true),
        (json!({"aud": ["gateway", "other"], "azp": "gateway"}), true),
        (json!({"at_hash": hash}), true),
        (json!({"exp": SECONDS - 29}), true),
        (json!({"aud": ["gateway", "other"]}), false),
        (json!({"aud": ["gateway", "other"], "azp": "other"}), false),
        (json!({"azp": "other"}), false),
        (json!({"azp": 7}), false),
        (json!({"aud": "other"}), false),
        (json!({"aud": "Gateway"}), false),
        (json!({"aud": "gateway "}), false),
        (json!({"aud": {"gateway": true}}), false),
        (json!({"aud": null}), false),
        (json!({"iss": "https://login.test/"}), false),
        (json!({"iss": "https://LOGIN.test"}), false),
        (json!({"iss": [ISSUER]}), false),
        (json!({"iss": null}), false),
        (json!({"sub": null}), false),
        (json!({"sub": ""}), false),
        (json!({"sub": 7}), false),
        (json!({"sub": "x".repeat(256)}), false),
        (json!({"nonce": "m"}), false),
        (json!({"nonce": null}), false),
        (json!({"nonce": ["n"]}), false),
        (json!({"exp": SECONDS - 31}), false),
        (json!({"exp": null}), false),
        (json!({"exp": "9999999999"}), false),
        (json!({"iat": SECONDS + 31}), false),
        (json!({"iat": null}), false),
        (json!({"nbf": SECONDS + 31}), false),
        (json!({"at_hash": half_hash(Algorithm::Es256, "another")}), false),
        (json!({"at_hash": half_hash(Algorithm::EdDsa, "access")}), false),
        (json!({"at_hash": 7}), false),
    ];
    for (changes, good) in cases {
        let token = signer.token("k", &claims(&changes));
        assert_eq!(id_token(&token, &mut keys, &expected(), fits, NOW).is_ok(), good, "{changes}");
    }
}

#[test]
fn a_signature_is_that_of_a_key_of_the_issuer() {
    let signer = Signer::new(Algorithm::Es256);
    let mut keys = keys(&signer);
    let mut outcome = |token: &str| id_token(token, &mut keys, &expected(), Fits::default(), NOW).map(|_| ());
    let text = claims(&json!({})).to_string();
    assert_eq!(outcome(&signer.sign(r#"{"alg":"ES256","kid":"k"}"#, &text)), Ok(()));
    assert_eq!(outcome(&signer.sign(r#"{"alg":"ES256"}"#, &text)), Ok(()));
    // A newer key of the issuer, as far as anybody can tell.
    assert_eq!(outcome(&signer.sign(r#"{"alg":"ES256","kid":"new"}"#, &text)), Err(TokenFault::Key));
    let other = Signer::new(Algorithm::Es256);
    for header in [
        r#"{"alg":"none","kid":"k"}"#,
        r#"{"alg":"None","kid":"k"}"#,
        r#"{"alg":"HS256","kid":"k"}"#,
        r#"{"alg":"PS256","kid":"k"}"#,
        r#"{"alg":"ES256","kid":"k","crit":["b64"],"b64":false}"#,
        r#"{"alg":"ES256","kid":"k","typ":"at+jwt"}"#,
        r#"{"alg":"ES256","kid":"k","typ":"logout+jwt"}"#,
        r#"{"alg":"ES256","kid":"k","alg":"ES256"}"#,
    ] {
        assert!(matches!(outcome(&signer.sign(header, &text)), Err(TokenFault::Wrong(_))), "{header}");
    }
    let embedded = format!(r#"{{"alg":"ES256","kid":"k","jwk":{}}}"#, other.jwk("k"));
    assert_eq!(outcome(&other.sign(&embedded, &text)), Err(TokenFault::Wrong("its signature is wrong")));
    let twice = text.replacen('{', r#"{"sub":"mallory","#, 1);
    assert!(outcome(&signer.sign(r#"{"alg":"ES256","kid":"k"}"#, &twice)).is_err());
}

#[test]
fn a_logout_token_is_no_id_token() {
    let signer = Signer::new(Algorithm::EdDsa);
    let mut keys = keys(&signer);
    let event = json!({EVENT: {}});
    let base = |changes: &Value| {
        let mut all = json!({"nonce": null, "jti": "j", "events": event, "sid": "s"});
        all.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        claims(&all)
    };
    let cases = [
        (json!({}), true),
        (json!({"sub": null}), true),
        (json!({"sid": null}), true),
        (json!({"exp": null}), true),
        (json!({"exp": null, "iat": SECONDS - 151}), false),
        (json!({"sid": null, "sub": null}), false),
        (json!({"sid": ""}), false),
        (json!({"sub": 7}), false),
        (json!({"jti": null}), false),
        (json!({"jti": ""}), false),
        (json!({"events": null}), false),
        (json!({"events": {}}), false),
        (json!({"events": {EVENT: true}}), false),
        (json!({"events": [EVENT]}), false),
        (json!({"nonce": "n"}), false),
        (json!({"aud": "other"}), false),
        (json!({"iss": "https://other.test"}), false),
        (json!({"exp": SECONDS - 31}), false),
    ];
    for (changes, good) in cases {
        let header = r#"{"alg":"EdDSA","kid":"k","typ":"logout+jwt"}"#;
        let token = signer.sign(header, &base(&changes).to_string());
        assert_eq!(logout_token(&token, &mut keys, &expected(), NOW).is_ok(), good, "{changes}");
        assert!(id_token(&token, &mut keys, &expected(), Fits::default(), NOW).is_err(), "{changes}");
    }
    let id = signer.token("k", &claims(&json!({})));
    assert!(logout_token(&id, &mut keys, &expected(), NOW).is_err());
}
