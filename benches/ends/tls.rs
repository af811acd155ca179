// SPDX-License-Identifier: Apache-2.0
//! Both ends of TLS: rustls over a simulated stream, without the gateway's own stream around it.
#![allow(clippy::disallowed_methods, reason = "the keys are written before the shard starts")]

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};
use tempfile::TempDir;

use super::Line;
use turnpike::bench::base::{Buf, Tick};
use turnpike::bench::net::Stream;
use turnpike::bench::net::sim::SimStream;

/// The only name in the certificate.
pub(crate) const NAME: &str = "www.example.com";

/// A certificate that signed itself, its key, and the directory where both are files, `cert.pem` and `key.pem`.
pub(crate) struct Keys {
    pub directory: TempDir,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Keys {
    pub(crate) fn new() -> Keys {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate can be made");
        let directory = TempDir::new().expect("a directory for temporary files");
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        std::fs::write(directory.path().join("cert.pem"), &certificate).expect("an empty directory");
        std::fs::write(directory.path().join("key.pem"), &key).expect("an empty directory");
        Keys {
            directory,
            certificate: CertificateDer::from_pem_slice(certificate.as_bytes()).expect("it was just written"),
            key: PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("it was just written"),
        }
    }

    /// For the origin.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder().with_no_client_auth();
        let config = builder.with_single_cert(vec![self.certificate.clone()], self.key.clone_key());
        Arc::new(config.expect("certificate and key belong together"))
    }

    /// For the client.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    }
}

/// One end.
pub(crate) struct TlsLine {
    stream: SimStream,
    connection: RefCell<Connection>,
    /// For ciphertext.
    raw: Cell<Buf>,
}

/// The client's end, after the handshake.
pub(crate) async fn connect(stream: SimStream, config: Arc<ClientConfig>) -> TlsLine {
    let name = ServerName::try_from(NAME).expect("a name");
    shake_hands(stream, ClientConnection::new(config, name).expect("a configuration").into()).await
}

/// The server's end, after the handshake.
pub(crate) async fn accept(stream: SimStream, config: Arc<ServerConfig>) -> TlsLine {
    shake_hands(stream, ServerConnection::new(config).expect("a configuration").into()).await
}

async fn shake_hands(stream: SimStream, connection: Connection) -> TlsLine {
    let line = TlsLine { stream, connection: RefCell::new(connection), raw: Cell::new(Buf::with_capacity(RAW)) };
    loop {
        line.flush().await.expect("the other end reads");
        if !line.connection.borrow().is_handshaking() {
            return line;
        }
        assert!(line.feed().await.expect("the other end speaks TLS") > 0, "closed within the handshake");
    }
}

impl TlsLine {
    async fn flush(&self) -> io::Result<()> {
        let mut raw = self.raw.take();
        raw.reset(0);
        while self.connection.borrow().wants_write() {
            let count = self.connection.borrow_mut().write_tls(&mut raw.spare_mut())?;
            raw.fill(count);
        }
        let mut written = Ok(());
        if !raw.is_empty() {
            (written, raw) = self.stream.write(raw, Tick::NEVER).await;
        }
        self.raw.set(raw);
        written
    }

    async fn feed(&self) -> io::Result<usize> {
        let mut raw = self.raw.take();
        raw.reset(0);
        let (read, raw) = self.stream.read(raw, Tick::NEVER).await;
        let mut bytes = raw.filled();
        while !bytes.is_empty() {
            self.connection.borrow_mut().read_tls(&mut bytes)?;
            self.connection.borrow_mut().process_new_packets().map_err(io::Error::other)?;
        }
        self.raw.set(raw);
        read
    }
}

impl Line for TlsLine {
    async fn receive(&self, mut buf: Buf) -> (io::Result<usize>, Buf) {
        loop {
            let taken = self.connection.borrow_mut().reader().read(buf.spare_mut());
            match taken {
                Ok(count) => {
                    buf.fill(count);
                    return (Ok(count), buf);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return (Err(error), buf),
            }
            match self.feed().await {
                Ok(1..) => {}
                ended => return (ended, buf),
            }
        }
    }

    async fn send(&self, mut buf: Buf) -> (io::Result<()>, Buf) {
        let written = self.connection.borrow_mut().writer().write_all(buf.filled());
        buf.consume(buf.len());
        match written {
            Ok(()) => (self.flush().await, buf),
            Err(error) => (Err(error), buf),
        }
    }
}

/// One record of the largest size, and some.
const RAW: usize = 20_000;
