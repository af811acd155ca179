// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.basic]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::Time;
use crate::config::spec::shape::{Many, Named, Secret, table};

table! {
    /// Who calls, by user name and password (RFC 7617); with a wrong or without any password 401. Passwords are stored
    /// hashed: bcrypt (`htpasswd -nB NAME`), argon2id, argon2i, SHA-crypt (`openssl passwd -6`), `$apr1$`, `{SHA}`, and
    /// Kong's as `$kong-sha1$CONSUMER_ID$DIGITS`. They are checked on threads of their own, one for two cores, and the
    /// outcome is remembered; where too many wait, a request gets 503. A user with the name of a `[[consumer]]` is that
    /// consumer.
    #[schemars(rename = "BasicSpec")]
    pub struct Spec {
        /// Names and hashes: `{ anna = "$2y$05$…" }`.
        users: Named<Located<Secret>> = Named::default(),
        /// Files as `htpasswd` writes them; one or a list. They are read again when they change.
        file: Many<Located<PathBuf>> = Many::default(),
        /// Take the `basic` credentials of consumers, too; without it, they count where neither `users` nor `file` is
        /// given.
        credentials: Option<bool> = None,
        /// Consumers that may pass, by name; without it all users, also those that are no consumers.
        consumers: Many<Located<String>> = Many::default(),
        /// In which encoding clients send names and passwords. Browsers follow it.
        charset: CharsetSpec = CharsetSpec::Utf8,
        /// The consumer that a request without `Authorization: Basic` counts as; without it such a request is refused.
        anonymous: Option<Located<String>> = None,
        /// Take `Authorization` from the request before it is sent on.
        hide: bool = true,
        /// Tell the upstream which consumer it is, in `X-Consumer-Name` and `X-Consumer-Id`. Such headers from clients
        /// are always removed.
        consumer_fields: bool = true,
        /// A header in which the upstream gets the user's name. It is always removed from the client's request.
        user_header: Option<Located<String>> = None,
        /// What a browser shows when it asks for the password.
        realm: Located<String> = Located::nowhere("api".to_owned()),
        /// How long a thread remembers that a password was right or wrong. A changed hash acts at once.
        #[schemars(extend("x-default" = "5m"))]
        cache: Option<Time> = None,
        /// Longest wait for a password to be checked; then 503.
        #[schemars(extend("x-default" = "5s"))]
        timeout: Option<Time> = None,
    }
}

/// In which encoding clients send names and passwords.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum CharsetSpec {
    /// UTF-8; the challenge says so, and anything else is refused.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// Whatever they send; bytes are compared.
    Any,
}
