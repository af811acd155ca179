// SPDX-License-Identifier: Apache-2.0
//! Connections of the control plane to endpoints, opened as shards open theirs: a PROXY header where the upstream wants
//! one, TLS with its settings, and the version of HTTP that requests use.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::base::Address;
use crate::config::plan::{HttpVersions, ProxyVersion, UpstreamPlan, UpstreamTlsPlan};
use crate::net::lacks_descriptors;

/// How the endpoints of one upstream are reached.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    /// Versions of HTTP.
    pub http: HttpVersions,
    /// TLS, if any.
    pub tls: Option<UpstreamTlsPlan>,
    /// Send a PROXY header first.
    pub proxy_protocol: Option<ProxyVersion>,
}

/// Bytes both ways.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire for S {}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// An open connection.
pub(super) struct Connected {
    /// Its bytes.
    pub stream: Box<dyn Wire>,
    /// What is spoken on it.
    pub speaks: Speaks,
    /// `http` or `https`.
    pub scheme: &'static str,
}

/// The error of a connection that failed for a reason of this machine, and not of the endpoint.
pub(super) const NO_DESCRIPTOR: &str = "no file descriptor is free";

impl Dial {
    /// As shards reach the endpoints of `upstream`.
    pub(super) fn of(upstream: &UpstreamPlan) -> Dial {
        Dial { http: upstream.http, tls: upstream.tls.clone(), proxy_protocol: upstream.proxy_protocol }
    }

    /// Connects to an endpoint. An error says what went wrong.
    pub(super) async fn connect(&self, address: &Address, name: &str) -> Result<Connected, String> {
        let opened = match address {
            Address::Inet(address) => TcpStream::connect(*address).await.map(boxed),
            Address::Unix(path) => UnixStream::connect(path).await.map(boxed),
        };
        let mut stream = opened.map_err(|error| match lacks_descriptors(&error) {
            true => NO_DESCRIPTOR.to_owned(),
            false => format!("connect: {error}"),
        })?;
        let preface = proxy_preface(self.proxy_protocol);
        stream.write_all(preface).await.map_err(|error| format!("send: {error}"))?;
        let Some(tls) = &self.tls else {
            let speaks = if self.http == HttpVersions::Http2 { Speaks::Http2 } else { Speaks::Http1 };
            return Ok(Connected { stream, speaks, scheme: "http" });
        };
        let server = match &tls.server_name {
            Some(server) => server.clone(),
            None => server_name(address, name).map_err(|error| format!("TLS: {error}"))?,
        };
        let secured = TlsConnector::from(Arc::clone(&tls.config)).connect(server, stream).await;
        let secured = secured.map_err(|error| format!("TLS: {error}"))?;
        let chosen = secured.get_ref().1.alpn_protocol() == Some(b"h2");
        let speaks = if chosen { Speaks::Http2 } else { Speaks::Http1 };
        Ok(Connected { stream: boxed(secured), speaks, scheme: "https" })
    }
}

fn boxed(stream: impl Wire + 'static) -> Box<dyn Wire> {
    Box::new(stream)
}

/// The Host to ask an endpoint with: its name as it stands in the configuration, or its address.
pub(super) fn host(address: &Address, name: &str) -> String {
    match address {
        Address::Inet(address) if name.is_empty() => address.to_string(),
        Address::Inet(_) | Address::Unix(_) => name.to_owned(),
    }
}

/// A PROXY header that says "this connection is the proxy's own" in that version.
fn proxy_preface(version: Option<ProxyVersion>) -> &'static [u8] {
    match version {
        None => b"",
        Some(ProxyVersion::V1) => b"PROXY UNKNOWN\r\n",
        Some(ProxyVersion::V2) => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    }
}

/// The name to verify: the endpoint's without a port, or its address.
fn server_name(address: &Address, name: &str) -> io::Result<ServerName<'static>> {
    let host = host_of(name);
    if let Ok(server) = ServerName::try_from(host.to_owned()) {
        return Ok(server);
    }
    match address {
        Address::Inet(address) => Ok(ServerName::from(address.ip())),
        Address::Unix(_) => Err(io::Error::other(format!("`{name}` is not a name to verify"))),
    }
}

/// `name` without its port and brackets.
fn host_of(name: &str) -> &str {
    if let Some(bracketed) = name.strip_prefix('[') {
        return bracketed.split(']').next().unwrap_or(bracketed);
    }
    match name.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_port() {
        let cases = [("a.test:80", "a.test"), ("a.test", "a.test"), ("[::1]:80", "::1"), ("::1", "::1"), ("", "")];
        for (name, host) in cases {
            assert_eq!(host_of(name), host);
        }
        let address = Address::Inet("127.0.0.1:8443".parse().expect("an address"));
        assert_eq!(server_name(&address, "a.test:1").expect("a name"), ServerName::try_from("a.test").expect("a name"));
        assert!(matches!(server_name(&address, "not a name"), Ok(ServerName::IpAddress(_))));
    }
}
