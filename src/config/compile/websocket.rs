// SPDX-License-Identifier: Apache-2.0
//! `websocket` of a route.

use crate::config::compile::Compiler;
use crate::config::location::{Located, Location};
use crate::config::plan::{MessageLimits, WebSocketPlan};
use crate::config::report::Report;
use crate::config::spec::route::{RouteSpec, WebSocketSpec};
use crate::config::spec::scalar;
use crate::policy::limit::gcra::Rate;

impl Compiler<'_> {
    /// Compiles a route's WebSocket limits. They have no effect where the route allows no upgrades.
    pub(super) fn websocket(&mut self, route: &RouteSpec, location: Location) -> Option<WebSocketPlan> {
        let spec = &route.websocket;
        if !route.upgrade && *spec != WebSocketSpec::default() {
            let report = Report::warning(location, "`websocket` does nothing here");
            self.faults.push(report.label("this route has `upgrade = false`"));
        }
        let any = spec.origins.iter().any(|origin| origin.value == "*");
        let origins = match any {
            true => Some(Vec::new()),
            false => {
                let rules: Vec<_> = spec.origins.iter().map(|origin| self.origin(origin)).collect();
                rules.into_iter().collect()
            }
        };
        if let Some(ping) = spec.ping.as_ref().filter(|ping| ping.value.0.is_zero()) {
            self.error(ping.location, "a ping needs some silence before it");
        }
        let message_rate = match &spec.rate {
            Some(rate) => self.message_rate(rate).map(Some),
            None => Some(None),
        };
        Some(WebSocketPlan {
            origins: origins?,
            messages: MessageLimits {
                ping: spec.ping.as_ref().map(|ping| ping.value.0),
                bytes_max: spec.message.clone().some().map_or(u64::MAX, |size| size.0),
                rate: message_rate?,
            },
        })
    }

    fn message_rate(&mut self, spec: &Located<scalar::Rate>) -> Option<Rate> {
        let parts = spec.value.0;
        let count = u32::try_from(parts.count).ok();
        let rate = count.and_then(|count| Rate::new(count, parts.per, count));
        if rate.is_none() {
            self.error(spec.location, "a limit is 1 to 4294967295 messages in at most 366 days");
        }
        rate
    }
}
