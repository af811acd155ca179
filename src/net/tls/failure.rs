// SPDX-License-Identifier: Apache-2.0
//! Why a TLS handshake failed: the cause for the operator, from the error of rustls and the first bytes of the peer.

use std::io::{self, ErrorKind};

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use crate::base::Cause;

/// Bytes that are kept of what the peer sent first.
pub(super) const FIRST_BYTES: usize = 8;

/// A handshake that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the stream or rustls says.
    pub error: io::Error,
    /// The name that the client asked for (SNI), where it came so far; server side only.
    pub server_name: Option<Box<str>>,
    /// What the peer sent first, filled up with zeros.
    pub first: [u8; FIRST_BYTES],
}

/// A fatal alert as a record without encryption (RFC 8446 sections 5.1 and 6).
pub(super) fn plain_alert(error: &Error) -> [u8; 7] {
    let description = match error {
        Error::InvalidMessage(_) => AlertDescription::DecodeError,
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            AlertDescription::UnexpectedMessage
        }
        _ => AlertDescription::HandshakeFailure,
    };
    [21, 3, 3, 0, 2, 2, description.into()]
}

/// The front of what a peer sent first.
pub(super) fn first_bytes(bytes: &[u8]) -> [u8; FIRST_BYTES] {
    let mut first = [0; FIRST_BYTES];
    first.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    first
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure { error, server_name: None, first: [0; FIRST_BYTES] }
    }
}

impl Failure {
    /// A session was resumed whose certificate has expired meanwhile.
    pub(crate) fn expired(server_name: Option<Box<str>>) -> Failure {
        let expired = Error::InvalidCertificate(CertificateError::Expired);
        let error = io::Error::new(ErrorKind::InvalidData, expired);
        Failure { error, server_name, first: [0; FIRST_BYTES] }
    }

    /// The error's kind.
    pub(crate) fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// What an endpoint did wrong.
    pub(crate) fn cause(&self) -> Cause {
        match (self.tls(), self.kind()) {
            (Some(error), _) => self.cause_of(error),
            (None, ErrorKind::TimedOut) => Cause::HandshakeTimeout,
            (None, _) => Cause::HandshakeClosed,
        }
    }

    fn cause_of(&self, error: &Error) -> Cause {
        match error {
            Error::InvalidCertificate(invalid) => of_certificate(invalid),
            Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
                if self.first.starts_with(b"HTTP/") {
                    Cause::PlainHttp
                } else {
                    Cause::NotTls
                }
            }
            Error::AlertReceived(alert) => of_alert(*alert),
            Error::PeerIncompatible(_) => Cause::NoCommonTls,
            Error::NoApplicationProtocol => Cause::NoCommonProtocol,
            _ => Cause::HandshakeFailed,
        }
    }

    /// Why a client's handshake failed, in words.
    pub(crate) fn words(&self) -> String {
        match (self.tls(), self.kind()) {
            (Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)), _) if self.is_request() => {
                PLAIN_HTTP.to_owned()
            }
            // It was answered in plain HTTP, so rustls did not see it.
            (None, ErrorKind::InvalidData) if self.is_request() => PLAIN_HTTP.to_owned(),
            (Some(Error::NoCertificatesPresented), _) => "the client shows no certificate".to_owned(),
            (Some(Error::AlertReceived(alert)), _) => format!("the client refused with the alert {alert:?}"),
            (Some(Error::General(text)), _) if text == NO_CERTIFICATE => {
                "no certificate for the name that the client asked for".to_owned()
            }
            (Some(error), _) => error.to_string(),
            (None, ErrorKind::TimedOut) => "the client did not finish the handshake in time".to_owned(),
            (None, ErrorKind::UnexpectedEof) if self.first == [0; FIRST_BYTES] => {
                "the client closed the connection without a byte".to_owned()
            }
            (None, ErrorKind::UnexpectedEof) => "the client closed the connection".to_owned(),
            (None, _) => self.error.to_string(),
        }
    }

    /// Are the peer's first bytes the beginning of an HTTP request: a method in capitals and a space?
    fn is_request(&self) -> bool {
        let method = self.first.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        method >= 3 && self.first.get(method).is_none_or(|byte| *byte == b' ')
    }

    fn tls(&self) -> Option<&Error> {
        self.error.get_ref()?.downcast_ref()
    }
}

const PLAIN_HTTP: &str = "the client sent plain HTTP to a TLS port";
/// What rustls says where the resolver has no certificate for the name.
const NO_CERTIFICATE: &str = "no server certificate chain resolved";

fn of_certificate(invalid: &CertificateError) -> Cause {
    match invalid {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Cause::CertificateExpired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Cause::CertificateNotYetValid,
        CertificateError::Revoked => Cause::CertificateRevoked,
        CertificateError::UnknownIssuer => Cause::CertificateIssuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Cause::CertificateName,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Cause::CertificatePurpose,
        _ => Cause::CertificateInvalid,
    }
}

fn of_alert(alert: AlertDescription) -> Cause {
    match alert {
        AlertDescription::CertificateRequired
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => Cause::ClientCertificate,
        AlertDescription::UnrecognisedName => Cause::ServerName,
        AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => Cause::NoCommonTls,
        AlertDescription::NoApplicationProtocol => Cause::NoCommonProtocol,
        _ => Cause::HandshakeFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: Error, first: &[u8]) -> Failure {
        let error = io::Error::new(ErrorKind::InvalidData, error);
        Failure { error, server_name: None, first: first_bytes(first) }
    }

    #[test]
    fn what_speaks_plain_http_is_told_from_other_bytes() {
        let not_tls = || Error::InvalidMessage(InvalidMessage::InvalidContentType);
        assert_eq!(of(not_tls(), b"HTTP/1.1 400 Bad Request").cause(), Cause::PlainHttp);
        assert_eq!(of(not_tls(), b"220 mail ESMTP").cause(), Cause::NotTls);
        let plain = "the client sent plain HTTP to a TLS port";
        assert_eq!(of(not_tls(), b"GET / HTTP/1.1").words(), plain);
        assert_eq!(of(not_tls(), b"PROPFIND / HTTP/1.1").words(), plain);
        assert_ne!(of(not_tls(), b"\x01\x02\x03").words(), plain);
    }

    #[test]
    fn a_certificate_says_what_is_wrong_with_it() {
        let cause = |invalid| of(Error::InvalidCertificate(invalid), b"").cause();
        assert_eq!(cause(CertificateError::Expired), Cause::CertificateExpired);
        assert_eq!(cause(CertificateError::UnknownIssuer), Cause::CertificateIssuer);
        assert_eq!(cause(CertificateError::NotValidForName), Cause::CertificateName);
        assert_eq!(cause(CertificateError::BadSignature), Cause::CertificateInvalid);
        let required = Error::AlertReceived(AlertDescription::CertificateRequired);
        assert_eq!(of(required, b"").cause(), Cause::ClientCertificate);
    }

    #[test]
    fn silence_and_an_early_end_have_causes_of_their_own() {
        let cause = |kind: ErrorKind| Failure::from(io::Error::from(kind)).cause();
        assert_eq!(cause(ErrorKind::TimedOut), Cause::HandshakeTimeout);
        assert_eq!(cause(ErrorKind::UnexpectedEof), Cause::HandshakeClosed);
    }
}
