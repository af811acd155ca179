// SPDX-License-Identifier: Apache-2.0
//! TLS over real connections, on every driver.

use std::rc::Rc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;
use crate::net::Net;
use crate::net::uring::tests::{both, kind, listen, on_each, pair, soon, unless, within};
use crate::net::uring::{Uring, UringListener, UringStream};

mod chopped;
mod flow;
mod materials;
mod sessions;

/// An authority that signs for these tests.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test Authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Authority { issuer }
    }

    fn root(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A certificate for `names`, by which it is also chosen.
    fn server(&self, names: &[&str]) -> Certificate {
        self.certificate(names, "server", ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn client(&self, name: &str) -> Certificate {
        self.certificate(&[], name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn certificate(&self, names: &[&str], subject: &str, usage: ExtendedKeyUsagePurpose) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, subject);
        params.extended_key_usages.push(usage);
        let pair = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&pair, &self.issuer).unwrap();
        Certificate { names: Vec::new(), chain: vec![certificate.der().clone()], key: der_of(&pair) }
    }
}

fn der_of(pair: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(pair.serialize_der()).into()
}

fn server_of(certificates: Vec<Certificate>) -> ServerMaterial {
    ServerMaterial {
        certificates,
        default: Some(0),
        client_auth: ClientAuth::Off,
        alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        versions: Versions::Both,
        tickets: Tickets::new().unwrap(),
    }
}

fn client_of(authority: &Authority) -> ClientMaterial {
    ClientMaterial {
        roots: Roots::Custom(vec![authority.root()]),
        verify: Verify::Full,
        certificate: None,
        alpn: vec![b"http/1.1".to_vec()],
        versions: Versions::Both,
    }
}

/// Both configurations, ready to use.
#[derive(Clone)]
struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Configs {
    fn of(server: &ServerMaterial, client: &ClientMaterial) -> Configs {
        Configs { server: server_config(server).unwrap().into(), client: client_config(client).unwrap().into() }
    }

    fn plain() -> Configs {
        let authority = Authority::new();
        Configs::of(&server_of(vec![authority.server(&["localhost"])]), &client_of(&authority))
    }

    /// A handshake over two ends of a stream: what the client and the server make of it.
    async fn over<S: Stream>(&self, net: &Uring, name: &str, ends: (S, S)) -> (io::Result<Tls<S>>, io::Result<Tls<S>>) {
        let name = server_name(name).unwrap();
        let client = connect(ends.0, self.client.clone(), name, BufPool::new(), soon(net));
        let server = accept(ends.1, self.server.clone(), BufPool::new(), soon(net), |_| None);
        let (client, server) = both(client, server).await;
        (client.map_err(|failure| failure.error), server.map_err(|failure| failure.error))
    }

    async fn pair(&self, net: &Uring, listener: &UringListener) -> (Tls<UringStream>, Tls<UringStream>) {
        let ends = pair(net, listener).await;
        let (client, server) = self.over(net, "localhost", ends).await;
        (client.unwrap(), server.unwrap())
    }
}

async fn send(net: &Uring, stream: &impl Stream, bytes: &[u8]) {
    let (result, buf) = stream.write(Buf::copied(bytes), soon(net)).await;
    result.unwrap();
    assert!(buf.is_empty());
}

/// Reads `count` bytes, in reads of at most `step`.
async fn receive_in(net: &Uring, stream: &impl Stream, count: usize, step: usize) -> Vec<u8> {
    let (mut got, mut buf) = (Vec::new(), Buf::with_capacity(step));
    while got.len() < count {
        buf.reset(0);
        let (result, back) = stream.read(buf, soon(net)).await;
        buf = back;
        assert_eq!(result.unwrap(), buf.len());
        assert!(!buf.is_empty(), "ended after {} of {count} bytes", got.len());
        got.extend_from_slice(buf.filled());
    }
    got
}

async fn receive(net: &Uring, stream: &impl Stream, count: usize) -> Vec<u8> {
    receive_in(net, stream, count, 4096).await
}

async fn read_once(net: &Uring, stream: &impl Stream) -> io::Result<usize> {
    stream.read(Buf::with_capacity(4096), soon(net)).await.0
}
