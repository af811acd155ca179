// SPDX-License-Identifier: Apache-2.0
//! Keys that verify signatures: of a JWK set (RFC 7517), of a PEM file, or a shared secret.
//!
//! A `Key` that exists is usable: its numbers make a key of its type that is strong enough. What a set has beyond that
//! (other types, keys for encryption, weak ones) is left out and counted, as RFC 7517 section 5 says.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::base::limits::JWKS_KEYS_MAX;
use crate::wire::jose::algorithm::Algorithm;
use crate::wire::jose::base64url;
use crate::wire::jose::json::{self, Members};

/// A key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Its name in its set.
    pub id: Option<Box<str>>,
    /// The only algorithm that it may be used with, where its owner says so.
    pub algorithm: Option<Algorithm>,
    /// What it is made of.
    pub material: Material,
}

/// What a key is made of. The type decides which algorithms it may be used with, and never what a token says.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Material {
    /// A shared secret.
    Secret(Box<[u8]>),
    /// RSA: modulus and exponent, without leading zeros.
    Rsa(Box<[u8]>, Box<[u8]>),
    /// A point on a curve, uncompressed.
    Point(Curve, Box<[u8]>),
    /// Ed25519.
    Ed25519(Box<[u8]>),
}

/// A curve for ECDSA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Curve {
    /// P-256.
    P256,
    /// P-384.
    P384,
    /// P-521.
    P521,
}

/// May a set hold shared secrets?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// Yes: a file of the operator's own.
    Taken,
    /// No: what a server publishes is no secret.
    Ignored,
}

/// Why a text holds no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// It is no JSON object with a list `keys`.
    NoSet,
    /// It has more than `JWKS_KEYS_MAX` keys.
    Many,
    /// No key of it can be used.
    NoKey,
    /// It is no PEM text with a public key.
    NoPem,
    /// An RSA key of less than 2048 or more than 8192 bits.
    Weak,
    /// A secret of less than `SECRET_BYTES_MIN` bytes.
    Short,
}

impl std::fmt::Display for KeyError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeyError::NoSet => out.write_str("it is no JWK set: a JSON object with a list `keys`"),
            KeyError::Many => write!(out, "it has more than {JWKS_KEYS_MAX} keys"),
            KeyError::NoKey => out.write_str("it has no key that can verify signatures"),
            KeyError::NoPem => out.write_str("it has no public key in PEM (`-----BEGIN PUBLIC KEY-----`)"),
            KeyError::Weak => out.write_str("a key of RSA has 2048 to 8192 bits"),
            KeyError::Short => write!(out, "a secret has {SECRET_BYTES_MIN} bytes at least"),
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Key").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl Key {
    /// A shared secret (RFC 7518 section 3.2: as long as the hash at least).
    pub(crate) fn secret(bytes: &[u8]) -> Result<Key, KeyError> {
        let weak = bytes.len() < SECRET_BYTES_MIN;
        if weak { Err(KeyError::Short) } else { Ok(Key::of(Material::Secret(bytes.into()))) }
    }

    /// The public key of a PEM text.
    pub(crate) fn of_pem(text: &[u8]) -> Result<Key, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text).map_err(|_| KeyError::NoPem)?;
        let (rest, info) = SubjectPublicKeyInfo::from_der(&der).map_err(|_| KeyError::NoPem)?;
        let key = info.parsed().map_err(|_| KeyError::NoPem)?;
        if !rest.is_empty() {
            return Err(KeyError::NoPem);
        }
        let material = match key {
            PublicKey::RSA(rsa) => Material::rsa(rsa.modulus, rsa.exponent),
            PublicKey::EC(point) => {
                let curve = Curve::of_point(point.data()).ok_or(KeyError::NoPem)?;
                Material::Point(curve, point.data().into())
            }
            PublicKey::Unknown(raw) if info.algorithm.algorithm.to_id_string() == ED25519_OID => {
                Material::Ed25519(raw.into())
            }
            _ => return Err(KeyError::NoPem),
        };
        let key = Key::of(material);
        if key.is_usable() { Ok(key) } else { Err(KeyError::Weak) }
    }

    fn of(material: Material) -> Key {
        Key { id: None, algorithm: None, material }
    }

    /// One member of a set; `None` where it is not for verifying signatures, or is not usable.
    fn of_members(members: &Members, secrets: Secrets) -> Option<Key> {
        let text = |name: &str| members.get(name).map(|value| value.as_str());
        let bytes = |name: &str| base64url::decode(members.get(name)?.as_str()?.as_bytes());
        if text("use").is_some_and(|purpose| purpose != Some("sig")) {
            return None;
        }
        if let Some(purposes) = members.get("key_ops") {
            purposes.as_array()?.iter().find(|purpose| purpose.as_str() == Some("verify"))?;
        }
        let algorithm = match text("alg") {
            None => None,
            Some(name) => Some(Algorithm::of(name?)?),
        };
        let id = match text("kid") {
            None => None,
            Some(id) => Some(id?.into()),
        };
        let material = match text("kty")?? {
            "oct" if secrets == Secrets::Taken => Material::Secret(bytes("k")?.into()),
            "RSA" => Material::rsa(&bytes("n")?, &bytes("e")?),
            "EC" => {
                let curve = Curve::of(text("crv")??)?;
                let (x, y) = (bytes("x")?, bytes("y")?);
                // RFC 7518 section 6.2.1.2: as many bytes as the field has, with leading zeros.
                if x.len() != curve.bytes() || y.len() != curve.bytes() {
                    return None;
                }
                Material::Point(curve, [&[UNCOMPRESSED], &*x, &*y].concat().into())
            }
            "OKP" if text("crv")? == Some("Ed25519") => Material::Ed25519(bytes("x")?.into()),
            _ => return None,
        };
        let key = Key { id, algorithm, material };
        key.is_usable().then_some(key)
    }

    /// The members of its JWK that say what it is, in the order of their names (RFC 7638 section 3); `None` for a
    /// secret.
    pub(super) fn members(&self) -> Option<Value> {
        let text = base64url::encode;
        Some(match &self.material {
            Material::Secret(_) => return None,
            Material::Rsa(n, e) => json!({"e": text(e), "kty": "RSA", "n": text(n)}),
            Material::Point(curve, point) => {
                // `of_members` and `of_pem` take whole points only: a byte, and two coordinates of the same length.
                let (x, y) = point.get(1..)?.split_at_checked(curve.bytes())?;
                json!({"crv": curve.name(), "kty": "EC", "x": text(x), "y": text(y)})
            }
            Material::Ed25519(x) => json!({"crv": "Ed25519", "kty": "OKP", "x": text(x)}),
        })
    }

    /// May it verify signatures of this algorithm?
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        let by_type = match algorithm {
            Algorithm::Hs256 => self.is_secret_of(32),
            Algorithm::Hs384 => self.is_secret_of(48),
            Algorithm::Hs512 => self.is_secret_of(64),
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => matches!(self.material, Material::Rsa(..)),
            Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => matches!(self.material, Material::Rsa(..)),
            Algorithm::Es256 => matches!(self.material, Material::Point(Curve::P256, _)),
            Algorithm::Es384 => matches!(self.material, Material::Point(Curve::P384, _)),
            Algorithm::Es512 => matches!(self.material, Material::Point(Curve::P521, _)),
            Algorithm::EdDsa => matches!(self.material, Material::Ed25519(_)),
        };
        by_type && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// A secret that is as long as a hash of so many bytes (RFC 7518 section 3.2)?
    fn is_secret_of(&self, bytes: usize) -> bool {
        matches!(&self.material, Material::Secret(secret) if secret.len() >= bytes)
    }

    pub(super) fn is_usable(&self) -> bool {
        match &self.material {
            Material::Secret(secret) => secret.len() >= SECRET_BYTES_MIN,
            Material::Rsa(n, e) => {
                let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
                let odd = e.last().is_some_and(|byte| byte % 2 == 1) && **e != [1];
                let parts = RsaPublicKeyComponents { n, e };
                let is_strong = (2_048..=8_192).contains(&bits) && odd && e.len() <= EXPONENT_BYTES_MAX;
                is_strong && parts.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).is_ok()
            }
            Material::Point(Curve::P256, point) => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).is_ok(),
            Material::Point(Curve::P384, point) => ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).is_ok(),
            Material::Point(Curve::P521, point) => ParsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point).is_ok(),
            Material::Ed25519(point) => point.len() == 32 && ParsedPublicKey::new(&ED25519, point).is_ok(),
        }
    }
}

impl Material {
    /// An RSA key of these numbers.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Material {
        Material::Rsa(trimmed(modulus), trimmed(exponent))
    }
}

impl Curve {
    const fn name(self) -> &'static str {
        match self {
            Curve::P256 => "P-256",
            Curve::P384 => "P-384",
            Curve::P521 => "P-521",
        }
    }

    fn of(name: &str) -> Option<Curve> {
        [Curve::P256, Curve::P384, Curve::P521].into_iter().find(|curve| curve.name() == name)
    }

    /// The curve of an uncompressed point, by its length.
    fn of_point(point: &[u8]) -> Option<Curve> {
        let curves = [Curve::P256, Curve::P384, Curve::P521];
        let is_whole = point.first() == Some(&UNCOMPRESSED);
        curves.into_iter().find(|curve| is_whole && point.len() == 1 + 2 * curve.bytes())
    }

    /// Bytes of a coordinate.
    const fn bytes(self) -> usize {
        match self {
            Curve::P256 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        }
    }
}

/// The keys of one issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeySet {
    /// Those that can be used.
    pub keys: Box<[Key]>,
    /// How many more it had.
    pub left_out: usize,
}

impl KeySet {
    /// One key.
    pub(crate) fn one(key: Key) -> KeySet {
        KeySet { keys: Box::new([key]), left_out: 0 }
    }

    /// Reads a JWK set.
    pub(crate) fn read(text: &[u8], secrets: Secrets) -> Result<KeySet, KeyError> {
        let set = json::members(text).ok_or(KeyError::NoSet)?;
        let list = set.get("keys").and_then(Value::as_array).ok_or(KeyError::NoSet)?;
        if list.len() > JWKS_KEYS_MAX {
            return Err(KeyError::Many);
        }
        let read = list.iter().filter_map(|key| Key::of_members(key.as_object()?, secrets));
        let keys: Box<[Key]> = read.collect();
        if keys.is_empty() {
            return Err(KeyError::NoKey);
        }
        Ok(KeySet { left_out: list.len() - keys.len(), keys })
    }
}

/// Without leading zeros.
fn trimmed(number: &[u8]) -> Box<[u8]> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number[zeros..].into()
}

/// The first byte of an uncompressed point (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;
/// As many as HS256 has in its hash (RFC 7518 section 3.2).
pub(crate) const SECRET_BYTES_MIN: usize = 32;
/// Larger exponents only make verifying slow.
const EXPONENT_BYTES_MAX: usize = 4;
/// RFC 8410 section 3.
const ED25519_OID: &str = "1.3.101.112";
