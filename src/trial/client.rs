// SPDX-License-Identifier: Apache-2.0
//! The client of a test: sends one request on a connection of its own and reads the response.

mod http2;

use std::io;
use std::net::SocketAddr;

use crate::base::{Address, Buf, BufPool, Tick};
use crate::net::sim::{Sim, SimStream};
use crate::net::tls::{self, Transport};
use crate::net::{Net, Stream};
use crate::trial::connection::{Connection, lines};
use crate::trial::exchange::{End, Response};
use crate::trial::outgoing::Outgoing;
use crate::trial::spec::Protocol;
use crate::wire::h1::body::Body;
use crate::wire::h1::{Caps, Parsed, response};
use crate::wire::head::{Method, ResponseHead};
use crate::wire::proxy::{self, Header};

impl Outgoing {
    /// Sends it from `sim`. Gives the port that it came from, and the response.
    pub(super) async fn send(&self, sim: &Sim) -> Result<(u16, Option<Response>), String> {
        let stream = sim.connect(&self.to, Tick::NEVER).await.map_err(|error| format!("no connection: {error}"))?;
        let port = if let Address::Inet(local) = stream.local() { local.port() } else { 0 };
        if self.proxy.is_some() {
            self.introduce(&stream).await.map_err(|error| error.to_string())?;
        }
        let transport = match &self.tls {
            None => Transport::Plain(stream),
            Some((config, name)) => {
                match tls::connect(stream, config.clone(), name.clone(), BufPool::new(), Tick::NEVER).await {
                    Ok(tls) => Transport::Tls(Box::new(tls)),
                    // The listener wants a certificate, or has none for that name.
                    Err(_) => return Ok((port, None)),
                }
            }
        };
        let response = match self.protocol {
            Protocol::Http2 => http2::exchange(self, transport, sim).await,
            Protocol::Http10 | Protocol::Http11 => self.exchange(transport).await,
        };
        Ok((port, response))
    }

    /// The header of the PROXY protocol.
    async fn introduce(&self, stream: &SimStream) -> io::Result<()> {
        let mut header = Vec::new();
        let (Address::Inet(local), Address::Inet(destination)) = (stream.local(), &self.to) else { return Ok(()) };
        let source = SocketAddr::new(self.from, local.port());
        proxy::write_v1(&Header::Proxied { source, destination: *destination }, &mut header);
        stream.write(Buf::copied(&header), Tick::NEVER).await.0
    }

    async fn exchange(&self, transport: Transport<SimStream>) -> Option<Response> {
        let mut connection = Connection::new(transport);
        let waits = self
            .fields
            .iter()
            .any(|(name, value)| name.eq_ignore_ascii_case(b"expect") && value.eq_ignore_ascii_case(b"100-continue"));
        connection.write(&self.head()).await.ok()?;
        if !waits {
            // A gateway that refuses may close before it has read all.
            let _ = connection.write(&self.body).await;
        }
        let method = Method::of(&self.method);
        loop {
            let mut head = ResponseHead::default();
            loop {
                match response::parse(&connection.held, &Caps::default(), method, &mut head) {
                    Ok(Parsed::Complete) => break,
                    Ok(Parsed::Partial) => {}
                    Err(_) => return None,
                }
                if !matches!(connection.more().await, Ok(true)) {
                    return None;
                }
            }
            let bytes: Vec<u8> = connection.held.drain(..head.len).collect();
            if head.status < 200 && head.status != 101 {
                if waits && head.status == 100 {
                    let _ = connection.write(&self.body).await;
                }
                continue;
            }
            let (body, end) = match connection.body(Body::response(head.body)).await {
                Ok(body) => (body, End::Whole),
                Err((body, _)) => (body, End::Cut),
            };
            return Some(Response { status: head.status, fields: lines(&head.fields, &bytes), body, end });
        }
    }

    fn head(&self) -> Vec<u8> {
        let version = if self.protocol == Protocol::Http10 { "1.0" } else { "1.1" };
        let mut out = [&*self.method, b" ", self.target.as_bytes(), b" HTTP/", version.as_bytes(), b"\r\n"].concat();
        if !self.has("host") {
            out.extend_from_slice(format!("Host: {}\r\n", self.authority).as_bytes());
        }
        for (name, value) in &self.fields {
            out.extend_from_slice(&[name, &b": "[..], value, b"\r\n"].concat());
        }
        if !self.body.is_empty() && !self.has("content-length") && !self.has("transfer-encoding") {
            out.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out
    }
}
