// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.cookies]`.

use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::spec::policy::cookies::{SameSiteCookies, SecureCookies, Spec};
use crate::policy::cookies::{HttpOnly, Plan, SameSite, Secure};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let Spec { secure, http_only, same_site, except } = &spec.value;
    let except: Vec<&Located<String>> = except.iter().filter(|name| compiler.token(name, "cookie")).collect();
    Some(Plan {
        secure: match secure {
            SecureCookies::Tls => Secure::OverTls,
            SecureCookies::Always => Secure::Always,
            SecureCookies::Never => Secure::Never,
        },
        http_only: if *http_only { HttpOnly::Added } else { HttpOnly::Omitted },
        same_site: match same_site {
            SameSiteCookies::Lax => Some(SameSite::Lax),
            SameSiteCookies::Strict => Some(SameSite::Strict),
            SameSiteCookies::Off => None,
        },
        except: except.into_iter().map(|name| name.value.as_bytes().into()).collect(),
    })
}
