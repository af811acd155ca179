// SPDX-License-Identifier: Apache-2.0
//! Private keys that sign tokens, and what is published of them: a JWK set (RFC 7517) with their public halves, each
//! named by its thumbprint (RFC 7638), so that a key has the same name wherever it is configured.
//!
//! The type of a key decides how it signs: RSA with RS256, P-256 with ES256, Ed25519 with EdDSA.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;

use crate::wire::jose::algorithm::Algorithm;
use crate::wire::jose::base64url::encode;
use crate::wire::jose::json::Members;
use crate::wire::jose::key::{Curve, Key, Material};

/// A private key with its public half.
pub struct SigningKey {
    pair: Pair,
    algorithm: Algorithm,
    public: Value,
    id: Box<str>,
}

enum Pair {
    Rsa(RsaKeyPair),
    Point(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SigningKey").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// The name is a hash of the public half, so keys of the same name sign the same.
impl PartialEq for SigningKey {
    fn eq(&self, other: &SigningKey) -> bool {
        self.id == other.id
    }
}

impl Eq for SigningKey {}

impl SigningKey {
    /// The private key of a PEM text: PKCS#8, PKCS#1 or SEC 1. The error says what is allowed.
    pub(crate) fn of_pem(text: &[u8]) -> Result<SigningKey, &'static str> {
        let pair = match PrivateKeyDer::from_pem_slice(text).map_err(|_| NO_PEM)? {
            PrivateKeyDer::Pkcs8(der) => Pair::of_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok().map(Pair::Rsa),
            PrivateKeyDer::Sec1(der) => {
                let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_sec1_der());
                pair.ok().map(Pair::Point)
            }
            _ => None,
        };
        let pair = pair.ok_or(UNUSABLE)?;
        let key = pair.public().filter(Key::is_usable).ok_or(UNUSABLE)?;
        let members = key.members().ok_or(UNUSABLE)?;
        let id = encode(&Sha256::digest(members.to_string()));
        let algorithm = match pair {
            Pair::Rsa(_) => Algorithm::Rs256,
            Pair::Point(_) => Algorithm::Es256,
            Pair::Ed25519(_) => Algorithm::EdDsa,
        };
        let mut public = members;
        (public["use"], public["alg"], public["kid"]) = ("sig".into(), algorithm.name().into(), id.as_str().into());
        Ok(SigningKey { pair, algorithm, public, id: id.into() })
    }

    /// A token with these claims, whose `typ` is `kind`. RSA takes a millisecond; `None` where the machine has no
    /// randomness.
    pub(crate) fn sign(&self, kind: &str, claims: &Members) -> Option<String> {
        let header = json!({"alg": self.algorithm.name(), "kid": &*self.id, "typ": kind}).to_string();
        let claims = serde_json::to_vec(claims).ok()?;
        let mut token = format!("{}.{}", encode(header.as_bytes()), encode(&claims));
        let signature = encode(&self.pair.signature(token.as_bytes())?);
        token.push('.');
        token.push_str(&signature);
        Some(token)
    }
}

/// The JWK set that the public halves of these keys are.
pub(crate) fn published<'k>(keys: impl Iterator<Item = &'k SigningKey>) -> Vec<u8> {
    let keys: Vec<&Value> = keys.map(|key| &key.public).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

impl Pair {
    fn of_pkcs8(der: &[u8]) -> Option<Pair> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Some(Pair::Ed25519(pair));
        }
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            return Some(Pair::Point(pair));
        }
        RsaKeyPair::from_pkcs8(der).ok().map(Pair::Rsa)
    }

    fn public(&self) -> Option<Key> {
        let material = match self {
            Pair::Rsa(pair) => {
                let (_, public) = RSAPublicKey::from_der(pair.public_key().as_ref()).ok()?;
                Material::rsa(public.modulus, public.exponent)
            }
            Pair::Point(pair) => Material::Point(Curve::P256, pair.public_key().as_ref().into()),
            Pair::Ed25519(pair) => Material::Ed25519(pair.public_key().as_ref().into()),
        };
        Some(Key { id: None, algorithm: None, material })
    }

    fn signature(&self, signed: &[u8]) -> Option<Vec<u8>> {
        // aws-lc takes what it needs (blinding, the number that ECDSA uses once) from the system by itself.
        let random = SystemRandom::new();
        match self {
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed, &mut out).ok()?;
                Some(out)
            }
            Pair::Point(pair) => Some(pair.sign(&random, signed).ok()?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Some(pair.sign(signed).as_ref().to_vec()),
        }
    }
}

const NO_PEM: &str = "it has no private key in PEM (`-----BEGIN PRIVATE KEY-----`); \
                      `openssl genpkey -algorithm ed25519` makes one";
const UNUSABLE: &str = "a key that signs is Ed25519, P-256, or RSA of 2048 to 8192 bits, and is not encrypted";

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::wire::jose::{KeySet, Secrets, Token, Verifier};

    fn pem(kind: &str, der: &[u8]) -> String {
        format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der))
    }

    fn keys() -> Vec<(&'static str, String)> {
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let point = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let edwards = Ed25519KeyPair::generate().unwrap();
        let rsa: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
        vec![
            ("RS256", pem("PRIVATE KEY", rsa.as_ref())),
            ("ES256", pem("PRIVATE KEY", point.to_pkcs8v1().unwrap().as_ref())),
            ("EdDSA", pem("PRIVATE KEY", edwards.to_pkcs8v1().unwrap().as_ref())),
            ("EdDSA", pem("PRIVATE KEY", edwards.to_pkcs8().unwrap().as_ref())),
        ]
    }

    #[test]
    fn what_is_signed_is_verified_with_what_is_published() {
        for (algorithm, pem) in keys() {
            let key = SigningKey::of_pem(pem.as_bytes()).expect(algorithm);
            let claims = json!({"sub": "anna"}).as_object().unwrap().clone();
            let text = key.sign("at+jwt", &claims).expect("a token");
            let token = Token::read(text.as_bytes()).expect("a token");
            assert_eq!((token.algorithm.name(), token.key.as_deref()), (algorithm, Some(&*key.id)));
            assert_eq!((token.kind.as_deref(), token.claims().unwrap()), (Some("at+jwt"), claims));
            let set = KeySet::read(&published([&key].into_iter()), Secrets::Ignored).expect("a set");
            assert_eq!((set.left_out, set.keys[0].id.as_deref()), (0, Some(&*key.id)));
            let verifier = Verifier::new(&set.keys[0], token.algorithm).expect("it fits");
            assert!(verifier.verifies(token.signed, &token.signature), "{algorithm}");
            assert!(!verifier.verifies(&token.signed[1..], &token.signature), "{algorithm}");
            let published = String::from_utf8(published([&key].into_iter())).unwrap();
            assert!(!published.contains("\"d\"") && !format!("{key:?}").contains("pair"), "{published}");
        }
    }

    #[test]
    fn a_thumbprint_is_that_of_the_rfc() {
        // RFC 8037 appendix A.1 to A.3.
        let der = [
            &[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20][..],
            &crate::wire::jose::base64url::decode(b"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap(),
        ]
        .concat();
        let key = SigningKey::of_pem(pem("PRIVATE KEY", &der).as_bytes()).expect("a key");
        assert_eq!(key.public["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(&*key.id, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn what_signs_nothing_is_refused() {
        let point = EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        for (text, reason) in [
            (String::new(), NO_PEM),
            ("no PEM".to_owned(), NO_PEM),
            (pem("PUBLIC KEY", b"x"), NO_PEM),
            (pem("ENCRYPTED PRIVATE KEY", b"x"), NO_PEM),
            (pem("PRIVATE KEY", b"x"), UNUSABLE),
            (pem("RSA PRIVATE KEY", b"x"), UNUSABLE),
            (pem("EC PRIVATE KEY", b"x"), UNUSABLE),
            (pem("PRIVATE KEY", point.to_pkcs8v1().unwrap().as_ref()), UNUSABLE),
        ] {
            assert_eq!(SigningKey::of_pem(text.as_bytes()).err(), Some(reason), "{text}");
        }
    }
}
