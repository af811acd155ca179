// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.api_version]`.

use crate::base::{VersionId, Wall, date};
use crate::config::compile::Compiler;
use crate::config::compile::fields::Head;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::plan::{PolicyPlan, VersionPlan};
use crate::config::report::Report;
use crate::config::spec::policy::api_version::{BrownoutSpec, Spec, VersionSpec};
use crate::config::spec::route::RouteSpec;
use crate::policy::Policy;
use crate::policy::api_version::{Brownout, Place, Plan, Version};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, context: &Context<'_>) -> Option<Plan> {
    let Spec { from, versions, default, unknown, tell, enforce_sunset } = &spec.value;
    if versions.0.is_empty() {
        compiler.absent(spec.location, Report::error(spec.location, "`versions` is missing"));
    }
    if !matches!(unknown.value, 400 | 404 | 406) {
        compiler.error(unknown.location, "400, 404 or 406");
    }
    let places: Vec<Option<Place>> = from.iter().map(|text| compiler.version_place(text)).collect();
    let mut names: Vec<&Located<String>> = Vec::new();
    let mut list = Vec::new();
    for (name, version) in versions.iter() {
        for name in std::iter::once(name).chain(version.value.aliases.iter()) {
            compiler.version_name(name, &mut names);
        }
        let mut compiled = compiler.version(name, version);
        if !enforce_sunset {
            compiled.gone = None;
        }
        list.push(compiled);
    }
    let position = |wanted: &Located<String>| list.iter().position(|version| *version.name == *wanted.value);
    let at = default.as_ref().and_then(position);
    if let Some(default) = default.as_ref().filter(|_| at.is_none()) {
        let report = Report::error(default.location, format!("there is no version `{}`", default.value));
        compiler.faults.push(report.suggest(&default.value, list.iter().map(|version| &*version.name)));
    }
    let told = tell.as_ref().filter(|name| compiler.field_name(name, Head::Request));
    let places: Box<[Place]> = places.into_iter().collect::<Option<_>>()?;
    let first = VersionId(compiler.versions.len() as u32);
    let plan = |version: &Version| VersionPlan { policy: context.name.into(), name: version.name.as_ref().into() };
    compiler.versions.extend(list.iter().map(plan));
    Some(Plan {
        vary: vary(&places).into_bytes().into(),
        places,
        versions: list.into(),
        first,
        default: at,
        unknown: unknown.value,
        told: told.map(|name| name.value.as_bytes().into()),
    })
}

const PLACES: &str = "`path`, `path:2`, `header:NAME`, `query:NAME`, `media:NAME` or `vendor:application/vnd.NAME.`";

/// Headers on which a response depends where they name the version.
fn vary(places: &[Place]) -> String {
    let names = places.iter().filter_map(|place| match place {
        Place::Header(name) => Some(String::from_utf8_lossy(name).into_owned()),
        Place::Parameter(_) | Place::Vendor(_) => Some("Accept".to_owned()),
        Place::Segment(_) | Place::Query(_) => None,
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names.join(", ")
}

impl Compiler<'_> {
    /// The version that a route says it is: one of its policy's, or one without a policy.
    pub(in crate::config::compile) fn version_of_route<'p>(
        &mut self,
        route: &Located<RouteSpec>,
        policies: impl Iterator<Item = &'p PolicyPlan>,
    ) -> Option<VersionId> {
        let mut own = policies.filter_map(|plan| {
            let Policy::ApiVersion(versions) = &plan.policy else { return None };
            Some((&*plan.name, versions))
        });
        let Some(version) = &route.value.version else {
            if let Some((name, _)) = own.find(|(_, plan)| plan.places.is_empty() && plan.default.is_none()) {
                let title = format!("the policy `{name}` has no `from`, and the route says no `version`");
                self.faults.push(Report::error(route.location, title));
            }
            return None;
        };
        let mut known = None;
        for (name, plan) in own {
            let Some(at) = plan.named(version.value.as_bytes()) else {
                let report =
                    Report::error(version.location, format!("the policy `{name}` has no version `{}`", version.value));
                self.faults.push(report.suggest(&version.value, plan.versions.iter().map(|version| &*version.name)));
                return None;
            };
            known.get_or_insert(VersionId(plan.first.0 + at as u32));
        }
        known.or_else(|| self.version_without_policy(version))
    }

    fn version_without_policy(&mut self, name: &Located<String>) -> Option<VersionId> {
        if !self.is_version_name(name) {
            return None;
        }
        let plan = VersionPlan { policy: "".into(), name: name.value.as_str().into() };
        let at = self.versions.iter().position(|known| *known == plan).unwrap_or_else(|| {
            self.versions.push(plan);
            self.versions.len() - 1
        });
        Some(VersionId(at as u32))
    }

    fn version_place(&mut self, text: &Located<String>) -> Option<Place> {
        let (kind, rest) = text.value.split_once(':').unwrap_or((&text.value, ""));
        let bytes = || -> Box<[u8]> { rest.as_bytes().into() };
        let place = match (kind, rest) {
            ("path", "") if !text.value.contains(':') => Some(Place::Segment(0)),
            ("path", number) => {
                number.parse::<usize>().ok().filter(|number| (1..=16).contains(number)).map(|at| Place::Segment(at - 1))
            }
            (_, "") => None,
            ("header", _) => self
                .token(&Located { value: rest.to_owned(), location: text.location }, "field")
                .then(|| Place::Header(bytes())),
            ("query", _) => Some(Place::Query(bytes())),
            ("media", _) => Some(Place::Parameter(bytes())),
            ("vendor", _) if rest.contains('/') && !rest.contains(['+', ';', ',', ' ']) => Some(Place::Vendor(bytes())),
            _ => None,
        };
        if place.is_none() {
            let report = Report::error(text.location, format!("`{}` is no place for a version", text.value));
            self.faults.push(report.help(PLACES));
        }
        place
    }

    fn is_version_name(&mut self, name: &Located<String>) -> bool {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_good = !name.value.is_empty() && name.value.bytes().all(good);
        if !is_good {
            self.error(name.location, "a version's name has letters, digits, `.`, `_` and `-`");
        }
        is_good
    }

    /// Checks a name of a version, which no other has.
    fn version_name<'n>(&mut self, name: &'n Located<String>, names: &mut Vec<&'n Located<String>>) {
        self.is_version_name(name);
        match names.iter().find(|known| known.value.eq_ignore_ascii_case(&name.value)) {
            Some(first) => {
                let report = Report::error(name.location, format!("a second version is named `{}`", name.value));
                self.faults.push(report.other(first.location, "the first one is here"));
            }
            None => names.push(name),
        }
    }

    fn version(&mut self, name: &Located<String>, spec: &Located<VersionSpec>) -> Version {
        let VersionSpec { aliases, deprecated, sunset, brownouts, .. } = &spec.value;
        let VersionSpec { deprecation_link, sunset_link, successor_link, .. } = &spec.value;
        if let (Some(deprecated), Some(sunset)) = (deprecated, sunset)
            && sunset.value.0 < deprecated.value.0
        {
            // RFC 9745 section 4.
            let report = Report::error(sunset.location, "a version does not end before it is deprecated");
            self.faults.push(report.other(deprecated.location, "deprecated"));
        }
        let mut fields: Vec<(&'static str, Box<str>)> = Vec::new();
        if let Some(moment) = deprecated {
            fields.push(("Deprecation", format!("@{}", moment.value.0.seconds()).into()));
        }
        if let Some(moment) = sunset {
            fields.push(("Sunset", String::from_utf8_lossy(&date::imf(moment.value.0)).into()));
        }
        let mut links: Vec<Box<str>> = Vec::new();
        for (link, relation) in
            [(deprecation_link, "deprecation"), (sunset_link, "sunset"), (successor_link, "successor-version")]
        {
            let Some(link) = link else { continue };
            if link.value.is_empty()
                || !link.value.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte))
            {
                self.error(link.location, "an address of printable ASCII without `<`, `>` and quotation marks");
            }
            links.push(format!("<{}>; rel=\"{relation}\"", link.value).into());
        }
        Version {
            name: name.value.as_str().into(),
            aliases: aliases.iter().map(|alias| alias.value.as_str().into()).collect(),
            fields: fields.into(),
            links: links.into(),
            gone: sunset.as_ref().map(|moment| moment.value.0),
            brownouts: brownouts.iter().filter_map(|brownout| self.brownout(brownout)).collect(),
        }
    }

    fn brownout(&mut self, spec: &Located<BrownoutSpec>) -> Option<Brownout> {
        let BrownoutSpec { from, until, daily, status } = &spec.value;
        if !matches!(status.value, 410 | 503) {
            self.error(status.location, "410 or 503");
        }
        let (Some(from), Some(until)) = (from, until) else {
            self.absent(spec.location, Report::error(spec.location, "`from` or `until` is missing"));
            return None;
        };
        let (first, last): (Wall, Wall) = (from.value.0, until.value.0);
        if first >= last {
            self.error(until.location, "it ends before it begins");
        }
        let hours = match daily {
            None => None,
            Some(text) => {
                let hours = text.value.split_once('-').and_then(|(start, end)| Some((clock(start)?, clock(end)?)));
                if hours.is_none_or(|(start, end)| start == end) {
                    let report = Report::error(text.location, format!("`{}` are no hours of a day", text.value));
                    self.faults.push(report.help("\"12:00-12:30\", in UTC"));
                    return None;
                }
                hours
            }
        };
        Some(Brownout { from: first, until: last, daily: hours, status: status.value })
    }
}

/// The second of the day of `12:30`.
fn clock(text: &str) -> Option<u32> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let part = |text: &str| (text.len() == 2).then(|| text.parse::<u32>().ok()).flatten();
    let (hours, minutes) = (part(hours)?, part(minutes)?);
    (hours < 24 && minutes < 60).then_some((hours * 60 + minutes) * 60)
}
