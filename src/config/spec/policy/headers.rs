// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.headers]`.

use crate::config::spec::route::HeadersSpec;
use crate::config::spec::shape::table;

table! {
    /// Changes to headers.
    #[schemars(rename = "FieldsSpec")]
    pub struct Spec {
        /// Of requests, before they are sent on.
        request: HeadersSpec = HeadersSpec::default(),
        /// Of responses, before the client gets them; also of those that the gateway makes.
        response: HeadersSpec = HeadersSpec::default(),
    }
}
