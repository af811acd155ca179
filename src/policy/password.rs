// SPDX-License-Identifier: Apache-2.0
//! Hashes of passwords as files hold them: bcrypt, argon2, SHA-crypt, Apache's MD5 (`$apr1$`), `{SHA}` and Kong's
//! salted SHA-1. A `PasswordHash` that exists is well formed, and checking a password against it ends in bounded time
//! and memory. The time that this takes is the purpose of most of them: no shard does it (`verdicts`).

mod apr1;
mod verdicts;

use std::fmt;

use argon2::password_hash::phc;
use argon2::{Argon2, Params, PasswordVerifier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha_crypt::ShaCrypt;
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use crate::base::limits::{ARGON2_KIB_MAX, ARGON2_LANES_MAX, ARGON2_PASSES_MAX, BCRYPT_COST_MAX, SHA_CRYPT_ROUNDS_MAX};

pub(crate) use verdicts::{Asked, Pair, Verdicts};

/// A password's hash with its method, salt and cost.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    method: Method,
    text: Box<str>,
}

/// How a hash is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `$2a$`, `$2b$`, `$2y$`. It looks at the first 72 bytes of a password.
    Bcrypt,
    /// `$argon2id$`, `$argon2i$`.
    Argon2,
    /// `$5$`, `$6$` of crypt(3).
    ShaCrypt,
    /// `$apr1$` of Apache.
    Apr1,
    /// `{SHA}`: SHA-1 without a salt.
    Sha1,
    /// `$kong-sha1$CONSUMER_ID$DIGITS`: SHA-1 of the password and the consumer's id, as Kong's database holds it.
    KongSha1,
}

impl Method {
    /// Can passwords be guessed from such a hash at billions a second? `turnpike check` warns of it.
    pub const fn is_weak(self) -> bool {
        match self {
            Method::Bcrypt | Method::Argon2 | Method::ShaCrypt => false,
            Method::Apr1 | Method::Sha1 | Method::KongSha1 => true,
        }
    }
}

/// Whether a password fits a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Fits,
    /// It does not.
    Differs,
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PasswordHash({:?})", self.method)
    }
}

impl PasswordHash {
    /// Reads a hash as a file has it. The error says what is allowed.
    pub fn parse(text: &str) -> Result<PasswordHash, String> {
        let method = if ["$2a$", "$2b$", "$2y$"].iter().any(|start| text.starts_with(start)) {
            check_bcrypt(text)?;
            Method::Bcrypt
        } else if text.starts_with("$argon2") {
            check_argon2(text)?;
            Method::Argon2
        } else if text.starts_with("$5$") || text.starts_with("$6$") {
            check_sha_crypt(text)?;
            Method::ShaCrypt
        } else if text.starts_with(apr1::MAGIC) {
            apr1::parts(text).ok_or("`$apr1$` is followed by 1 to 8 characters of salt, `$`, and 22 of the hash")?;
            Method::Apr1
        } else if text.starts_with(SHA1_START) {
            sha1_digest(text).ok_or("`{SHA}` is followed by the base64 of 20 bytes")?;
            Method::Sha1
        } else if text.starts_with(KONG_START) {
            kong_parts(text).ok_or("`$kong-sha1$` is followed by the consumer's id, `$`, and 40 hexadecimal digits")?;
            Method::KongSha1
        } else {
            return Err("a hash begins with `$2y$`, `$argon2id$`, `$6$`, `$5$`, `$apr1$`, `{SHA}` or `$kong-sha1$`; \
                        `htpasswd -nB NAME` makes one"
                .to_owned());
        };
        Ok(PasswordHash { method, text: text.into() })
    }

    /// That of a credential; `None` where it cannot be read.
    pub(super) fn of_stored(secret: &[u8]) -> Option<PasswordHash> {
        PasswordHash::parse(std::str::from_utf8(secret).ok()?).ok()
    }

    /// The hash of a random password that nobody knows, as costly as what `htpasswd -B` and most frameworks make.
    pub(crate) fn of_nobody() -> PasswordHash {
        PasswordHash::parse("$2y$10$kV8uQ2nD4sW6yB0eH3jLpOT7i7nfwalIA8/BYVVzIodkJbPnrE6K2").expect("a test parses it")
    }

    /// How it was made.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Its text, with the salt: as secret as the hash.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Does the password fit? Takes as long as the hash's cost says; a second is not out of the question.
    pub fn verify(&self, password: &[u8]) -> Verdict {
        let text = &*self.text;
        let fits = match self.method {
            Method::Bcrypt => bcrypt::verify(password, text).unwrap_or(false),
            Method::Argon2 => Argon2::default().verify_password(password, text).is_ok(),
            Method::ShaCrypt => ShaCrypt::default().verify_password(password, text).is_ok(),
            Method::Apr1 => apr1::parts(text).is_some_and(|(salt, hash)| {
                let made = apr1::hash(password, salt.as_bytes());
                made.ct_eq(hash.as_bytes()).into()
            }),
            Method::Sha1 => {
                sha1_digest(text).is_some_and(|wanted| Sha1::digest(password).as_slice().ct_eq(&wanted).into())
            }
            Method::KongSha1 => kong_parts(text).is_some_and(|(id, wanted)| {
                let made = Sha1::new().chain_update(password).chain_update(id).finalize();
                made.as_slice().ct_eq(&wanted).into()
            }),
        };
        if fits { Verdict::Fits } else { Verdict::Differs }
    }
}

const SHA1_START: &str = "{SHA}";
const KONG_START: &str = "$kong-sha1$";

fn check_bcrypt(text: &str) -> Result<(), String> {
    let shape = "a bcrypt hash is `$2y$COST$` and 53 characters";
    let (cost, rest) = text.get(4..).and_then(|rest| rest.split_once('$')).ok_or(shape)?;
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
    if rest.len() != 53 || !rest.bytes().all(alphabet) || cost.len() != 2 {
        return Err(shape.to_owned());
    }
    let cost: u32 = cost.parse().map_err(|_| shape)?;
    if !(4..=BCRYPT_COST_MAX).contains(&cost) {
        return Err(format!("the cost of bcrypt is 4 to {BCRYPT_COST_MAX} here"));
    }
    // What the crate that checks passwords cannot read would refuse every password.
    text.parse::<bcrypt::HashParts>().map(|_| ()).map_err(|_| shape.to_owned())
}

fn check_argon2(text: &str) -> Result<(), String> {
    let hash = phc::PasswordHash::new(text).map_err(|_| "not an argon2 hash in the PHC format")?;
    if !["argon2id", "argon2i"].contains(&hash.algorithm.as_str()) {
        return Err("argon2id and argon2i are known; argon2d leaks through timing".to_owned());
    }
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err("an argon2 hash has a salt and an output".to_owned());
    }
    let params = Params::try_from(&hash).map_err(|_| "the parameters of the argon2 hash are wrong")?;
    let (kib, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    if kib > ARGON2_KIB_MAX || passes > ARGON2_PASSES_MAX || lanes > ARGON2_LANES_MAX {
        return Err(format!(
            "argon2 may take m={ARGON2_KIB_MAX}, t={ARGON2_PASSES_MAX}, p={ARGON2_LANES_MAX} at most here"
        ));
    }
    Ok(())
}

fn check_sha_crypt(text: &str) -> Result<(), String> {
    let shape = "a SHA-crypt hash is `$6$[rounds=N$]SALT$` and 86 characters, with `$5$` 43";
    let mut rest = &text[3..];
    if let Some(after) = rest.strip_prefix("rounds=") {
        let (rounds, after) = after.split_once('$').ok_or(shape)?;
        let rounds: u32 = rounds.parse().map_err(|_| shape)?;
        if !(1_000..=SHA_CRYPT_ROUNDS_MAX).contains(&rounds) {
            return Err(format!("`rounds` is 1000 to {SHA_CRYPT_ROUNDS_MAX} here"));
        }
        rest = after;
    }
    let (salt, hash) = rest.split_once('$').ok_or(shape)?;
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
    let len = if text.starts_with("$5$") { 43 } else { 86 };
    if !(1..=16).contains(&salt.len()) || !salt.bytes().all(alphabet) {
        return Err("the salt of SHA-crypt has 1 to 16 letters, digits, `.` and `/`".to_owned());
    }
    if hash.len() != len || !hash.bytes().all(alphabet) {
        return Err(shape.to_owned());
    }
    sha_crypt::PasswordHashRef::new(text).map(|_| ()).map_err(|_| shape.to_owned())
}

fn sha1_digest(text: &str) -> Option<[u8; 20]> {
    STANDARD.decode(text.strip_prefix(SHA1_START)?).ok()?.try_into().ok()
}

fn kong_parts(text: &str) -> Option<(&str, [u8; 20])> {
    let (id, digits) = text.strip_prefix(KONG_START)?.rsplit_once('$')?;
    let mut digest = [0; 20];
    if id.is_empty() || digits.len() != 40 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some((id, digest))
}

#[cfg(test)]
mod tests;
