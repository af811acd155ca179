// SPDX-License-Identifier: Apache-2.0
//! What is remembered of a TLS handshake.

use rustls::{Connection, HandshakeKind, ProtocolVersion};

use super::certificate_facts;
use super::client_certificate::client_certificate;
use crate::base::Wall;
use crate::wire::certificate::ClientCertificate;

/// What the handshake agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Session {
    /// The application protocol, for example `h2`.
    pub alpn: Option<Box<[u8]>>,
    /// The name that the client asked for (SNI), in lower case; server side only.
    pub server_name: Option<Box<str>>,
    /// The protocol version.
    pub version: Version,
    /// The subject of the peer's certificate, where it showed one.
    pub peer_subject: Option<Box<str>>,
    /// What the client's certificate says, where it showed one; server side only.
    pub client_certificate: Option<Box<ClientCertificate>>,
    /// Last moment at which the peer's certificate is valid, where it showed one.
    pub peer_not_after: Option<Wall>,
    /// The handshake took up an earlier session.
    pub resumed: bool,
}

impl Session {
    /// Is the certificate that the peer showed no longer valid? rustls does not look at it when a session is resumed.
    pub(crate) fn has_expired(&self, now: Wall) -> bool {
        self.peer_not_after.is_some_and(|last| now > last)
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    /// TLS 1.2
    Tls12,
    /// TLS 1.3
    #[default]
    Tls13,
}

impl Version {
    /// The name in logs and forwarded fields.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Version::Tls12 => "TLSv1.2",
            Version::Tls13 => "TLSv1.3",
        }
    }
}

/// What the handshake of `connection` agreed on, which is over.
pub(super) fn session_of(connection: &Connection) -> Session {
    let server_name = match connection {
        Connection::Server(server) => server.server_name().map(Box::from),
        Connection::Client(_) => None,
    };
    let client_certificate = match connection {
        Connection::Server(server) => server.peer_certificates().and_then(|chain| client_certificate(chain.first()?)),
        Connection::Client(_) => None,
    };
    let peer = connection.peer_certificates().and_then(|chain| certificate_facts(chain.first()?).ok());
    Session {
        alpn: connection.alpn_protocol().map(Box::from),
        server_name,
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => Version::Tls12,
            _ => Version::Tls13,
        },
        client_certificate,
        peer_not_after: peer.as_ref().map(|facts| facts.not_after),
        peer_subject: peer.map(|facts| facts.subject.into()),
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
    }
}
