// SPDX-License-Identifier: Apache-2.0
//! `authenticate` of routes and listeners.

use crate::config::location::Located;
use crate::config::spec::shape::{Many, table};

table! {
    /// Authentications as alternatives. A request passes as the caller that the first of them finds. Where none does,
    /// it is refused with the challenges of all in `WWW-Authenticate`: by the first that found wrong credentials, or
    /// with 503 where one could not judge them.
    pub struct AuthenticateSpec {
        /// Policies that say who calls (`api_key`, `basic`, `external_auth` and others), by name. One that lets
        /// requests without credentials pass (`anonymous`) stands last.
        any: Many<Located<String>> = Many::default(),
    }
}
