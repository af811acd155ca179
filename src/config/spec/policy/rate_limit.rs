// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.rate_limit]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::{Network, Rate, Scalar, Statuses, Time};
use crate::config::spec::shape::{Many, Named, Short, ShortOr, table};

table! {
    /// So many requests per time; above it 429 with `Retry-After` and a problem body.
    #[schemars(rename = "RateLimitSpec")]
    pub struct Spec {
        /// How many: `"100/s"`, `"5/m"`, `"1000/10s"`. It refills all the time, not at the full second or minute.
        rate: Option<Located<Rate>> = None,
        /// How many may come at once; without it one time span's worth. Only with `rate`.
        burst: Option<Located<u32>> = None,
        /// Several limits at once, in place of `rate`. Each is a rate that refills (`"10/s"`), a number in windows of
        /// the calendar (`"1000/day"`), or a table. A request needs room in all of them; where one has none, the others
        /// do not count it. At most 8.
        windows: Many<Located<ShortOr<WindowSpec>>> = Many::default(),
        /// A text whose value names a tier: `"{plan}"`, `"{consumer}"`, or `"{header.X-Plan}"` where only a proxy in
        /// front can set that header. Requests of a tier have its windows of `tiers`, all others have `rate` or
        /// `windows`. It holds at once when the value changes, and a window that both tiers have goes on as used up as
        /// it was.
        tier: Option<Located<String>> = None,
        /// Windows by tier: `{ gold = ["100/s", "1000000/month"], free = "100/day" }`. Those of different tiers that
        /// are of the same length are one window with different numbers.
        tiers: Named<Many<Located<ShortOr<WindowSpec>>>> = Named::default(),
        /// The time zone of windows of the calendar, such as `"Europe/Berlin"`: when their hours, days, weeks (from
        /// Monday on) and months begin.
        #[schemars(extend("x-default" = "UTC"))]
        zone: Option<Located<String>> = None,
        /// What is counted apart from each other; of several parts, each combination. `"address"` (clients; of IPv6 the
        /// /64), `"address/24"` or `"address/24/48"` (their networks, IPv4 and IPv6), `"consumer"`, `"route"`,
        /// `"header:NAME"`, `"cookie:NAME"`, `"query:NAME"`, `"param:NAME"` (of the route's path), `"claim:NAME"` (of a
        /// verified token), a text with variables (`"{tls.sni}"`), or `"everything"` (nothing is counted apart).
        #[schemars(extend("x-default" = "address"))]
        key: Many<Located<String>> = Many::default(),
        /// What a request counts as that lacks a part of `key`, for example because it has no such header or several
        /// lines of it.
        absent: AbsentPart = AbsentPart::default(),
        /// Each route that names the policy counts for itself.
        per_route: bool = false,
        /// How much one request counts.
        cost: CostSpec = CostSpec::default(),
        /// Clients from these networks are not limited.
        exempt_networks: Many<Network> = Many::default(),
        /// These consumers are not limited.
        exempt_consumers: Many<Located<String>> = Many::default(),
        /// The status of a refusal.
        status: Located<u16> = Located::nowhere(429),
        /// What a refused client reads as `detail`.
        detail: Option<String> = None,
        /// When clients are told where they stand.
        fields: LimitFields = LimitFields::default(),
        /// In which headers they are told: `"ietf"` (`RateLimit`, `RateLimit-Policy`), `"x_ratelimit"`
        /// (`X-RateLimit-Limit`, `-Remaining`, `-Reset` in seconds), `"kong"` (`RateLimit-Limit` and
        /// `X-RateLimit-Limit-Minute` and their like), `"traefik"` (`X-Retry-In`), `"github"` (`X-RateLimit-Used`,
        /// `-Resource`, `-Reset` as a Unix time). What has room for one window tells of the one that has least left.
        #[schemars(extend("x-default" = "ietf"))]
        dialect: Many<FieldDialect> = Many::default(),
        /// Count and report, but refuse nothing: for trying a limit out.
        report_only: bool = false,
        /// Count only requests that are answered with one of these statuses: `["401", "403"]` limits failed logins and
        /// leaves the others alone. While its response is awaited, a request counts; a gRPC call until it ends, and
        /// then as the status that its code stands for. A request whose client gets no response counts.
        count: Many<Statuses> = Many::default(),
        /// Delay requests above the rate instead of refusing them: of `burst`, so many pass at once beside the first,
        /// the others when they would have come at the rate, and what is above `burst` is refused. nginx's `burst=20
        /// delay=8` is `burst = 21, delay_after = 8` here. Not with several windows. Nobody is delayed for more than a
        /// minute: `check` refuses a `burst` that takes longer.
        delay_after: Option<Located<u32>> = None,
        /// Refuse everything of a key for a while after it was refused too often. Each thread counts refusals for
        /// itself; a ban holds on all of them. While it lasts, a refusal's reason is `rate_limit_banned`.
        ban: Option<Located<BanSpec>> = None,
        /// Keys that all threads together remember, for each window; each takes about 220 bytes, and 340 where there
        /// are several threads. Above it those are forgotten that are fullest, so that the fewest requests too many
        /// pass.
        #[schemars(extend("x-default" = 100000))]
        keys_max: Option<u32> = None,
        /// What a key has that comes again after it was forgotten for lack of room.
        when_full: WhenFull = WhenFull::default(),
        /// Where windows of the calendar are counted. `"memory"`: by this process, until it ends. `"store"`: in
        /// `[store]`, so that a restart, an upgrade or a crash gives nobody a fresh quota. `"redis"`: in `[redis]`, by
        /// all gateways together. Of what is counted in a database, at most 1 % of a quota is leased and not used; a
        /// crash loses that. Rates that refill all the time are always counted in memory.
        counted_in: Located<CountedIn> = Located::nowhere(CountedIn::Memory),
        /// What happens to requests while the store or Redis is away and nothing is leased any more.
        on_outage: OnOutage = OnOutage::default(),
        /// How many gateways share the quota: with `on_outage = "local_share"`, each gives one part of it at most.
        #[schemars(extend("x-default" = 1))]
        gateways: Option<Located<u32>> = None,
        /// How long a request waits for another thread's word about its key, at most `"1m"`. It waits only at the first
        /// request of a key on a thread, and where a limit is nearly used up.
        #[schemars(extend("x-default" = "1s"))]
        wait: Option<Located<Time>> = None,
        /// What happens to a request that cannot be counted, because another thread gave no word in time or has no room
        /// for the key.
        uncountable: Uncountable = Uncountable::default(),
    }
}

table! {
    /// One of several limits: `quota` and `per`, or `rate`.
    pub struct WindowSpec {
        /// So many in each window of the calendar, from whose beginning on all of them may come at once.
        quota: Option<Located<u32>> = None,
        /// How long a window is.
        per: Option<Located<CalendarUnit>> = None,
        /// The time zone in which windows begin, instead of the policy's.
        zone: Option<Located<String>> = None,
        /// A rate that refills all the time.
        rate: Option<Located<Rate>> = None,
        /// How many may come at once; without it one time span's worth. Only with `rate`.
        burst: Option<Located<u32>> = None,
        /// Its name in `RateLimit`; without it the policy's, with `-day` or the like behind it where there are several.
        name: Option<Located<String>> = None,
    }
}

impl Short for WindowSpec {
    const EXPECTED: &'static str = "a limit such as \"10/s\" or \"1000/day\", or a table";

    fn of_text(text: &str) -> Result<WindowSpec, String> {
        let (count, per) = text.split_once('/').ok_or("the `/` with a time span is missing")?;
        let Some(unit) = CalendarUnit::named(per.trim()) else {
            let rate = Rate::parse(text)?;
            return Ok(WindowSpec { rate: Some(Located::nowhere(rate)), ..WindowSpec::default() });
        };
        let quota = count.trim().replace('_', "").parse().map_err(|_| "a whole number is missing".to_owned())?;
        let (quota, per) = (Some(Located::nowhere(quota)), Some(Located::nowhere(unit)));
        Ok(WindowSpec { quota, per, ..WindowSpec::default() })
    }
}

/// A unit of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum CalendarUnit {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week, from Monday on.
    Week,
    /// A month.
    Month,
}

impl CalendarUnit {
    fn named(name: &str) -> Option<CalendarUnit> {
        match name {
            "second" => Some(CalendarUnit::Second),
            "minute" => Some(CalendarUnit::Minute),
            "hour" => Some(CalendarUnit::Hour),
            "day" => Some(CalendarUnit::Day),
            "week" => Some(CalendarUnit::Week),
            "month" => Some(CalendarUnit::Month),
            _ => None,
        }
    }
}

table! {
    /// How much one request counts.
    pub struct CostSpec {
        /// So much, where nothing else says how much.
        units: Located<u32> = Located::nowhere(1),
        /// A text whose value is the number: `"{query.count}"`, `"{header.X-Cost}"`. Counts at least 1, and `units`
        /// where it is no number.
        value: Option<Located<String>> = None,
        /// An expression in CEL that gives the number, instead of `value`: `"1 + request.size / 65536"`. It is rounded
        /// up. What is below 1 counts 1, and what is above `max` counts `max`. An expression that gives no number for a
        /// request counts `units`.
        cel: Option<Located<String>> = None,
        /// A header of the response that says it. Until then the request counts `units`, `value` or `cel`. What it
        /// costs beyond that is taken afterwards; where there is not so much, nobody of the key passes until it is
        /// paid.
        response_header: Option<Located<String>> = None,
        /// No request counts more, whoever says it; without it, what a request may count at once.
        max: Option<Located<u32>> = None,
    }
}

/// Who is banned, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BanSpec {
    /// After so many refusals,
    pub after: Located<u32>,
    /// within this time,
    pub within: Located<Time>,
    /// for so long.
    #[serde(rename = "for")]
    pub lasts: Located<Time>,
}

/// What a request counts as that lacks a part of the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum AbsentPart {
    /// The client's address takes the part's place.
    #[default]
    Address,
    /// All requests without the part count together.
    Shared,
    /// It does not count, and passes.
    Skip,
    /// It is refused with 403.
    Refuse,
}

/// What a key has that comes again after it was forgotten for lack of room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum WhenFull {
    /// Its whole limit: it may exceed it by what it lacked when it was forgotten.
    #[default]
    Forget,
    /// No more than it would have had it been remembered, so no key ever exceeds its limit. Keys that are new share
    /// what is left with forgotten ones, 65536 groups of them: a flood of keys may use up what newcomers have.
    Share,
}

/// Where windows of the calendar are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum CountedIn {
    /// By this process.
    #[default]
    Memory,
    /// In the store.
    Store,
    /// In Redis or Valkey.
    Redis,
}

/// What happens to requests while the database of a quota is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum OnOutage {
    /// They cannot be counted, and `uncountable` says what then: 503, unless it was changed.
    #[default]
    Closed,
    /// They pass uncounted.
    Open,
    /// This gateway gives its part of the quota, and of what was left of it when the database last answered; what it
    /// gives is written when the database is back.
    LocalShare,
}

/// When clients are told where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum LimitFields {
    /// In every response; `Retry-After` in refusals.
    #[default]
    Always,
    /// Only `Retry-After` in refusals.
    OnRefusal,
    /// Never.
    Never,
}

/// In which headers clients are told where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum FieldDialect {
    /// `RateLimit` and `RateLimit-Policy` of the IETF draft.
    Ietf,
    /// `X-RateLimit-*`, with seconds until the reset.
    XRatelimit,
    /// Kong's.
    Kong,
    /// Traefik's.
    Traefik,
    /// GitHub's.
    Github,
}

/// What happens to a request that cannot be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Uncountable {
    /// 503 with `Retry-After`.
    #[default]
    Unavailable,
    /// Refused as if the limit were used up.
    Refuse,
    /// Let through uncounted.
    Admit,
}
