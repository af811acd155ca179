// SPDX-License-Identifier: Apache-2.0
//! `counted_in`, `on_outage` and `gateways`: where policies count what has to outlive the process, or to hold for
//! several gateways.

use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::rate_limit::{CountedIn, OnOutage as OnOutageSpec};
use crate::policy::limit::parent::OnOutage;
use crate::policy::rate_limit::{Database, Kept};

/// What a policy says of it.
pub(super) struct Place<'s> {
    /// Where.
    pub counted_in: &'s Located<CountedIn>,
    /// What happens while that is away.
    pub on_outage: OnOutageSpec,
    /// How many gateways share a quota.
    pub gateways: Option<&'s Located<u32>>,
}

impl Place<'_> {
    /// Where windows of the calendar are counted, if not in memory.
    pub(super) fn compile(&self, compiler: &mut Compiler<'_>, context: &Context<'_>) -> Option<Kept> {
        let location = self.counted_in.location;
        let database = match self.counted_in.value {
            CountedIn::Memory => {
                if let Some(gateways) = self.gateways {
                    compiler.error(gateways.location, "what is counted in memory belongs to this gateway alone");
                }
                return None;
            }
            CountedIn::Store => {
                if compiler.draft.spec.store.is_none() {
                    let report = Report::error(location, "there is no `[store]` to count in");
                    compiler.faults.push(report.help("`[store]` with the `path` of a file"));
                }
                Database::Store
            }
            CountedIn::Redis => {
                if compiler.draft.spec.redis.is_none() {
                    let report = Report::error(location, "there is no `[redis]` to count in");
                    compiler.faults.push(report.help("`[redis]` with the `url` of a server"));
                }
                Database::Redis
            }
        };
        self.check_gateways(compiler);
        if self.on_outage == OnOutageSpec::LocalShare && database == Database::Redis && self.gateways.is_none() {
            let title = format!("`gateways` is missing in `{}`: each would give the whole quota", context.name);
            compiler.absent(location, Report::error(location, title));
        }
        let on_outage = match self.on_outage {
            OnOutageSpec::Closed => OnOutage::Closed,
            OnOutageSpec::Open => OnOutage::Open,
            OnOutageSpec::LocalShare => {
                OnOutage::LocalShare { gateways: self.gateways.map_or(1, |gateways| gateways.value) }
            }
        };
        Some(Kept { database, on_outage })
    }

    fn check_gateways(&self, compiler: &mut Compiler<'_>) {
        let Some(gateways) = self.gateways else { return };
        if gateways.value == 0 {
            compiler.error(gateways.location, "at least one gateway has a part of the quota");
        }
        if self.on_outage != OnOutageSpec::LocalShare {
            compiler.error(gateways.location, "`gateways` belongs to `on_outage = \"local_share\"`");
        }
    }
}
