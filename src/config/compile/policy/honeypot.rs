// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.honeypot]`.

use crate::base::NetworkSet;
use crate::base::limits::TRAPPED_MAX;
use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::honeypot::Spec;
use crate::policy::honeypot::{Plan, TrapPath};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, context: &Context<'_>) -> Option<Plan> {
    let Spec { paths, ban, status, except, clients_max } = &spec.value;
    if paths.is_empty() {
        compiler.absent(spec.location, Report::error(spec.location, "`paths` is missing: there is no trap"));
    }
    if ban.value.0.is_zero() {
        compiler.error(ban.location, "a ban lasts for some time");
    }
    if !(400..=599).contains(&status.value) {
        compiler.error(status.location, "a refusal's status is 400 to 599");
    }
    if !(1..=TRAPPED_MAX).contains(&clients_max.value) {
        compiler.error(clients_max.location, format!("1 to {TRAPPED_MAX} clients"));
    }
    let mut traps = Vec::new();
    for path in paths.iter() {
        match TrapPath::parse(&path.value) {
            Some(trap) => traps.push(trap),
            None => {
                let report = Report::error(path.location, format!("`{}` is no path for a trap", path.value));
                compiler.faults.push(report.help("\"/.env\", \"/wp-admin*\" or \"*.php\"; not everything"));
            }
        }
    }
    Some(Plan {
        name: context.name.into(),
        paths: traps.into(),
        ban: ban.value.0,
        status: status.value,
        except: NetworkSet::new(&except.iter().map(|network| network.0).collect::<Vec<_>>()),
        clients_max: clients_max.value as usize,
        hash_seed: compiler.environment.seed,
    })
}
