// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.security_headers]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::shape::{Many, table};

table! {
    /// Headers of responses by which browsers protect a page and its users. A `preset` sets all of them; a key sets
    /// one, as it is sent, and `"off"` leaves it out. Also responses of the gateway's own get them; name the policy at
    /// a listener to include those to requests without a route. Of several on one route, those of `[defaults]` among
    /// them, the last holds. What a listener's has set stays, unless that of the route has `override`.
    #[schemars(rename = "SecurityHeadersSpec")]
    pub struct Spec {
        /// The values of headers that have no key here.
        preset: Preset = Preset::Strict,
        /// `Strict-Transport-Security` (HSTS); sent only to clients that came over TLS, as `forwarded` of the listener
        /// has it.
        hsts: Option<Located<String>> = None,
        /// `Content-Security-Policy`.
        csp: Option<Located<String>> = None,
        /// `Content-Security-Policy-Report-Only`: what a policy would forbid, for trying it out. In no preset.
        csp_report_only: Option<Located<String>> = None,
        /// `X-Frame-Options`: `"DENY"` or `"SAMEORIGIN"`, for browsers that do not know `frame-ancestors` of a CSP.
        frame_options: Option<Located<String>> = None,
        /// `X-Content-Type-Options`: `"nosniff"`.
        content_type_options: Option<Located<String>> = None,
        /// `Referrer-Policy`.
        referrer_policy: Option<Located<String>> = None,
        /// `Permissions-Policy`.
        permissions_policy: Option<Located<String>> = None,
        /// `Cross-Origin-Opener-Policy` (COOP).
        opener_policy: Option<Located<String>> = None,
        /// `Cross-Origin-Embedder-Policy` (COEP). In no preset, because it stops images and scripts of other sites that
        /// do not allow it.
        embedder_policy: Option<Located<String>> = None,
        /// `Cross-Origin-Resource-Policy` (CORP).
        resource_policy: Option<Located<String>> = None,
        /// Replace what the upstream or another policy has set; otherwise that stays.
        #[serde(rename = "override")]
        overrides: bool = false,
        /// Headers that are removed because they tell of the software behind.
        remove: Many<Located<String>> = Many(REMOVED.iter().map(|name| Located::nowhere((*name).to_owned())).collect()),
    }
}

/// What is removed unless the user says otherwise. `Server` is the listener's business.
const REMOVED: [&str; 3] = ["x-powered-by", "x-aspnet-version", "x-aspnetmvc-version"];

/// A set of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Preset {
    /// For pages: HSTS of two years with subdomains, only content of the page's own origin, no frames, no plug-ins, no
    /// access to camera, microphone and location, isolated from windows of other origins.
    #[default]
    Strict,
    /// For APIs: HSTS of two years with subdomains, nothing may be loaded or framed, no referrer.
    Api,
    /// Only the headers that have a key.
    None,
}
