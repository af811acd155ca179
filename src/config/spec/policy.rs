// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME]`: one key for each kind, made from the list of kinds; what each of them holds stands in its own file.

use crate::config::location::Located;
use crate::config::spec::shape::table;
use crate::policy::each_kind;

macro_rules! specs {
    ($($(#[$doc:meta])* $Kind:ident($module:ident),)*) => {
        $(pub(crate) mod $module;)*

        table! {
            /// One check, limit or change; exactly one key beside `when`. A listener or a route names it in `policies`;
            /// those of the listener run before routing. Policies run in fixed phases, whatever the order in which they
            /// are named: first those that need to know nothing of the caller (`network`, `cors`, `bots`, `honeypot`,
            /// `api_version`, `content_rules`, `rate_limit` and `concurrency` by address), then those that find out who
            /// it is (`api_key`, `basic`, `jwt`, `oidc`, `introspection`, `client_certificate`, `http_signature`,
            /// `hmac`, `webhook`, `external_auth`, `token_issuer`), then `plan`, `authorize`, limits on that,
            /// `require_header` and `body_bounds`, then changes, and at last what the client sees (`cookies`,
            /// `security_headers`, `compression`).
            pub struct PolicySpec {
                /// A CEL expression over the request (`docs/expressions.md`): the policy is asked only where it holds.
                /// Where it fails, the policy is asked.
                when: Option<Located<String>> = None,
                $($(#[$doc])* $module: Option<Located<$module::Spec>> = None,)*
            }
        }
    };
}
each_kind!(specs);
