// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.webhook]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::{Size, Time};
use crate::config::spec::shape::{Many, Secret, table};

table! {
    /// Webhooks of others, by an HMAC with SHA-256 over the body; with a wrong or without any signature 403.
    #[schemars(rename = "WebhookSpec")]
    pub struct Spec {
        /// How they are signed.
        form: WebhookForm = WebhookForm::Plain,
        /// The secret; a list while it is exchanged. Best as `"${file:/run/secrets/hook}"`.
        secrets: Many<Located<Secret>> = Many::default(),
        /// The header with the signature, for the form `plain`.
        header: Located<String> = Located::nowhere("x-signature".to_owned()),
        /// The header with the Unix time in seconds, for the form `plain`: then the time, a point and the body are
        /// signed. Without it, old requests can be sent again.
        timestamp: Option<Located<String>> = None,
        /// How far a timestamp may be from now.
        #[schemars(extend("x-default" = "5m"))]
        clock_skew: Option<Time> = None,
        /// The largest body; a longer one is refused with 413.
        #[schemars(extend("x-default" = "1MiB"))]
        body: Option<Located<Size>> = None,
        /// The consumer that they come from. Without one, they pass from nobody in particular.
        consumer: Option<Located<String>> = None,
        /// Tell the upstream which consumer it is, in `X-Consumer-Name` and `X-Consumer-Id`. Such headers from clients
        /// are always removed.
        consumer_fields: bool = true,
    }
}

/// How webhooks are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum WebhookForm {
    /// `sha256=HEX` in `header`.
    #[default]
    Plain,
    /// `sha256=HEX` in `X-Hub-Signature-256`, as GitHub does. It has no timestamp.
    Github,
    /// `t=TIME,v1=HEX` in `Stripe-Signature`, as Stripe does.
    Stripe,
}
