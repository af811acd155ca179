// SPDX-License-Identifier: Apache-2.0
//! Signers for tests: one of each algorithm, with its public key as a JWK.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;

use crate::wire::jose::algorithm::Algorithm;

/// Somebody who signs tokens.
pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    secret: SecretKey,
}

enum SecretKey {
    Hmac(Vec<u8>),
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    pub(crate) fn new(algorithm: Algorithm) -> Signer {
        let curve =
            |curve: &'static EcdsaSigningAlgorithm| SecretKey::Ecdsa(EcdsaKeyPair::generate(curve).expect("a key"));
        let secret = match algorithm {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
                let mut secret = vec![0; 64];
                rand::fill(&mut secret).expect("randomness");
                SecretKey::Hmac(secret)
            }
            Algorithm::Es256 => curve(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => curve(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::Es512 => curve(&ECDSA_P521_SHA512_FIXED_SIGNING),
            Algorithm::EdDsa => SecretKey::Ed25519(Ed25519KeyPair::generate().expect("a key")),
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => SecretKey::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")),
        };
        Signer { algorithm, secret }
    }

    /// The key that verifies.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        let mut key = match &self.secret {
            SecretKey::Hmac(secret) => json!({"kty": "oct", "k": encode(secret)}),
            SecretKey::Rsa(pair) => {
                let (_, public) = RSAPublicKey::from_der(pair.public_key().as_ref()).expect("a key");
                let n = public.modulus.iter().position(|byte| *byte != 0).map_or(&[][..], |at| &public.modulus[at..]);
                json!({"kty": "RSA", "n": encode(n), "e": encode(public.exponent)})
            }
            SecretKey::Ecdsa(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = match self.algorithm {
                    Algorithm::Es384 => "P-384",
                    Algorithm::Es512 => "P-521",
                    _ => "P-256",
                };
                json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
            }
            SecretKey::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())})
            }
        };
        if !id.is_empty() {
            key["kid"] = id.into();
        }
        key
    }

    /// A set with nothing but this key.
    pub(crate) fn set(&self, id: &str) -> Vec<u8> {
        json!({ "keys": [self.jwk(id)] }).to_string().into_bytes()
    }

    /// A token with the algorithm and key in its header.
    pub(crate) fn token(&self, id: &str, claims: &Value) -> String {
        let mut header = json!({"alg": self.algorithm.name(), "typ": "JWT"});
        if !id.is_empty() {
            header["kid"] = id.into();
        }
        self.sign(&header.to_string(), &claims.to_string())
    }

    /// A token with this header and these claims, however odd they are.
    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        format!("{signed}.{}", encode(&self.signature(signed.as_bytes())))
    }

    fn signature(&self, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.secret {
            SecretKey::Hmac(secret) => {
                let hash = match self.algorithm {
                    Algorithm::Hs384 => hmac::HMAC_SHA384,
                    Algorithm::Hs512 => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(hash, secret), signed).as_ref().to_vec()
            }
            SecretKey::Rsa(pair) => {
                let encoding: &'static dyn RsaEncoding = match self.algorithm {
                    Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, signed, &mut out).expect("a signature");
                out
            }
            SecretKey::Ecdsa(pair) => pair.sign(&random, signed).expect("a signature").as_ref().to_vec(),
            SecretKey::Ed25519(pair) => pair.sign(signed).as_ref().to_vec(),
        }
    }
}

/// base64url without padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
