// SPDX-License-Identifier: Apache-2.0
//! Which requests the admin server listens to at all.
//!
//! On the control socket all: only the process' own user can connect to it. The admin listener answers requests for its
//! own names only, because a web page can make a name of its own resolve to our address (DNS rebinding). What a request
//! may do is said in `auth`.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::Version;
use hyper::header::{HOST, HeaderMap};

use crate::base::Address;
use crate::config::plan::AdminPlan;
use crate::control::admin::problem::{Problem, Reason};
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
pub(crate) enum Received {
    /// Over TCP.
    At {
        /// The machine's address that it was sent to.
        local: IpAddr,
        /// Where it came from.
        peer: IpAddr,
    },
    /// On a Unix socket, which no web page can reach.
    Unix,
}

impl Received {
    /// Where it came from, where that is an address.
    pub(super) fn peer(self) -> Option<IpAddr> {
        match self {
            Received::At { peer, .. } => Some(peer),
            Received::Unix => None,
        }
    }

    /// Did it come from this machine?
    pub(super) fn is_local(self) -> bool {
        self.peer().is_none_or(|peer| peer.to_canonical().is_loopback())
    }
}

impl Access {
    /// May a request with these fields see pages? A client of HTTP/1.0 may send no `Host`; browsers always do.
    pub(super) fn sees(&self, received: Received, version: Version, fields: &HeaderMap) -> Result<(), Problem> {
        let (Access::Listener(plan), Received::At { local, .. }) = (self, received) else { return Ok(()) };
        let mut hosts = fields.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => authority::parse(host.as_bytes()),
            (None, _) if version < Version::HTTP_11 => return Ok(()),
            (None, _) | (_, Some(_)) => None,
        };
        let Some(host) = host else {
            return Err(Problem::new(Reason::BadHost, "exactly one well-formed Host is needed"));
        };
        match is_own(plan, local, &String::from_utf8_lossy(host.host)) {
            true => Ok(()),
            false => {
                let detail = "the Host is not a name of this admin listener; `names` in [admin] adds names";
                Err(Problem::new(Reason::Misdirected, detail))
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> AdminPlan {
        let names = vec!["edge.internal".into(), "192.0.2.7".into()];
        AdminPlan { bind: Address::Inet("0.0.0.0:9180".parse().unwrap()), names, tokens: Vec::new() }
    }

    fn fields(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn status(result: Result<(), Problem>) -> u16 {
        result.map_or_else(|problem| problem.reason.status(), |()| 200)
    }

    #[test]
    fn only_own_names_are_answered() {
        let access = Access::Listener(Arc::new(plan()));
        let received = Received::At { local: IpAddr::from([10, 1, 2, 3]), peer: IpAddr::from([10, 9, 9, 9]) };
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
}
