// SPDX-License-Identifier: Apache-2.0
//! Tokens and keys: published examples, every algorithm with every key, and what must be refused.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::{any, prop, prop_assert, proptest};
use serde_json::{Value, json};

use super::key::KeyError;
use super::sample::{Signer, encode};
use super::*;

fn verified(set: &KeySet, token: &str) -> bool {
    let Ok(token) = Token::read(token.as_bytes()) else { return false };
    let mut verifiers = set.keys.iter().filter_map(|key| Verifier::new(key, token.algorithm));
    verifiers.any(|verifier| verifier.verifies(token.signed, &token.signature))
}

fn one(key: Value) -> Result<KeySet, KeyError> {
    KeySet::read(json!({ "keys": [key] }).to_string().as_bytes(), Secrets::Taken)
}

/// The secret of RFC 7515 appendix A.1.
const SECRET: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";

#[test]
fn published_examples_verify() {
    // RFC 7515 appendices A.1 and A.3, RFC 8037 appendix A.4.
    let cases = [
        (
            json!({"kty": "oct", "k": SECRET}),
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
             cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        (
            json!({
                "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
            }),
            "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290\
             Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhi\
             jcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ];
    for (key, token) in cases {
        assert!(verified(&one(key).unwrap(), token), "{token}");
    }
}

#[test]
fn a_key_verifies_what_it_has_signed_and_nothing_else() {
    let signers: Vec<Signer> = Algorithm::ALL.iter().map(|algorithm| Signer::new(*algorithm)).collect();
    let claims = json!({"sub": "anna"});
    for (at, signer) in signers.iter().enumerate() {
        let token = signer.token("", &claims);
        for (other_at, other) in signers.iter().enumerate() {
            let set = KeySet::read(&other.set("k"), Secrets::Taken).unwrap();
            assert_eq!(verified(&set, &token), at == other_at, "{:?} by {:?}", signer.algorithm, other.algorithm);
        }
    }
}

#[test]
fn a_public_key_is_no_secret() {
    // The oldest attack: HS256 with the public key, in any form, as the secret.
    let signer = Signer::new(Algorithm::Rs256);
    let set = KeySet::read(&signer.set("k"), Secrets::Taken).unwrap();
    let forged = signer.sign(r#"{"alg":"HS256"}"#, "{}");
    assert!(!verified(&set, &forged));
    assert!(Algorithm::ALL.iter().all(|algorithm| {
        let name = algorithm.name();
        let is_rsa = name.starts_with("RS") || name.starts_with("PS");
        set.keys[0].fits(*algorithm) == is_rsa
    }));
    let bound = one({
        let mut key = signer.jwk("k");
        key["alg"] = "PS256".into();
        key
    });
    assert!(!verified(&bound.unwrap(), &signer.token("", &json!({}))), "its owner allows another algorithm only");
}

#[test]
fn what_is_no_token() {
    let signer = Signer::new(Algorithm::Hs256);
    let good = signer.token("", &json!({"a": 1}));
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let head = |text: &str| signer.sign(text, "{}");
    let cases: Vec<(String, TokenError)> = vec![
        (String::new(), TokenError::Parts),
        ("..".into(), TokenError::Json),
        (format!("{header}.{claims}"), TokenError::Parts),
        (format!("{good}."), TokenError::Parts),
        (format!("{header}.{claims}.{signature}.{claims}.{claims}"), TokenError::Parts),
        (format!("{header}=.{claims}.{signature}"), TokenError::Base64),
        (format!("{header}.{claims}.{signature}="), TokenError::Base64),
        (format!(" {good}"), TokenError::Base64),
        (format!("{header}.{claims}.{signature}\n"), TokenError::Base64),
        (format!("{header}.{claims}.{}", STANDARD.encode([0xff; 32])), TokenError::Base64),
        // The last letter has two bits that mean nothing and must be zero.
        (format!("{header}.{claims}.{}B", &encode(&[0; 32])[..42]), TokenError::Base64),
        (format!("{}.{claims}.{signature}", "a".repeat(20_000)), TokenError::Long),
        (head("[]"), TokenError::Json),
        (head("{}"), TokenError::Algorithm),
        (head(r#"{"alg":"none"}"#), TokenError::Algorithm),
        (head(r#"{"alg":"None"}"#), TokenError::Algorithm),
        (head(r#"{"alg":"nOnE"}"#), TokenError::Algorithm),
        (head(r#"{"alg":"hs256"}"#), TokenError::Algorithm),
        (head(r#"{"alg":"HS256 "}"#), TokenError::Algorithm),
        (head(r#"{"alg":["HS256"]}"#), TokenError::Algorithm),
        (head(r#"{"alg":null}"#), TokenError::Algorithm),
        (head(r#"{"alg":"ES256K"}"#), TokenError::Algorithm),
        (head(r#"{"alg":"RSA1_5","enc":"A128GCM"}"#), TokenError::Algorithm),
        (head(r#"{"alg":"HS256","alg":"HS256"}"#), TokenError::Json),
        (head(r#"{"alg":"HS256","\u0061lg":"none"}"#), TokenError::Json),
        (head(r#"{"alg":"HS256","jwk":{"k":"a","k":"b"}}"#), TokenError::Json),
        (head(r#"{"alg":"HS256","crit":["exp"],"exp":1}"#), TokenError::Critical),
        (head(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#), TokenError::Critical),
        (head(r#"{"alg":"HS256","crit":[]}"#), TokenError::Critical),
        (head(r#"{"alg":"HS256","kid":7}"#), TokenError::Header),
        (head(r#"{"alg":"HS256","kid":{"a":"b"}}"#), TokenError::Header),
        (head(r#"{"alg":"HS256","typ":null}"#), TokenError::Header),
    ];
    for (text, error) in cases {
        assert_eq!(Token::read(text.as_bytes()).map(|_| ()), Err(error), "{text}");
    }
    let odd = |claims: &str| Token::read(signer.sign(r#"{"alg":"HS256"}"#, claims).as_bytes()).unwrap().claims();
    for claims in
        [r#"{"sub":"a","sub":"b"}"#, r#"{"a":{"b":1,"b":2}}"#, "[]", "7", "", "{\"a\":1}x", "{\"a\":\"\\ud800\"}"]
    {
        let _: Result<Members, TokenError> = {
            assert_eq!(odd(claims), Err(TokenError::Json), "{claims}");
            odd(claims)
        };
    }
    assert!(odd(&format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100))).is_err());
}

#[test]
fn keys_in_the_header_mean_nothing() {
    let (owner, attacker) = (Signer::new(Algorithm::Es256), Signer::new(Algorithm::Es256));
    let set = KeySet::read(&owner.set("k"), Secrets::Ignored).unwrap();
    for more in [
        json!({"jwk": attacker.jwk("k")}),
        json!({"jku": "https://attacker.test/keys"}),
        json!({"x5u": "https://attacker.test/chain"}),
        json!({"x5c": ["MIIB"]}),
        json!({"kid": "../../dev/null"}),
        json!({"kid": "k' OR '1'='1"}),
    ] {
        let mut header = json!({"alg": "ES256", "kid": "k"});
        more.as_object().unwrap().iter().for_each(|(name, value)| header[name] = value.clone());
        assert!(!verified(&set, &attacker.sign(&header.to_string(), "{}")), "{header}");
    }
}

#[test]
fn which_keys_are_taken() {
    let rsa = Signer::new(Algorithm::Rs256).jwk("k");
    let point = Signer::new(Algorithm::Es256).jwk("k");
    let with = |key: &Value, name: &str, value: Value| {
        let mut key = key.clone();
        key[name] = value;
        key
    };
    let good = [
        rsa.clone(),
        with(&rsa, "use", "sig".into()),
        with(&rsa, "key_ops", json!(["verify"])),
        with(&rsa, "alg", "PS512".into()),
        with(&point, "d", "secret".into()),
    ];
    for key in good {
        assert!(one(key.clone()).is_ok(), "{key}");
    }
    let n = URL_SAFE_NO_PAD.decode(rsa["n"].as_str().unwrap()).unwrap();
    let mut moved = URL_SAFE_NO_PAD.decode(point["x"].as_str().unwrap()).unwrap();
    moved[31] ^= 1;
    let bad = [
        with(&rsa, "use", "enc".into()),
        with(&rsa, "key_ops", json!(["sign"])),
        with(&rsa, "alg", "RSA-OAEP".into()),
        with(&rsa, "alg", "none".into()),
        with(&rsa, "kid", 7.into()),
        with(&rsa, "n", encode(&n[..128]).into()),
        with(&rsa, "e", encode(&[1]).into()),
        with(&rsa, "e", encode(&[2]).into()),
        with(&rsa, "e", encode(&[1, 0, 0, 0, 1]).into()),
        with(&rsa, "kty", "rsa".into()),
        with(&point, "crv", "P-384".into()),
        with(&point, "crv", "secp256k1".into()),
        with(&point, "x", encode(&moved).into()),
        with(&point, "x", encode(&[0; 32]).into()),
        with(&point, "x", encode(&moved[1..]).into()),
        json!({"kty": "oct", "k": encode(b"short")}),
        json!({"kty": "OKP", "crv": "X25519", "x": encode(&[9; 32])}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&[9; 31])}),
        json!("text"),
    ];
    for key in bad {
        assert_eq!(one(key.clone()), Err(KeyError::NoKey), "{key}");
    }
    let secret = Signer::new(Algorithm::Hs256).set("k");
    assert_eq!(KeySet::read(&secret, Secrets::Ignored), Err(KeyError::NoKey), "what is published is no secret");
    let many = json!({ "keys": vec![rsa.clone(); crate::base::limits::JWKS_KEYS_MAX + 1] });
    assert_eq!(KeySet::read(many.to_string().as_bytes(), Secrets::Taken), Err(KeyError::Many));
    for text in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, "<html>"] {
        assert_eq!(KeySet::read(text.as_bytes(), Secrets::Taken), Err(KeyError::NoSet), "{text}");
    }
    let mixed = json!({ "keys": [rsa, {"kty": "oct"}] });
    assert_eq!(KeySet::read(mixed.to_string().as_bytes(), Secrets::Ignored).unwrap().left_out, 1);
}

proptest! {
    #[test]
    fn any_bytes_keep_the_properties(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check::tokens(&bytes);
    }

    #[test]
    fn a_changed_token_never_verifies(at in any::<prop::sample::Index>(), letter in any::<u8>(), cut in any::<bool>()) {
        thread_local! {
            static SIGNER: (Signer, KeySet, String) = {
                let signer = Signer::new(Algorithm::EdDsa);
                let set = KeySet::read(&signer.set("k"), Secrets::Ignored).unwrap();
                let token = signer.token("k", &json!({"sub": "anna", "exp": 2_000_000_000, "scope": "read"}));
                (signer, set, token)
            };
        }
        SIGNER.with(|(_, set, token)| {
            assert!(verified(set, token));
            let mut changed = token.clone().into_bytes();
            let at = at.index(changed.len());
            if cut {
                changed.truncate(at);
            } else if changed[at] != letter {
                changed[at] = letter;
            } else {
                changed.insert(at, letter);
            }
            check::tokens(&changed);
            let read = Token::read(&changed);
            let verifies = read.is_ok_and(|token| {
                set.keys.iter().filter_map(|key| Verifier::new(key, token.algorithm))
                    .any(|verifier| verifier.verifies(token.signed, &token.signature))
            });
            prop_assert!(!verifies);
            Ok(())
        })?;
    }
}
