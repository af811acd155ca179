// SPDX-License-Identifier: Apache-2.0
//! What is wrong with secrets and keys, and what an operator does about it. No title and no help says any
//! part of them.

use memchr::memmem;

use crate::config::compile::Compiler;
use crate::config::location::Location;
use crate::config::report::Report;

impl Compiler<'_> {
    /// Reports a secret that has fewer bytes than it needs. Says whether it has enough.
    pub(super) fn secret_length(&mut self, location: Location, bytes: usize, bytes_low: usize) -> bool {
        if bytes >= bytes_low {
            return true;
        }
        let title = match bytes {
            0 => format!("`secret` is missing or empty, and {bytes_low} bytes are needed at least"),
            _ => format!("the secret is too short: it has {bytes} bytes, and {bytes_low} are needed at least"),
        };
        let report = Report::error(location, title).help("openssl rand -base64 32 makes one");
        self.absent(location, report.help(FROM_A_FILE));
        false
    }

    /// Reports a text that holds no public key in PEM.
    pub(super) fn no_public_key(&mut self, location: Location, text: &[u8]) {
        let has = |mark: &[u8]| memmem::find(text, mark).is_some();
        let (title, help) = if has(b"PRIVATE KEY-----") {
            (PRIVATE, "whoever only verifies signatures needs no private key")
        } else if has(b"-----BEGIN CERTIFICATE-----") {
            (
                "this is a certificate, and a public key is needed",
                "openssl x509 -in CERTIFICATE.pem -pubkey -noout writes its public key",
            )
        } else if has(b"-----BEGIN") {
            (
                "this is no public key in PEM that can be used",
                "it begins with -----BEGIN PUBLIC KEY-----, and is of RSA, P-256, P-384, P-521 or Ed25519",
            )
        } else {
            ("this is no public key in PEM, which begins with -----BEGIN PUBLIC KEY-----", A_FILE)
        };
        self.faults.push(Report::error(location, title).help(help));
    }
}

const PRIVATE: &str = "this is a private key, and a public key is needed (openssl pkey -pubout writes it)";
const A_FILE: &str = "${file:PATH} as the value reads it from a file";
const FROM_A_FILE: &str = "${file:/run/secrets/NAME} as the value reads it from a file, so that it does not stand here";
