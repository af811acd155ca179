// SPDX-License-Identifier: Apache-2.0
//! `[tenant.NAME]`, `[group.NAME]`, `[plan.NAME]`, `[product.NAME]`, `[app.NAME]`. What they name may also be in the
//! store, where there is one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::compile::{Compiler, Section};
use crate::config::directory::{Declared, fault_of_name, faults_of_plan};
use crate::config::location::{Located, Location};
use crate::config::plan::{StoreServer, StoreTarget};
use crate::config::report::Report;
use crate::config::spec::directory::StoreSpec;
use crate::config::spec::shape::Named;
use crate::policy::key_format::{PREFIX_BYTES_MAX, is_prefix};

impl Compiler<'_> {
    /// Compiles what is declared of the directory, as far as it is right.
    pub(super) fn declared(&mut self) -> Declared {
        let spec = &self.draft.spec;
        let mut declared = Declared {
            tenants: self.named("tenant", &spec.tenant),
            groups: self.named("group", &spec.group),
            plans: self.named("plan", &spec.plan),
            products: self.named("product", &spec.product),
            apps: self.named("app", &spec.app),
            ..Declared::default()
        };
        for (name, tenant) in spec.tenant.iter() {
            self.subscribed(name.location, tenant.plan.as_deref(), &tenant.plans);
            self.attributes(name.location, &tenant.attributes);
        }
        for (name, plan) in spec.plan.iter() {
            for fault in faults_of_plan(plan) {
                self.error(name.location, format!("plan `{}`: {fault}", name.value));
            }
            for product in &plan.products {
                self.stored_or(&at(name.location, product), Section::Product);
            }
            self.routes_exist(name.location, &plan.routes);
        }
        for (name, product) in spec.product.iter() {
            self.routes_exist(name.location, &product.routes);
        }
        for (name, app) in spec.app.iter() {
            if app.consumer.is_empty() {
                self.absent(name.location, Report::error(name.location, "`consumer` is missing: whose app it is"));
            } else {
                self.stored_or(&at(name.location, &app.consumer), Section::Consumer);
            }
            self.subscribed(name.location, app.plan.as_deref(), &app.plans);
            self.attributes(name.location, &app.attributes);
        }
        self.consumers(&mut declared);
        declared
    }

    /// What the keys begin with that the gateway makes.
    pub(super) fn key_prefix(&mut self) -> Arc<str> {
        let default = StoreSpec::default().key_prefix;
        let spec = self.draft.spec.store.as_ref();
        spec.map_or(default.value, |store| store.value.key_prefix.value.clone()).into()
    }

    /// Where the store is, if there is one.
    pub(super) fn store(&mut self) -> Option<StoreTarget> {
        let store = self.draft.spec.store.as_ref()?;
        let StoreSpec { path, url, key_prefix } = &store.value;
        if !is_prefix(&key_prefix.value) {
            self.error(key_prefix.location, format!("a prefix has 1 to {PREFIX_BYTES_MAX} letters and digits"));
        }
        if let Some(url) = url {
            if path.is_some() {
                self.error(url.location, "a store has a `path` or a `url`, not both");
            }
            return match StoreServer::parse(&url.value.0) {
                Ok(server) => Some(StoreTarget::Server(Box::new(server))),
                Err(fault) => {
                    self.error(url.location, fault);
                    None
                }
            };
        }
        let beside = || Some(self.draft.spec.server.control_socket.as_ref()?.parent()?.join("turnpike.db"));
        let path = path.clone().or_else(beside);
        if path.is_none() {
            let report = Report::error(store.location, "`path` is missing: where the file of the store is");
            self.absent(store.location, report.help("without it the file stands beside `server.control_socket`"));
        }
        path.map(StoreTarget::File)
    }

    fn named<T: Clone>(&mut self, what: &str, named: &Named<T>) -> BTreeMap<Box<str>, T> {
        for (name, _) in named.iter() {
            if let Some(fault) = fault_of_name(&name.value) {
                self.error(name.location, format!("the name of a {what} {fault}"));
            }
        }
        named.iter().map(|(name, item)| (name.value.as_str().into(), item.clone())).collect()
    }

    fn subscribed(&mut self, location: Location, plan: Option<&str>, plans: &BTreeMap<String, String>) {
        if let Some(plan) = plan {
            self.stored_or(&at(location, plan), Section::Plan);
        }
        self.plans(location, plans);
    }

    /// Plans by product.
    pub(super) fn plans(&mut self, location: Location, plans: &BTreeMap<String, String>) {
        for (product, plan) in plans {
            self.stored_or(&at(location, product), Section::Product);
            self.stored_or(&at(location, plan), Section::Plan);
        }
    }

    /// Attributes may be sent in fields.
    pub(super) fn attributes(&mut self, location: Location, attributes: &BTreeMap<String, String>) {
        for (name, value) in attributes {
            self.sent(&at(location, name));
            self.sent(&at(location, value));
        }
    }

    /// Reports control characters in a text that is sent in fields.
    pub(super) fn sent(&mut self, text: &Located<String>) {
        if text.value.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            self.error(text.location, "control characters are not allowed here");
        }
    }

    /// Reports a name that nothing declares, unless the store may hold it.
    pub(super) fn stored_or(&mut self, name: &Located<String>, section: Section) {
        if self.draft.spec.store.is_none() {
            self.known(name, section);
        }
    }

    /// A plan or product may name a route that is to come, so one that is not there is only warned of.
    fn routes_exist(&mut self, location: Location, routes: &[String]) {
        for route in routes {
            let names = self.draft.spec.route.iter().filter_map(|spec| spec.value.name.as_ref());
            if !names.into_iter().any(|name| name.value == *route) {
                let report = Report::warning(location, format!("no route is named `{route}`"));
                self.faults.push(report.help("a route gets a name by `name = \"…\"`"));
            }
        }
    }
}

fn at(location: Location, text: &str) -> Located<String> {
    Located { value: text.to_owned(), location }
}
