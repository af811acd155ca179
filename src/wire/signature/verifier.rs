// SPDX-License-Identifier: Apache-2.0
//! Keys that verify signatures, each for one algorithm (RFC 9421 section 3.3).

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA512,
    VerificationAlgorithm,
};

/// An algorithm of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `hmac-sha256`
    HmacSha256,
    /// `rsa-pss-sha512`
    RsaPssSha512,
    /// `rsa-v1_5-sha256`
    RsaV15Sha256,
    /// `ecdsa-p256-sha256`
    EcdsaP256Sha256,
    /// `ed25519`
    Ed25519,
}

impl Algorithm {
    /// Its name in `alg`.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::HmacSha256 => "hmac-sha256",
            Algorithm::RsaPssSha512 => "rsa-pss-sha512",
            Algorithm::RsaV15Sha256 => "rsa-v1_5-sha256",
            Algorithm::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Algorithm::Ed25519 => "ed25519",
        }
    }
}

/// A key that is ready for its algorithm.
#[derive(Clone)]
pub enum Verifier {
    /// A shared secret, for `hmac-sha256`.
    Secret(Box<hmac::Key>),
    /// A public key.
    Public(Algorithm, ParsedPublicKey),
}

impl fmt::Debug for Verifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Verifier({})", self.algorithm().name())
    }
}

impl Verifier {
    /// A shared secret.
    pub(crate) fn secret(bytes: &[u8]) -> Verifier {
        Verifier::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// A public key, as it stands in its SubjectPublicKeyInfo: a point, or an RSAPublicKey. `None` where it is no key
    /// for the algorithm, or one of RSA with less than 2048 bits.
    pub(crate) fn public(algorithm: Algorithm, key: &[u8]) -> Option<Verifier> {
        let known: &'static dyn VerificationAlgorithm = match algorithm {
            Algorithm::HmacSha256 => return None,
            Algorithm::RsaPssSha512 => &RSA_PSS_2048_8192_SHA512,
            Algorithm::RsaV15Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::EcdsaP256Sha256 => &ECDSA_P256_SHA256_FIXED,
            Algorithm::Ed25519 => &ED25519,
        };
        ParsedPublicKey::new(known, key).ok().map(|key| Verifier::Public(algorithm, key))
    }

    /// The algorithm.
    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Verifier::Secret(_) => Algorithm::HmacSha256,
            Verifier::Public(algorithm, _) => *algorithm,
        }
    }

    /// Is it a signature of this? Secrets are compared in constant time.
    pub(crate) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Verifier::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
            Verifier::Public(_, key) => key.verify_sig(signed, signature).is_ok(),
        }
    }
}
