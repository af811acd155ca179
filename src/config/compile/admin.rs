// SPDX-License-Identifier: Apache-2.0
//! Compiles `[admin]`.

use crate::config::compile::Compiler;
use crate::config::plan::AdminPlan;
use crate::config::report::Report;
use crate::policy::key_format::hash_of;
use crate::wire::authority;

/// Below this a token could be guessed.
const TOKEN_BYTES_LOW: usize = 16;

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
        let token = spec.token.as_ref().map(|token| {
            let bytes = token.value.0.as_bytes();
            if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_graphic) {
                self.error(token.location, "a token is one or more visible ASCII characters");
            } else if bytes.len() < TOKEN_BYTES_LOW {
                let report = Report::warning(token.location, "a short token can be guessed");
                self.faults.push(report.help("`openssl rand -hex 24` makes a good one"));
            }
            hash_of(bytes)
        });
        let bare = |name: &str| name.trim_start_matches('[').trim_end_matches(']').into();
        let names = spec.names.iter().map(|name| bare(&name.value)).collect();
        Some(AdminPlan { bind: spec.bind.value.0.clone(), names, token })
    }
}
