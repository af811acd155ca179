// SPDX-License-Identifier: Apache-2.0
//! Who may ask the admin server what.
//!
//! On the control socket everything is allowed: only the process' own user can connect to it. The admin listener
//! answers requests for its own names only, because a web page can make a name of its own resolve to our address (DNS
//! rebinding). It changes the process only for those who know the token.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use hyper::{StatusCode, Version};

use crate::base::Address;
use crate::config::plan::AdminPlan;
use crate::policy::key_format::hash_of;
use crate::wire::authority;

/// The rules of one server.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// Of the control socket.
    Everything,
    /// Of the admin listener.
    Listener(Arc<AdminPlan>),
}

/// Where a request was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// At this address of the machine.
    At(IpAddr),
    /// On a Unix socket, which no web page can reach.
    Unix,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The status of the response.
    pub status: StatusCode,
    /// Its body.
    pub words: &'static str,
}

impl Access {
    /// May a request with these fields see pages? A client of HTTP/1.0 may send no `Host`; browsers always do.
    pub(super) fn sees(&self, received: Received, version: Version, fields: &HeaderMap) -> Result<(), Refusal> {
        let (Access::Listener(plan), Received::At(local)) = (self, received) else { return Ok(()) };
        let mut hosts = fields.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => authority::parse(host.as_bytes()),
            (None, _) if version < Version::HTTP_11 => return Ok(()),
            (None, _) | (_, Some(_)) => None,
        };
        let Some(host) = host else {
            return Err(Refusal { status: StatusCode::BAD_REQUEST, words: "exactly one well-formed Host is needed\n" });
        };
        match is_own(plan, local, &String::from_utf8_lossy(host.host)) {
            true => Ok(()),
            false => Err(Refusal {
                status: StatusCode::MISDIRECTED_REQUEST,
                words: "the Host is not a name of this admin listener; `names` in [admin] adds names\n",
            }),
        }
    }

    /// May a request with these fields change the process?
    pub(super) fn changes(&self, fields: &HeaderMap) -> Result<(), Refusal> {
        if fields.contains_key(ORIGIN) {
            return Err(Refusal { status: StatusCode::FORBIDDEN, words: "not from a browser's page\n" });
        }
        let Access::Listener(plan) = self else { return Ok(()) };
        let Some(token) = &plan.token else {
            let words = "changes are made over the control socket, or with the `token` of [admin]\n";
            return Err(Refusal { status: StatusCode::FORBIDDEN, words });
        };
        let sent = fields.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        // Hashes are compared, so the time that a comparison takes tells nothing about the token.
        match sent.is_some_and(|sent| hash_of(sent) == *token) {
            true => Ok(()),
            false => Err(Refusal {
                status: StatusCode::UNAUTHORIZED,
                words: "this needs the token of [admin]: `Authorization: Bearer TOKEN`\n",
            }),
        }
    }
}

/// Is it the address of this connection, one that the listener is bound to, this machine's own name, or a configured
/// name?
fn is_own(plan: &AdminPlan, local: IpAddr, host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        let bound = matches!(&plan.bind, Address::Inet(bound) if bound.ip().to_canonical() == address.to_canonical());
        let here = address.to_canonical() == local.to_canonical() || address.to_canonical().is_loopback();
        return bound || here || plan.names.iter().any(|name| **name == *bare);
    }
    let name = bare.strip_suffix('.').unwrap_or(bare);
    name.eq_ignore_ascii_case("localhost") || plan.names.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750 section 2.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> AdminPlan {
        let names = vec!["edge.internal".into(), "192.0.2.7".into()];
        AdminPlan { bind: Address::Inet("0.0.0.0:9180".parse().unwrap()), names, token: Some(hash_of(b"open sesame")) }
    }

    fn fields(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn status(result: Result<(), Refusal>) -> u16 {
        result.map_or_else(|refusal| refusal.status.as_u16(), |()| 200)
    }

    #[test]
    fn only_own_names_are_answered() {
        let access = Access::Listener(Arc::new(plan()));
        let received = Received::At(IpAddr::from([10, 1, 2, 3]));
        let seen = |host: &str| status(access.sees(received, Version::HTTP_11, &fields(&[("host", host)])));
        for own in ["10.1.2.3:9180", "10.1.2.3", "127.0.0.1:1", "[::1]:9180", "LocalHost:80", "localhost."] {
            assert_eq!(seen(own), 200, "{own}");
        }
        for own in ["edge.internal:9180", "Edge.Internal", "192.0.2.7"] {
            assert_eq!(seen(own), 200, "{own}");
        }
        for other in ["evil.test", "10.1.2.4", "localhost.evil.test", "edge.internal.evil.test:9180", "0.1.2.3"] {
            assert_eq!(seen(other), 421, "{other}");
        }
        assert_eq!((seen("a b"), seen("")), (400, 400));
        assert_eq!(status(access.sees(received, Version::HTTP_11, &fields(&[]))), 400);
        assert_eq!(status(access.sees(received, Version::HTTP_10, &fields(&[]))), 200);
        let twice = fields(&[("host", "localhost"), ("host", "localhost")]);
        assert_eq!(twice.get_all(HOST).iter().count(), 2);
        assert_eq!(status(access.sees(received, Version::HTTP_11, &twice)), 400);
        let other = fields(&[("host", "evil.test")]);
        assert_eq!(status(access.sees(Received::Unix, Version::HTTP_11, &other)), 200);
        assert_eq!(status(Access::Everything.sees(received, Version::HTTP_11, &other)), 200);
    }

    #[test]
    fn only_the_token_changes_the_process() {
        let access = Access::Listener(Arc::new(plan()));
        for (sent, expected) in [
            ("Bearer open sesame", 200),
            ("bearer open sesame", 200),
            ("Bearer open sesam", 401),
            ("Bearer ", 401),
            ("Basic open sesame", 401),
            ("B", 401),
        ] {
            assert_eq!(status(access.changes(&fields(&[("authorization", sent)]))), expected, "{sent}");
        }
        assert_eq!(status(access.changes(&fields(&[]))), 401);
        let page = fields(&[("authorization", "Bearer open sesame"), ("origin", "http://localhost")]);
        assert_eq!(status(access.changes(&page)), 403);
        let none = Access::Listener(Arc::new(AdminPlan { token: None, ..plan() }));
        assert_eq!(status(none.changes(&fields(&[("authorization", "Bearer ")]))), 403);
        assert_eq!(status(Access::Everything.changes(&fields(&[]))), 200);
        assert_eq!(status(Access::Everything.changes(&fields(&[("origin", "null")]))), 403);
    }
}
