// SPDX-License-Identifier: Apache-2.0
//! Compiles CEL expressions, and the sets and databases that they name.

use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use crate::base::NetworkSet;
use crate::base::limits::{COUNTRIES_BYTES_MAX, IP_SET_BYTES_MAX};
use crate::cel::{Attribute, Environment, Fault, Program};
use crate::config::compile::Compiler;
use crate::config::location::{Located, Location};
use crate::config::report::Report;
use crate::config::spec::expression::IpSetSpec;
use crate::config::spec::shape::Many;
use crate::policy::country::{Countries, CountryCode};

impl Compiler<'_> {
    /// Compiles an expression; `None` where that was reported.
    pub(super) fn expression(&mut self, text: &Located<String>) -> Option<Program> {
        let compiled = Program::compile(&text.value, &self.expressions);
        self.compiled(text, compiled)
    }

    /// The same of one that gives a number.
    pub(super) fn number_expression(&mut self, text: &Located<String>) -> Option<Program> {
        let compiled = Program::compile_number(&text.value, &self.expressions);
        self.compiled(text, compiled)
    }

    fn compiled(&mut self, text: &Located<String>, compiled: Result<Program, Fault>) -> Option<Program> {
        let fault = match compiled {
            Ok(program) => {
                if program.names(Attribute::Country) && self.draft.spec.geoip.country.is_none() {
                    self.no_countries(text.location);
                    return None;
                }
                return Some(program);
            }
            Err(fault) => fault,
        };
        let report = Report::error(self.inside(text, fault.at, fault.len), fault.title);
        let report = if fault.help.is_empty() { report } else { report.help(fault.help) };
        self.faults.push(match &fault.unknown {
            Some((name, known)) => report.suggest(name, known.iter().copied()),
            None => report,
        });
        None
    }

    /// What expressions may name beside the request.
    pub(super) fn expression_environment(&mut self) -> Environment {
        let draft = self.draft;
        let mut environment = Environment::default();
        for (name, spec) in draft.spec.ip_set.iter() {
            let set = self.ip_set(name, spec);
            environment.sets.insert(name.value.clone(), Arc::new(set));
        }
        environment
    }

    fn ip_set(&mut self, name: &Located<String>, spec: &IpSetSpec) -> NetworkSet {
        let mut networks: Vec<IpNet> = spec.networks.iter().map(|network| network.0).collect();
        if networks.is_empty() && spec.files.is_empty() {
            let node = self.draft.root.child("ip_set").and_then(|section| section.child(&name.value));
            let around = node.map_or(name.location, |node| node.location);
            let report = Report::warning(name.location, format!("`[ip_set.{}]` has no address", name.value));
            self.absent(around, report.help("`networks` or `files`"));
        }
        for file in spec.files.iter() {
            let Some(bytes) = self.named_file(file, IP_SET_BYTES_MAX) else { continue };
            let text = String::from_utf8_lossy(&bytes);
            for (number, line) in (1..).zip(text.lines()) {
                let line = line.split('#').next().unwrap_or_default().trim();
                match network(line) {
                    _ if line.is_empty() => {}
                    Some(network) => networks.push(network),
                    None => {
                        let title = format!("line {number} of `{}` is no network: `{line}`", file.value.display());
                        self.error(file.location, title);
                        break;
                    }
                }
            }
        }
        NetworkSet::new(&networks)
    }

    /// The database of countries, if there is one.
    pub(super) fn countries(&mut self) -> Option<Arc<Countries>> {
        let file = self.draft.spec.geoip.country.as_ref()?;
        let bytes = self.named_file(file, COUNTRIES_BYTES_MAX)?;
        match Countries::new(bytes) {
            Ok(countries) => Some(Arc::new(countries)),
            Err(fault) => {
                self.error(file.location, format!("`{}` is no database of countries: {fault}", file.value.display()));
                None
            }
        }
    }

    /// Countries by their two letters. Reports what is none, and that no database is there.
    pub(super) fn country_codes(&mut self, codes: &Many<Located<String>>) -> Vec<CountryCode> {
        let mut list = Vec::new();
        for code in codes.iter() {
            if self.draft.spec.geoip.country.is_none() {
                self.no_countries(code.location);
                break;
            }
            match CountryCode::parse(&code.value) {
                Some(country) => list.push(country),
                None => {
                    let report = Report::error(code.location, format!("`{}` is no country", code.value));
                    self.faults.push(report.help("two letters, as in ISO 3166-1: \"DE\""));
                }
            }
        }
        list
    }

    fn no_countries(&mut self, location: Location) {
        let report = Report::error(location, "no country is known without a database");
        self.faults.push(report.help("[geoip]\ncountry = \"GeoLite2-Country.mmdb\""));
    }

    /// Reads a file that the configuration names, and watches it.
    fn named_file(&mut self, file: &Located<PathBuf>, bytes_max: usize) -> Option<Vec<u8>> {
        let full = self.beside(file);
        match self.environment.read(&full, bytes_max) {
            Ok(bytes) => {
                self.watched.push(full);
                Some(bytes)
            }
            Err(fault) => {
                self.error(file.location, format!("cannot read `{}`: {fault}", full.display()));
                None
            }
        }
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}
