// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.cookies]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::shape::{Many, table};

table! {
    /// Adds attributes to the upstream's cookies (`Set-Cookie`) where they are missing. What is there stays: names,
    /// prefixes such as `__Host-`, values and attributes. Of several on one route, those of `[defaults]` among them,
    /// the last holds.
    #[schemars(rename = "CookiesSpec")]
    pub struct Spec {
        /// Add `Secure`: browsers send the cookie back over TLS only.
        secure: SecureCookies = SecureCookies::Tls,
        /// Add `HttpOnly`: scripts do not see the cookie.
        http_only: bool = true,
        /// Add `SameSite`: from which sites' pages browsers send the cookie.
        same_site: SameSiteCookies = SameSiteCookies::Lax,
        /// Names of cookies that stay as they are, such as one that scripts read.
        except: Many<Located<String>> = Many::default(),
    }
}

/// When `Secure` is added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum SecureCookies {
    /// To clients that came over TLS, as `forwarded` of the listener has it.
    #[default]
    Tls,
    /// To all; over plain HTTP browsers then drop the cookie.
    Always,
    /// Never.
    Never,
}

/// The value of `SameSite`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum SameSiteCookies {
    /// From pages of the same site, and where a user follows a link.
    #[default]
    Lax,
    /// Only from pages of the same site.
    Strict,
    /// Add none.
    Off,
}
