// SPDX-License-Identifier: Apache-2.0
//! A small HTTP/1.1 client of the control plane for URLs outside: issuers' keys and authorisation servers.
//!
//! It follows no redirect, takes no compressed response and no response above a size. Whoever calls it sets a deadline.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CACHE_CONTROL, HOST, HeaderMap, USER_AGENT};
use hyper_util::rt::TokioIo;

use crate::base::Address;
use crate::config::plan::{HttpVersions, UpstreamTlsPlan};
use crate::control::call::Driver;
use crate::control::dial::{Dial, Wire};
use crate::control::resolve::{Family, Lookup, SystemLookup};
use crate::wire::url::Url;

/// The `User-Agent`.
const AGENT: &str = concat!("turnpike/", env!("CARGO_PKG_VERSION"));
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// Largest head of a response, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What requests to the servers of one source have in common.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// Resolves names.
    pub lookup: Rc<SystemLookup>,
    /// How `https` is spoken.
    pub tls: Option<UpstreamTlsPlan>,
}

/// A response that has come whole.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Its status.
    pub status: u16,
    /// How long it may be used, where it says so.
    pub lifetime: Option<Duration>,
    /// Its body.
    pub body: Vec<u8>,
}

/// An open connection to the server of a URL.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: Driver,
}

impl Client {
    /// Opens a connection to the server of a URL, to speak HTTP on it.
    pub(super) async fn connect(&self, url: &Url) -> Result<Connection, String> {
        Connection::open(TokioIo::new(self.open(url).await?)).await
    }

    /// Opens a connection to the server of a URL.
    pub(super) async fn open(&self, url: &Url) -> Result<Box<dyn Wire>, String> {
        let tls = match (url.secure, &self.tls) {
            (false, _) => None,
            (true, Some(tls)) => Some(tls.clone()),
            (true, None) => return Err("https is not set up for it".to_owned()),
        };
        let dial = Dial { http: HttpVersions::Http1, tls, proxy_protocol: None };
        let mut failed = None;
        for address in self.addresses(url).await?.into_iter().take(ADDRESSES_MAX) {
            match dial.connect(&Address::Inet(SocketAddr::new(address, url.port)), &url.host).await {
                Ok(connected) => return Ok(connected.stream),
                Err(reason) => {
                    failed.get_or_insert(reason);
                }
            }
        }
        Err(failed.unwrap_or_else(|| "its name has no address".to_owned()))
    }

    /// Asks for a URL once, on a connection of its own.
    pub(super) async fn get(&self, url: &Url, bytes_max: usize) -> Result<Fetched, String> {
        let request = Request::get(&*url.target).header("Accept", "application/json").body(Full::default());
        let request = request.map_err(|error| error.to_string())?;
        self.connect(url).await?.exchange(url, request, bytes_max).await
    }

    async fn addresses(&self, url: &Url) -> Result<Vec<IpAddr>, String> {
        if let Ok(address) = url.host.parse() {
            return Ok(vec![address]);
        }
        let answer = self.lookup.host(&url.host).await;
        let mut all = Vec::new();
        let mut unknown = None;
        for family in [answer.v4, answer.v6] {
            match family {
                Family::Some(addresses) => all.extend(addresses),
                Family::None => {}
                Family::Unknown(reason) => unknown = Some(reason),
            }
        }
        match unknown {
            Some(reason) if all.is_empty() => Err(format!("DNS: {reason}")),
            Some(_) | None => Ok(all),
        }
    }
}

impl Connection {
    async fn open(stream: TokioIo<Box<dyn Wire>>) -> Result<Connection, String> {
        let handshake = http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(stream).await;
        let (sender, connection) = handshake.map_err(|error| error.to_string())?;
        Ok(Connection { sender, _driver: Driver::of(connection) })
    }

    /// May it be used again?
    pub(super) fn is_open(&self) -> bool {
        self.sender.is_ready()
    }

    /// Sends a request and waits for the whole response.
    pub(super) async fn exchange(
        &mut self,
        url: &Url,
        mut request: Request<Full<Bytes>>,
        bytes_max: usize,
    ) -> Result<Fetched, String> {
        let host = url.authority.parse().map_err(|_| "its name is no host".to_owned())?;
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(USER_AGENT, hyper::header::HeaderValue::from_static(AGENT));
        let sent = self.sender.send_request(request).await;
        let (head, body) = sent.map_err(|error| format!("exchange: {error}"))?.into_parts();
        let body = whole(body, bytes_max).await?;
        Ok(Fetched { status: head.status.as_u16(), lifetime: lifetime(&head.headers), body })
    }
}

async fn whole(mut body: Incoming, bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("body: {error}"))?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        if bytes.len() > bytes_max {
            return Err(format!("the response has more than {bytes_max} bytes"));
        }
    }
    Ok(bytes)
}

/// What `Cache-Control` says (RFC 9111 section 5.2.2).
fn lifetime(fields: &HeaderMap) -> Option<Duration> {
    let values = fields.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut found = None;
    for directive in values.flat_map(|value| value.split(',')).map(str::trim) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return Some(Duration::ZERO);
        }
        if name.eq_ignore_ascii_case("max-age") {
            found = value.trim_matches('"').parse().ok().map(Duration::from_secs).or(found);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cache_control_says() {
        for (lines, seconds) in [
            (&["max-age=60"][..], Some(60)),
            (&["public, Max-Age=\"60\", must-revalidate"], Some(60)),
            (&["public", "max-age=5"], Some(5)),
            (&["no-store, max-age=60"], Some(0)),
            (&["max-age=x"], None),
            (&["s-maxage=9"], None),
            (&[], None),
        ] {
            let mut fields = HeaderMap::new();
            for line in lines {
                fields.append(CACHE_CONTROL, line.parse().expect("a value"));
            }
            assert_eq!(lifetime(&fields), seconds.map(Duration::from_secs), "{lines:?}");
        }
    }
}
