// SPDX-License-Identifier: Apache-2.0
//! The vectors of project Wycheproof for the signatures that JOSE has, walked through the keys and verifiers that
//! tokens meet: what is valid is accepted, what is invalid is refused. What its authors call acceptable (weak but
//! tolerated by some) is refused as well.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wycheproof::rsa_pkcs1_verify::TestName as Pkcs1;
use wycheproof::rsa_pss_verify::TestName as Pss;
use wycheproof::{ecdsa, eddsa, mac};

use super::{Algorithm, Key, KeySet, Secrets, Verifier};

/// What came of a set of vectors.
#[derive(Debug, Default)]
struct Counts {
    accepted: usize,
    refused: usize,
    /// Those whose key does not fit the algorithm, so that nothing of them is ever verified.
    unfit: usize,
}

/// Which of the vectors that are valid must be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Valid {
    /// All.
    Accepted,
    /// None: they have a parameter that JOSE does not (RFC 7518 section 3.5: as many bytes of salt as of hash).
    Refused,
}

fn bytes(value: &Value) -> Vec<u8> {
    let digits = value.as_str().expect("a text").as_bytes();
    let pairs = digits.chunks_exact(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

/// The keys of a group, as a file in PEM has them and, where the group tells it, as a JWK set does.
fn public_keys(group: &Value) -> Vec<Key> {
    let pem = group["publicKeyPem"].as_str().expect("a key in PEM");
    let mut keys = vec![Key::of_pem(pem.as_bytes()).expect("a usable key")];
    for name in ["publicKeyJwk", "keyJwk"] {
        if let Some(key) = group.get(name).filter(|key| key.is_object()) {
            let set = KeySet::read(json!({ "keys": [key] }).to_string().as_bytes(), Secrets::Ignored).expect("a set");
            assert!(set.keys[0].material == keys[0].material, "both are the same key: {key}");
            keys.extend(set.keys);
        }
    }
    keys
}

/// A shared secret, of which many are shorter than JOSE allows.
fn secret(test: &Value) -> Option<Key> {
    let key = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(bytes(&test["key"]))});
    let set = KeySet::read(json!({ "keys": [key] }).to_string().as_bytes(), Secrets::Taken).ok()?;
    set.keys.into_iter().next()
}

fn walk(text: &str, algorithm: Algorithm, valid: Valid) -> Counts {
    let set: Value = serde_json::from_str(text).expect("JSON");
    let mut counts = Counts::default();
    for group in set["testGroups"].as_array().expect("groups") {
        let public = if group.get("publicKeyPem").is_some() { public_keys(group) } else { Vec::new() };
        for test in group["tests"].as_array().expect("tests") {
            if valid == Valid::Refused && test["result"] != "valid" {
                // With a wrong length of the salt, which may be the right one here.
                continue;
            }
            let keys = if public.is_empty() { Vec::from_iter(secret(test)) } else { public.clone() };
            let verifiers: Vec<Verifier> = keys.iter().filter_map(|key| Verifier::new(key, algorithm)).collect();
            if verifiers.is_empty() {
                counts.unfit += 1;
                continue;
            }
            let signature = bytes(test.get("sig").unwrap_or(&test["tag"]));
            // A code that was cut is valid elsewhere; here it has the length of the hash (RFC 7518 section 3.2).
            let is_cut = group["tagSize"].as_u64().is_some_and(|bits| bits != hash_bits(algorithm));
            let expected = test["result"] == "valid" && !is_cut && valid == Valid::Accepted;
            for verifier in verifiers {
                let accepted = verifier.verifies(&bytes(&test["msg"]), &signature);
                assert_eq!(accepted, expected, "{} {test}", algorithm.name());
            }
            *if expected { &mut counts.accepted } else { &mut counts.refused } += 1;
        }
    }
    counts
}

fn hash_bits(algorithm: Algorithm) -> u64 {
    match algorithm {
        Algorithm::Hs256 => 256,
        Algorithm::Hs384 => 384,
        _ => 512,
    }
}

/// Walks sets of which each has vectors of both kinds, and none with a key that is not usable.
fn walk_all<'t>(sets: impl IntoIterator<Item = (&'t str, Algorithm)>) {
    for (text, algorithm) in sets {
        let counts = walk(text, algorithm, Valid::Accepted);
        assert!(counts.accepted > 0 && counts.refused > 0 && counts.unfit == 0, "{} {counts:?}", algorithm.name());
    }
}

#[test]
fn ecdsa_and_eddsa_are_verified_as_wycheproof_says() {
    walk_all([
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363.json_data(), Algorithm::Es256),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363.json_data(), Algorithm::Es384),
        (ecdsa::TestName::EcdsaSecp521r1Sha512P1363.json_data(), Algorithm::Es512),
        (eddsa::TestName::Ed25519.json_data(), Algorithm::EdDsa),
    ]);
}

#[test]
fn rsa_is_verified_as_wycheproof_says() {
    walk_all([
        (Pkcs1::Rsa2048Sha256.json_data(), Algorithm::Rs256),
        (Pkcs1::Rsa3072Sha256.json_data(), Algorithm::Rs256),
        (Pkcs1::Rsa4096Sha256.json_data(), Algorithm::Rs256),
        (Pkcs1::Rsa8192Sha256.json_data(), Algorithm::Rs256),
        (Pkcs1::Rsa2048Sha384.json_data(), Algorithm::Rs384),
        (Pkcs1::Rsa3072Sha384.json_data(), Algorithm::Rs384),
        (Pkcs1::Rsa4096Sha384.json_data(), Algorithm::Rs384),
        (Pkcs1::Rsa8192Sha384.json_data(), Algorithm::Rs384),
        (Pkcs1::Rsa2048Sha512.json_data(), Algorithm::Rs512),
        (Pkcs1::Rsa3072Sha512.json_data(), Algorithm::Rs512),
        (Pkcs1::Rsa4096Sha512.json_data(), Algorithm::Rs512),
        (Pkcs1::Rsa8192Sha512.json_data(), Algorithm::Rs512),
        (Pss::RsaPss2048Sha256Mgf1SaltLen32.json_data(), Algorithm::Ps256),
        (Pss::RsaPss3072Sha256Mgf1SaltLen32.json_data(), Algorithm::Ps256),
        (Pss::RsaPss4096Sha256Mgf1SaltLen32.json_data(), Algorithm::Ps256),
        (Pss::RsaPss2048Sha384Mgf1SaltLen48.json_data(), Algorithm::Ps384),
        (Pss::RsaPss4096Sha384Mgf1SaltLen48.json_data(), Algorithm::Ps384),
        (Pss::RsaPss4096Sha512Mgf1SaltLen64.json_data(), Algorithm::Ps512),
    ]);
    for (text, algorithm) in [
        (Pss::RsaPss2048Sha256Mgf1SaltLen0.json_data(), Algorithm::Ps256),
        (Pss::RsaPss2048Sha256Mgf1Sha1_20.json_data(), Algorithm::Ps256),
        (Pss::RsaPss4096Sha512Mgf1SaltLen32.json_data(), Algorithm::Ps512),
    ] {
        let counts = walk(text, algorithm, Valid::Refused);
        assert!(counts.refused > 20 && counts.accepted == 0, "{} {counts:?}", algorithm.name());
    }
}

#[test]
fn hmac_is_verified_as_wycheproof_says() {
    for (text, algorithm) in [
        (mac::TestName::HmacSha256.json_data(), Algorithm::Hs256),
        (mac::TestName::HmacSha384.json_data(), Algorithm::Hs384),
        (mac::TestName::HmacSha512.json_data(), Algorithm::Hs512),
    ] {
        // Secrets that are shorter than the hash are none here.
        let counts = walk(text, algorithm, Valid::Accepted);
        assert!(counts.accepted > 20 && counts.refused > 20 && counts.unfit > 0, "{} {counts:?}", algorithm.name());
    }
}
