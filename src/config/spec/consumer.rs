// SPDX-License-Identifier: Apache-2.0
//! `[[consumer]]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::Moment;
use crate::config::spec::shape::{Many, Secret, table};

/// Who may call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumerSpec {
    /// The name, for logs and limits.
    pub name: Located<String>,
    /// Your own identifier, which upstreams get as `X-Consumer-Id`.
    #[serde(default)]
    pub id: Option<Located<String>>,
    /// The keys; more than one while they are exchanged.
    #[serde(default)]
    pub keys: Many<Located<KeySpec>>,
}

table! {
    /// One key; exactly one of `sha256` and `key`.
    pub struct KeySpec {
        /// The key's SHA-256, as 64 hexadecimal digits: `printf %s KEY | sha256sum`.
        sha256: Option<Located<String>> = None,
        /// The key itself; best as `"${file:/run/secrets/acme}"`. It is hashed when read.
        key: Option<Located<Secret>> = None,
        /// Not valid from then on: `"2027-01-31"` (from its first moment in UTC) or `"2027-01-31T12:00:00Z"`.
        expires: Option<Moment> = None,
    }
}
