// SPDX-License-Identifier: Apache-2.0
//! Hot. What of a request decides about its route.

use std::net::IpAddr;

use crate::wire::content::Content;
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
    /// What is known of its body.
    pub body: BodyView<'a>,
}

/// What is known of a request's body.
#[derive(Clone, Copy, Debug)]
pub enum BodyView<'a> {
    /// It was not read: matchers of the body are taken to hold.
    Unread,
    /// There is none, or it is of a type that no matcher reads: none of them holds.
    Other,
    /// This.
    Read(&'a Content),
}
