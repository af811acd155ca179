// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.rate_limit]`.

use std::time::Duration;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::base::limits::{LIMIT_WAIT_MS_MAX, LIMIT_WINDOWS_MAX};
use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::compile::policy::counted_in::Place;
use crate::config::compile::policy::limit_key::{on_trouble, told};
use crate::config::compile::policy::limit_tiers::{self, Tier};
use crate::config::location::{Located, Location};
use crate::config::report::Report;
use crate::config::spec::policy::rate_limit::{
    BanSpec, CalendarUnit, CostSpec, CountedIn, Spec, WhenFull as WhenFullSpec, WindowSpec,
};
use crate::config::spec::scalar::{self, Scalar};
use crate::config::spec::shape::{Many, ShortOr};
use crate::policy::limit::BanRule;
use crate::policy::limit::calendar::{Calendar, Unit};
use crate::policy::limit::gcra::Rate;
use crate::policy::limiting::{Mode, Scope, WhenFull};
use crate::policy::rate_limit::{Cost, NamedShares, Plan, Tiers, Window};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, context: &Context<'_>) -> Option<Plan> {
    let location = spec.location;
    let spec = &spec.value;
    let zone = match &spec.zone {
        Some(zone) => zone_named(compiler, zone),
        None => Some(TimeZone::UTC),
    };
    let zone = zone?;
    let windows = windows(compiler, spec, location, (context.name, &zone));
    let key = compiler.limit_key(&spec.key, spec.absent);
    if !(400..=599).contains(&spec.status.value) {
        compiler.error(spec.status.location, "a refusal's status is 400 to 599");
    }
    let exempt = compiler.exempt(&spec.exempt_networks, &spec.exempt_consumers);
    let (mut windows, key) = (windows?, key?);
    let place = Place { counted_in: &spec.counted_in, on_outage: spec.on_outage, gateways: spec.gateways.as_ref() };
    let kept = place.compile(compiler, context);
    if kept.is_some() {
        lease(&mut windows);
    }
    let mut plan = Plan::new(context.name, windows[0].rate(), key);
    plan.delay_after = delay(compiler, spec, &windows);
    let tiers = tiers(compiler, spec, windows, (context.name, &zone))?;
    let all = tiers.iter().flat_map(|tier| &tier.windows);
    let least = all.map(|window| window.rate().burst()).min().unwrap_or(1);
    plan.cost = cost(compiler, &spec.cost, least);
    (plan.windows, plan.tiers) = shared(compiler, spec, tiers)?;
    plan.exempt = exempt;
    plan.status = spec.status.value;
    plan.scope = if spec.per_route { Scope::PerRoute } else { Scope::Shared };
    plan.detail = spec.detail.as_deref().unwrap_or("").into();
    plan.told = told(spec.fields, &spec.dialect);
    plan.mode = if spec.report_only { Mode::Report } else { Mode::Enforce };
    plan.counted = spec.count.0.iter().map(|statuses| statuses.0).collect();
    plan.keys_max = spec.keys_max.map_or(plan.keys_max, |keys| keys.max(1) as usize);
    plan.when_full = match spec.when_full {
        WhenFullSpec::Forget => WhenFull::Forget,
        WhenFullSpec::Share => WhenFull::Share,
    };
    plan.wait = compiler.limit_wait(spec.wait.as_ref());
    plan.uncountable = on_trouble(spec.uncountable);
    plan.ban = spec.ban.as_ref().map(|ban| ban_rule(compiler, &ban.value));
    plan.kept = kept;
    if plan.kept.is_some() && plan.quotas().next().is_none() {
        compiler.error(
            spec.counted_in.location,
            "only windows of the calendar are counted in a database, such as \"1000/day\"",
        );
    }
    plan.hash_seed = compiler.environment.seed;
    Some(plan)
}

/// Lets the tokens of windows of the calendar be leased.
fn lease(windows: &mut [Window]) {
    for window in windows.iter_mut().filter(|window| window.calendar().is_some()) {
        if let Some(leased) = Rate::leased(window.rate().burst()) {
            *window = window.clone().with_rate(leased);
        }
    }
}

/// All windows, from `rate` or from `windows`.
fn windows(
    compiler: &mut Compiler<'_>,
    spec: &Spec,
    location: Location,
    (name, zone): (&str, &TimeZone),
) -> Option<Vec<Window>> {
    if let Some(written) = &spec.rate {
        if let Some(first) = spec.windows.0.first() {
            compiler.error(first.location, "`rate` and `windows` exclude each other: put the rate into `windows`");
        }
        let rate = refilling(compiler, written, spec.burst.as_ref())?;
        let unit = unit_of(written.value.0.per);
        return Some(vec![Window::new(name.into(), rate, None, unit)]);
    }
    if let Some(burst) = &spec.burst {
        compiler.error(burst.location, "`burst` belongs to `rate`; in `windows` it stands beside the rate it is for");
    }
    if spec.windows.is_empty() {
        let report = Report::error(location, "neither `rate` nor `windows` is given: nothing would be limited");
        compiler.absent(location, report.help("`rate = \"10/s\"`, or `windows = [\"10/s\", \"1000/day\"]`"));
        return None;
    }
    listed(compiler, &spec.windows, (name, zone))
}

/// The windows of a list.
fn listed(compiler: &mut Compiler<'_>, list: &WindowList, (name, zone): (&str, &TimeZone)) -> Option<Vec<Window>> {
    if let Some(many) = list.0.get(LIMIT_WINDOWS_MAX) {
        compiler.error(many.location, format!("a limit has at most {LIMIT_WINDOWS_MAX} windows"));
    }
    let alone = list.0.len() == 1;
    let mut windows: Vec<Window> = Vec::new();
    let mut whole = true;
    for written in list.iter() {
        let Some((mut window, suffix)) = window(compiler, &written.value.0, written.location, zone) else {
            whole = false;
            continue;
        };
        if window.name().is_empty() {
            window = window.named(if alone { name.into() } else { format!("{name}-{suffix}").into() });
        }
        if windows.iter().any(|known| known.name() == window.name()) {
            let title = format!("two windows are named `{}`", window.name());
            compiler.faults.push(Report::error(written.location, title).help("`name` gives one another name"));
        }
        windows.push(window);
    }
    whole.then_some(windows)
}

/// The windows of all tiers; the last one is that of requests of no tier.
fn tiers(
    compiler: &mut Compiler<'_>,
    spec: &Spec,
    others: Vec<Window>,
    (name, zone): (&str, &TimeZone),
) -> Option<Vec<Tier>> {
    let mut tiers = Vec::new();
    for (tier, list) in spec.tiers.iter() {
        if list.is_empty() {
            compiler.error(tier.location, format!("the tier `{}` has no window: it would not be limited", tier.value));
            return None;
        }
        let mut windows = listed(compiler, list, (name, zone))?;
        if spec.counted_in.value != CountedIn::Memory {
            lease(&mut windows);
        }
        tiers.push(Tier { name: tier.value.clone(), location: tier.location, windows });
    }
    tiers.push(Tier { name: String::new(), location: Location::default(), windows: others });
    Some(tiers)
}

/// The windows that tiers share, and which of them hold for whom; without tiers only the windows.
fn shared(compiler: &mut Compiler<'_>, spec: &Spec, tiers: Vec<Tier>) -> Option<(Box<[Window]>, Option<Tiers>)> {
    let tier = match (&spec.tier, spec.tiers.iter().next()) {
        (None, None) => return tiers.into_iter().next().map(|others| (others.windows.into(), None)),
        (Some(tier), Some(_)) => tier,
        (Some(tier), None) => {
            compiler.error(tier.location, "`tier` chooses among `tiers`, of which there are none");
            return None;
        }
        (None, Some((name, _))) => {
            compiler.error(name.location, "`tier` is missing: the text whose value names one of these");
            return None;
        }
    };
    let by = compiler.template(tier, &[])?;
    if by.variables().next().is_none() {
        compiler.error(tier.location, "this text has no variable, so all requests are of one tier");
    }
    let (windows, mut shares) = match limit_tiers::share(&tiers) {
        Ok(shared) => shared,
        Err(tier) => {
            compiler.error(tier.location, "a tier has two windows of the same length, of which one is of no use");
            return None;
        }
    };
    let others = shares.pop()?;
    let names = tiers.iter().map(|tier| tier.name.as_bytes().into());
    let mut list: Vec<NamedShares> = names.zip(shares).collect();
    list.sort_by(|(one, _), (other, _)| one.cmp(other));
    Some((windows.into(), Some(Tiers { by, list: list.into(), others })))
}

/// One window, without a name where none was given, and what its name ends in then.
fn window(
    compiler: &mut Compiler<'_>,
    spec: &WindowSpec,
    location: Location,
    zone: &TimeZone,
) -> Option<(Window, String)> {
    let here = |location: Location, inner: Location| if inner == Location::default() { location } else { inner };
    let name = spec.name.as_ref().map_or("", |name| name.value.as_str());
    match (&spec.quota, &spec.per, &spec.rate) {
        (Some(quota), Some(per), None) => {
            if let Some(burst) = &spec.burst {
                compiler.error(burst.location, "`burst` belongs to `rate`: all of a `quota` may come at once");
            }
            let zone = match &spec.zone {
                Some(zone) => zone_named(compiler, zone)?,
                None => zone.clone(),
            };
            let Some(rate) = Rate::counted(quota.value) else {
                let title = "a quota is at least 1; to refuse everything, answer with 403";
                compiler.error(here(location, quota.location), title);
                return None;
            };
            let unit = unit(per.value);
            let calendar = Some(Calendar { unit, zone });
            Some((Window::new(name.into(), rate, calendar, Some(unit)), unit.name().to_owned()))
        }
        (None, None, Some(written)) => {
            if let Some(zone) = &spec.zone {
                compiler.error(zone.location, "a rate refills all the time and has no time zone");
            }
            let located = Located { value: written.value.clone(), location: here(location, written.location) };
            let rate = refilling(compiler, &located, spec.burst.as_ref())?;
            let per = written.value.0.per;
            let unit = unit_of(per);
            let suffix = unit.map_or_else(|| scalar::Time(per).show(), |unit| unit.name().to_owned());
            Some((Window::new(name.into(), rate, None, unit), suffix))
        }
        _ => {
            let report = Report::error(location, "a window has `quota` and `per`, or `rate`");
            compiler.absent(location, report);
            None
        }
    }
}

fn refilling(
    compiler: &mut Compiler<'_>,
    written: &Located<scalar::Rate>,
    burst: Option<&Located<u32>>,
) -> Option<Rate> {
    let parts = &written.value.0;
    let count = u32::try_from(parts.count).ok();
    let most = burst.map(|burst| burst.value).or(count);
    let rate = count.zip(most).and_then(|(count, burst)| Rate::new(count, parts.per, burst));
    if rate.is_none() {
        let location = burst.filter(|burst| burst.value == 0).map_or(written.location, |burst| burst.location);
        compiler.error(location, "a limit is 1 to 4294967295 requests in at most 366 days, with a burst of at least 1");
    }
    rate
}

fn zone_named(compiler: &mut Compiler<'_>, zone: &Located<String>) -> Option<TimeZone> {
    // Of the database that is compiled in, so that a configuration means the same on every machine.
    let found = TimeZoneDatabase::bundled().get(&zone.value).ok();
    if found.is_none() {
        let report = Report::error(zone.location, format!("there is no time zone `{}`", zone.value));
        compiler.faults.push(report.help("names are those of the IANA database, such as \"Europe/Berlin\" or \"UTC\""));
    }
    found
}

fn cost(compiler: &mut Compiler<'_>, spec: &CostSpec, least: u32) -> Cost {
    let max = spec.max.as_ref().map_or(least, |max| max.value);
    if let Some(written) = spec.max.as_ref().filter(|max| max.value == 0 || max.value > least) {
        compiler.error(written.location, format!("a request counts 1 to {least}, which is what may come at once"));
    }
    if spec.units.value == 0 || spec.units.value > max {
        compiler.error(spec.units.location, format!("a request counts 1 to {max}"));
    }
    let value = spec.value.as_ref().and_then(|text| compiler.template(text, &[]));
    let expression = spec.cel.as_ref().and_then(|text| compiler.number_expression(text));
    if let (Some(_), Some(cel)) = (&spec.value, &spec.cel) {
        compiler.error(cel.location, "`value` and `cel` exclude each other: one of them says what a request counts");
    }
    let response_field = spec
        .response_header
        .as_ref()
        .and_then(|name| compiler.token(name, "field").then(|| name.value.to_ascii_lowercase().into_bytes().into()));
    Cost { units: spec.units.value, value, expression, response_field, max }
}

fn delay(compiler: &mut Compiler<'_>, spec: &Spec, windows: &[Window]) -> Option<u32> {
    let delay = spec.delay_after.as_ref()?;
    match windows {
        [only] if only.calendar().is_none() => {
            if only.rate().fill_time() > DELAY_MAX {
                let title = "the last request of a burst would be delayed for more than a minute";
                let report = Report::error(delay.location, title);
                compiler.faults.push(report.help("a smaller `burst`, or a higher `rate`"));
            }
            if delay.value >= only.rate().burst() {
                compiler.error(delay.location, "nothing is ever delayed: `delay_after` is not below `burst`");
            }
        }
        _ => compiler.error(delay.location, "only a limit with one `rate` delays"),
    }
    if spec.tier.is_some() {
        compiler.error(delay.location, "a limit with tiers delays nothing");
    }
    if !spec.count.is_empty() || spec.cost.response_header.is_some() {
        compiler.error(delay.location, "a limit that counts by the response delays nothing");
    }
    Some(delay.value)
}

fn ban_rule(compiler: &mut Compiler<'_>, spec: &BanSpec) -> BanRule {
    if spec.after.value == 0 {
        compiler.error(spec.after.location, "at least one refusal comes before a ban");
    }
    for time in [&spec.within, &spec.lasts] {
        if time.value.0.is_zero() || time.value.0 > BAN_MAX {
            compiler.error(time.location, "this is more than nothing and at most 31 days");
        }
    }
    BanRule { after: spec.after.value, within: spec.within.value.0, lasts: spec.lasts.value.0 }
}

fn unit(spec: CalendarUnit) -> Unit {
    match spec {
        CalendarUnit::Second => Unit::Second,
        CalendarUnit::Minute => Unit::Minute,
        CalendarUnit::Hour => Unit::Hour,
        CalendarUnit::Day => Unit::Day,
        CalendarUnit::Week => Unit::Week,
        CalendarUnit::Month => Unit::Month,
    }
}

/// The unit of time that is exactly so long.
fn unit_of(per: Duration) -> Option<Unit> {
    let units = [Unit::Second, Unit::Minute, Unit::Hour, Unit::Day, Unit::Week];
    units.into_iter().find(|unit| Duration::from_secs(unit.seconds()) == per)
}

/// Windows as they are written.
type WindowList = Many<Located<ShortOr<WindowSpec>>>;

/// The most that a request may wait or be delayed.
const DELAY_MAX: Duration = Duration::from_millis(LIMIT_WAIT_MS_MAX);
/// The longest ban.
const BAN_MAX: Duration = Duration::from_secs(31 * 24 * 3_600);
