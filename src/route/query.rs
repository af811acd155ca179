// SPDX-License-Identifier: Apache-2.0
//! Hot. What of a request decides about its route.

use std::net::IpAddr;

use crate::wire::head::Request;

/// The parts of a request that `Table::find` looks at.
#[derive(Clone, Copy, Debug)]
pub struct RouteQuery<'a> {
    /// The head, for method, fields, query and cookies.
    pub request: Request<'a>,
    /// The host in lower case, without port; empty where the request has none.
    pub host: &'a [u8],
    /// The normalised path; empty for asterisk-form.
    pub path: &'a [u8],
    /// The client's address.
    pub source: IpAddr,
}
