// SPDX-License-Identifier: Apache-2.0
//! What conditions of routes see of the request that is asked about. Nobody is identified, because nothing is sent.

use std::net::IpAddr;

use crate::base::{Scheme, Wall};
use crate::policy::Facts;
use crate::policy::country::Countries;
use crate::policy::directory::Directory;
use crate::policy::identity::Identity;
use crate::wire::head::Request;
use crate::wire::template::{Lookup, Variable};

/// The values of the request that no route has yet.
pub(super) struct Unrouted<'c> {
    pub request: Request<'c>,
    pub host: &'c [u8],
    pub path: &'c [u8],
    pub client: IpAddr,
    pub scheme: Scheme,
    pub countries: Option<&'c Countries>,
}

impl Unrouted<'_> {
    /// Calls `look` with what is known. The time is the beginning of 1970: what is said does not depend on when it is
    /// asked.
    pub(super) fn with_facts<T>(&self, look: impl FnOnce(&Facts<'_, Unrouted<'_>>) -> T) -> T {
        let (identity, directory) = (Identity::default(), Directory::default());
        look(&Facts {
            request: self.request,
            path: self.path,
            client: self.client,
            scheme: self.scheme,
            route_name: "",
            identity: &identity,
            consumer_name: "",
            directory: &directory,
            certificate: None,
            body: None,
            own_expression: None,
            wall: Wall(0),
            words: self,
        })
    }
}

impl Lookup for Unrouted<'_> {
    fn append(&self, variable: &Variable, out: &mut Vec<u8>) {
        match variable {
            Variable::ClientIp => out.extend_from_slice(self.client.to_string().as_bytes()),
            Variable::Host => out.extend_from_slice(self.host),
            Variable::Country => {
                if let Some(country) = self.countries.and_then(|countries| countries.of(self.client)) {
                    out.extend_from_slice(country.as_bytes());
                }
            }
            Variable::Scheme => out.extend_from_slice(self.scheme.name().as_bytes()),
            _ => {}
        }
    }
}
