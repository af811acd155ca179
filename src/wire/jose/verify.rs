// SPDX-License-Identifier: Apache-2.0
//! A key made ready to verify signatures of one algorithm.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};

use crate::wire::jose::algorithm::Algorithm;
use crate::wire::jose::key::{Key, Material};

/// A key that is ready for one algorithm. Making one costs as much as a fifth of a verification, so it is kept.
#[derive(Debug)]
pub(crate) enum Verifier {
    /// A shared secret.
    Secret(Box<hmac::Key>),
    /// A public key.
    Public(ParsedPublicKey),
}

impl Verifier {
    /// `None` where the key does not fit the algorithm.
    pub(crate) fn new(key: &Key, algorithm: Algorithm) -> Option<Verifier> {
        if !key.fits(algorithm) {
            return None;
        }
        match algorithm {
            Algorithm::Hs256 => secret(key, hmac::HMAC_SHA256),
            Algorithm::Hs384 => secret(key, hmac::HMAC_SHA384),
            Algorithm::Hs512 => secret(key, hmac::HMAC_SHA512),
            Algorithm::Rs256 => rsa(key, &RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => rsa(key, &RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => rsa(key, &RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Ps256 => rsa(key, &RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => rsa(key, &RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => rsa(key, &RSA_PSS_2048_8192_SHA512),
            Algorithm::Es256 => point(key, &ECDSA_P256_SHA256_FIXED),
            Algorithm::Es384 => point(key, &ECDSA_P384_SHA384_FIXED),
            Algorithm::Es512 => point(key, &ECDSA_P521_SHA512_FIXED),
            Algorithm::EdDsa => point(key, &ED25519),
        }
    }

    /// Is it a signature of this? Secrets are compared in constant time.
    pub(crate) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Verifier::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
            Verifier::Public(key) => key.verify_sig(signed, signature).is_ok(),
        }
    }
}

fn secret(key: &Key, hash: hmac::Algorithm) -> Option<Verifier> {
    let Material::Secret(secret) = &key.material else { return None };
    Some(Verifier::Secret(Box::new(hmac::Key::new(hash, secret))))
}

fn rsa(key: &Key, parameters: &'static RsaParameters) -> Option<Verifier> {
    let Material::Rsa(n, e) = &key.material else { return None };
    RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters).ok().map(Verifier::Public)
}

fn point(key: &Key, algorithm: &'static dyn VerificationAlgorithm) -> Option<Verifier> {
    let (Material::Point(_, point) | Material::Ed25519(point)) = &key.material else { return None };
    ParsedPublicKey::new(algorithm, point).ok().map(Verifier::Public)
}
