// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.api_key]`.

use crate::config::location::Located;
use crate::config::spec::shape::{Many, table};

table! {
    /// Who calls, by a key of a consumer; with a wrong or without any key 401. The consumer's name is
    /// `{consumer}` in texts.
    #[schemars(rename = "ApiKeySpec")]
    pub struct Spec {
        /// Headers that may hold the key; one or a list. A request with different keys in the places that are named
        /// here, or with two in one of them, gets 401.
        header: Many<Located<String>> = Many(vec![Located::nowhere("x-api-key".to_owned())]),
        /// The key may stand in `Authorization: Bearer KEY`, too.
        bearer: bool = false,
        /// The key may be the user of `Authorization: Basic`, with any password, too.
        basic: bool = false,
        /// Cookies that may hold the key, too; one or a list.
        cookie: Many<Located<String>> = Many::default(),
        /// A query parameter that may hold the key, too. It ends up in the logs of every proxy on the way.
        query: Option<Located<String>> = None,
        /// Consumers that may pass, by name; without it all.
        consumers: Many<Located<String>> = Many::default(),
        /// The consumer that a request without any key counts as; without it such a request is refused.
        anonymous: Option<Located<String>> = None,
        /// Take the key from the request before it is sent on, wherever it stands. What stands in other places is the
        /// upstream's.
        hide: bool = true,
        /// Tell the upstream who it is, in `X-Consumer-Name` and `X-Consumer-Id`. Such headers from clients are always
        /// removed.
        consumer_fields: bool = true,
        /// What a browser is told to ask a key for.
        realm: Located<String> = Located::nowhere("api".to_owned()),
    }
}
