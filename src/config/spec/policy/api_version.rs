// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.api_version]`.

use crate::config::location::Located;
use crate::config::spec::scalar::Moment;
use crate::config::spec::shape::{Many, Named, table};

table! {
    /// Versions of an API. The policy finds out which one a request is for (`{version}` in texts and logs), refuses
    /// unknown ones, and tells clients of old ones what RFC 9745 (`Deprecation`) and RFC 8594 (`Sunset`) have for that.
    /// One route may serve several versions; where they have upstreams of their own, each has a route with the path or
    /// the header of its version, and all name the policy.
    #[schemars(rename = "ApiVersionSpec")]
    pub struct Spec {
        /// Where a request names its version: `"path"` (the first segment) or `"path:2"` (the second), `"header:NAME"`,
        /// `"query:NAME"`, `"media:NAME"` (a parameter of a media type in `Accept` or `Content-Type`), or
        /// `"vendor:application/vnd.acme."` (what stands behind that in such a type, up to a `+`). Where several places
        /// name a version, they must agree, else the request gets 400. Without it each route says its `version`.
        from: Many<Located<String>> = Many::default(),
        /// The versions, by name.
        versions: Named<Located<VersionSpec>> = Named::default(),
        /// The version of requests that name none; without it they get 400.
        default: Option<Located<String>> = None,
        /// The status for a version that is not known: 400, 404 or 406.
        unknown: Located<u16> = Located::nowhere(404),
        /// The header by which the upstream learns the version, by its name in `versions`. What a client sends under
        /// that name is always removed.
        tell: Option<Located<String>> = None,
        /// Refuse a version with 410 from its `sunset` on.
        enforce_sunset: bool = false,
    }
}

table! {
    /// One version of an API.
    pub struct VersionSpec {
        /// Other names for it, such as `"1"` for `v1`.
        aliases: Many<Located<String>> = Many::default(),
        /// Since when it is deprecated, or from when on: `Deprecation` in its responses.
        deprecated: Option<Located<Moment>> = None,
        /// When it ends: `Sunset` in its responses.
        sunset: Option<Located<Moment>> = None,
        /// The address of a page about the deprecation: `Link` with `rel="deprecation"`.
        deprecation_link: Option<Located<String>> = None,
        /// The address of a page about the end: `Link` with `rel="sunset"`.
        sunset_link: Option<Located<String>> = None,
        /// The address of the version that follows: `Link` with `rel="successor-version"`.
        successor_link: Option<Located<String>> = None,
        /// Times in which it is switched off on purpose, so that its last users notice.
        brownouts: Many<Located<BrownoutSpec>> = Many::default(),
    }
}

table! {
    /// A time in which a version is switched off.
    pub struct BrownoutSpec {
        /// From then on.
        from: Option<Located<Moment>> = None,
        /// Until then.
        until: Option<Located<Moment>> = None,
        /// Each day only between these times, in UTC: `"12:00-12:30"`. It may go on over midnight.
        daily: Option<Located<String>> = None,
        /// The status: 410, or 503 with `Retry-After`.
        status: Located<u16> = Located::nowhere(410),
    }
}
