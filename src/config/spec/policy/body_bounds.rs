// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.body_bounds]`.

use crate::config::location::Located;
use crate::config::spec::scalar::Size;
use crate::config::spec::shape::{Many, table};

table! {
    /// Looks at bodies in JSON and XML on their way to the upstream: what is not well formed, or names entities or a
    /// document type, is refused with 400, what is above a bound with 413. A body of up to `hold` is looked at whole
    /// before the upstream gets any of it. Of a longer one, each part is looked at before it goes on; where a later
    /// part is refused, the request to the upstream is broken off, so that it never looks complete. Only requests that
    /// are forwarded are looked at, and no calls of gRPC.
    #[schemars(rename = "BodyBoundsSpec")]
    pub struct Spec {
        /// Media types of JSON. Bodies of other types are not looked at: allow those alone that you expect, by
        /// `content_rules`. One with a content coding gets 415.
        json: Many<Located<String>> = listed(&["application/json", "application/*+json", "text/json"]),
        /// Media types of XML.
        xml: Many<Located<String>> = listed(&["application/xml", "text/xml", "application/*+xml"]),
        /// Objects, arrays or elements inside one another.
        depth: Located<u32> = Located::nowhere(32),
        /// Members of one object, or attributes of one element.
        members: Located<u32> = Located::nowhere(256),
        /// Values of one array, or elements directly in one element.
        items: Located<u32> = Located::nowhere(10_000),
        /// Values or elements in all.
        values: Located<u32> = Located::nowhere(100_000),
        /// The longest name.
        name: Located<Size> = Located::nowhere(Size(256)),
        /// The longest string, text, attribute value or comment, as it is sent, with its escapes.
        text: Located<Size> = Located::nowhere(Size(64 << 10)),
        /// The longest number in JSON, in digits and signs.
        number: Located<u32> = Located::nowhere(64),
        /// So much of a body is read before the upstream gets any of it, at most `"1MiB"`.
        hold: Located<Size> = Located::nowhere(Size(64 << 10)),
    }
}

fn listed(types: &[&str]) -> Many<Located<String>> {
    Many(types.iter().map(|text| Located::nowhere((*text).to_owned())).collect())
}
