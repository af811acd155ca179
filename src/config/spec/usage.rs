// SPDX-License-Identifier: Apache-2.0
//! `[usage]`: who called what, how often and how much.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::{Count, Size, Time};
use crate::config::spec::shape::{Many, Secret, table};

table! {
    /// Who called what: requests, bytes, times and refusals by consumer, app, tenant, plan, product, route, version and
    /// class of status, added up by minute, hour and day in the store. Needs `[store]`. `turnpike usage` and
    /// `GET /api/v1/usage` show it; see `docs/usage.md`.
    pub struct UsageSpec {
        /// What becomes of routes that do not say it themselves (`usage` of the route).
        routes: UsageMode = UsageMode::Counted,
        /// How long a billed response waits at most until it is recorded, 10ms to 60s. Then the client gets 503 with
        /// the reason `usage_not_recorded`, or, where the response has begun, no end of it; and while usage has not
        /// been recorded for that long, billed requests are refused before they are forwarded.
        wait: Located<Time> = Located::nowhere(Time(Duration::from_secs(5))),
        /// Most series in one minute, hour or day: different consumers, apps, plans and so on that have called. What
        /// comes beyond is counted as `(other)`, for each route and class of status; no request is lost.
        series: Located<Count> = Located::nowhere(Count(100_000)),
        /// How long minutes are kept.
        keep_minutes: Time = Time(Duration::from_secs(2 * DAY)),
        /// How long hours are kept.
        keep_hours: Time = Time(Duration::from_secs(93 * DAY)),
        /// How long days are kept.
        keep_days: Time = Time(Duration::from_secs(1_830 * DAY)),
        /// Where usage is sent to, for billing.
        export: Option<Located<UsageExportSpec>> = None,
    }
}

table! {
    /// Where usage is sent to, for billing: a file or a URL. Each export has an id, and one that may not have
    /// arrived is made again with the same id and the same content: whoever reads them takes each id once.
    pub struct UsageExportSpec {
        /// A file that gets a line of JSON for each series and minute.
        file: Option<PathBuf> = None,
        /// The file is renamed to `FILE.1` above this size, and older ones to `FILE.2` and so on.
        file_size: Size = Size(64 << 20),
        /// How many renamed files are kept; older ones are deleted.
        files: Count = Count(10),
        /// A URL (`http://` or `https://`) that gets the same lines by `POST`, as `application/jsonl`. It must answer
        /// with a 2xx; otherwise they are sent again, after longer and longer pauses.
        url: Option<Located<String>> = None,
        /// Signs what is posted, as Standard Webhooks says: the key behind `webhook-signature`, 16 bytes or more; best
        /// as `"${file:/run/secrets/usage}"`. A key that begins with `whsec_` is Base64 behind it.
        secret: Option<Located<Secret>> = None,
        /// Authorities (CA) that the URL's certificate may be of, as files; without it those that the machine trusts.
        ca: Many<Located<PathBuf>> = Many::default(),
        /// How often, 1s to 1d.
        every: Located<Time> = Located::nowhere(Time(Duration::from_secs(60))),
    }
}

const DAY: u64 = 24 * 60 * 60;

/// What becomes of the usage of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum UsageMode {
    /// It is not counted.
    #[default]
    Off,
    /// It is counted. About a second of it is lost where the process is killed.
    Counted,
    /// It is counted before the end of a response leaves, so that a client which saw the whole response is counted once
    /// whatever happens. Each response waits for the store's disk.
    Billed,
}
