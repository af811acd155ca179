// SPDX-License-Identifier: Apache-2.0
//! Compiles `[admin]`.

use crate::config::compile::Compiler;
use crate::config::location::Located;
use crate::config::plan::{AdminPlan, AdminTokenPlan};
use crate::config::report::Report;
use crate::config::spec::server::{AdminRole, AdminTokenSpec};
use crate::config::spec::shape::Secret;
use crate::policy::key_format::{hash_of, parse_hash};
use crate::wire::authority;

/// Below this a token could be guessed.
const TOKEN_BYTES_LOW: usize = 16;
/// Most tokens: a request's is compared with each.
const TOKENS_MAX: usize = 100;
/// The name of the token that has none.
const SINGLE: &str = "token of [admin]";

impl Compiler<'_> {
    /// The admin listener, if there is one.
    pub(super) fn admin(&mut self) -> Option<AdminPlan> {
        let spec = self.draft.spec.admin.as_ref()?;
        for name in spec.names.iter() {
            if authority::parse(name.value.as_bytes()).is_none_or(|parsed| parsed.port.is_some()) {
                let report = Report::error(name.location, format!("`{}` is not a valid host", name.value));
                self.faults.push(report.label("a name or an address, without a port"));
            }
        }
        let single = spec.token.as_ref().and_then(|token| {
            let hash = self.admin_token(token)?;
            Some(AdminTokenPlan { name: SINGLE.into(), role: AdminRole::Admin, hash, expires: None })
        });
        let mut tokens: Vec<AdminTokenPlan> = single.into_iter().collect();
        let names: Vec<Located<String>> = spec.tokens.iter().map(|token| token.value.name.clone()).collect();
        self.unique("token", &names);
        for token in spec.tokens.iter() {
            let Some(hash) = self.hash_of_admin_token(token) else { continue };
            if tokens.iter().any(|known| known.hash == hash) {
                self.error(token.location, "the same token twice");
            }
            let AdminTokenSpec { name, role, expires, .. } = &token.value;
            if name.value.is_empty() || name.value.chars().any(char::is_control) {
                self.error(name.location, "a name is a text without control characters");
            }
            let (name, expires) = (name.value.as_str().into(), expires.as_ref().map(|moment| moment.0));
            tokens.push(AdminTokenPlan { name, role: *role, hash, expires });
        }
        if tokens.len() > TOKENS_MAX {
            let report = Report::error(spec.bind.location, format!("there are {} tokens", tokens.len()));
            self.faults.push(report.label(format!("at most {TOKENS_MAX}")));
        }
        let bare = |name: &str| name.trim_start_matches('[').trim_end_matches(']').into();
        let names = spec.names.iter().map(|name| bare(&name.value)).collect();
        Some(AdminPlan { bind: spec.bind.value.0.clone(), names, tokens })
    }

    fn hash_of_admin_token(&mut self, spec: &Located<AdminTokenSpec>) -> Option<[u8; 32]> {
        match (&spec.value.sha256, &spec.value.token) {
            (Some(hash), None) => {
                let parsed = parse_hash(hash.value.trim());
                if parsed.is_none() {
                    let report = Report::error(hash.location, "expected a SHA-256 as 64 hexadecimal digits");
                    self.faults.push(report.help("`printf %s TOKEN | sha256sum` makes one"));
                }
                parsed
            }
            (None, Some(token)) => self.admin_token(token),
            (Some(_), Some(_)) | (None, None) => {
                let words = "a token is given either as `sha256` or as `token`";
                self.absent(spec.location, Report::error(spec.location, words));
                None
            }
        }
    }

    fn admin_token(&mut self, token: &Located<Secret>) -> Option<[u8; 32]> {
        let bytes = token.value.0.as_bytes();
        if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_graphic) {
            self.error(token.location, "a token is one or more visible ASCII characters");
            return None;
        }
        if bytes.len() < TOKEN_BYTES_LOW {
            let report = Report::warning(token.location, "a short token can be guessed");
            self.faults.push(report.help("`openssl rand -hex 24` makes a good one"));
        }
        Some(hash_of(bytes))
    }
}
