// SPDX-License-Identifier: Apache-2.0
//! Usage by time and group, as JSON, CSV or lines of JSON.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, LINK};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::base::csv::cell;
use crate::config::spec::scalar::{Moment, Scalar, Time};
use crate::control::admin::body::{encode, moment};
use crate::control::admin::call::Call;
use crate::control::admin::problem::{Problem, Reason};
use crate::control::admin::query::Part;
use crate::control::admin::response::Reply;
use crate::control::admin::state::AdminState;
use crate::control::store::usage::{self, Column, PERIODS, Query, Shown, UsageSum};
use crate::link::Measures;
use crate::net::machine;

/// How far back it goes where nothing is said, in seconds.
const SPAN: u64 = 86_400;
/// Without `step`, minutes are added up for spans up to this, and hours up to the next; else days.
const MINUTES_MAX: u64 = 3 * 3_600;
const HOURS_MAX: u64 = 31 * 86_400;
/// Most rows that one answer may begin behind: the values of a cursor are as many as the columns.
const COLUMNS: usize = Column::ALL.len();

/// The words of `step`.
pub(crate) const STEPS: &[&str] = &["minute", "hour", "day", "all"];
/// The words of `format`.
pub(crate) const FORMATS: &[&str] = &["json", "csv", "jsonl"];
/// The media type of CSV (RFC 4180).
pub(crate) const CSV: &str = "text/csv; charset=utf-8; header=present";
/// The media type of lines of JSON.
pub(crate) const JSON_LINES: &str = "application/jsonl";

/// Usage in a span of time.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct UsageDocument {
    /// From when on. It was rounded down to a whole `period`.
    pub since: String,
    /// Before when. It was rounded up to a whole `period`.
    pub until: String,
    /// What was added up, in seconds: minutes, hours or days.
    pub period: u64,
    /// By time, then by the columns of `by`.
    pub items: Vec<UsageItem>,
    /// The `cursor` of the next part; `null` at the end.
    pub next: Option<String>,
}

/// What was counted of one group. The columns of `by` are there, and no others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub(crate) struct UsageItem {
    /// When the minute, hour or day began; absent where a sum is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// Who called; empty where nobody was identified, `(other)` for what was counted together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// With which app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Whom the consumer belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Which plan held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// As a part of which product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Which route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Which version of an API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The class of the status: `2xx`; `0xx` where there was no response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Requests.
    pub requests: u64,
    /// Content bytes from clients.
    pub bytes_received: u64,
    /// Content bytes to clients.
    pub bytes_sent: u64,
    /// Microseconds from the beginnings of requests to the ends of responses, summed.
    pub latency_us: u64,
    /// Microseconds from requests to upstreams to the heads of their responses, summed.
    pub upstream_us: u64,
    /// Requests that a limit refused.
    pub limited: u64,
}

impl UsageItem {
    fn of(sum: &UsageSum, query: &Query) -> UsageItem {
        let Measures { requests, bytes_received, bytes_sent, latency_us, upstream_us, limited } = sum.measures;
        let mut item = UsageItem {
            start: (query.shown == Shown::Each).then(|| text_of(sum.start)),
            requests,
            bytes_received,
            bytes_sent,
            latency_us,
            upstream_us,
            limited,
            ..UsageItem::default()
        };
        for (column, value) in query.by.iter().zip(&sum.group) {
            let value = value.clone();
            match column {
                Column::Consumer => item.consumer = Some(value),
                Column::App => item.app = Some(value),
                Column::Tenant => item.tenant = Some(value),
                Column::Plan => item.plan = Some(value),
                Column::Product => item.product = Some(value),
                Column::Route => item.route = Some(value),
                Column::Version => item.version = Some(value),
                Column::Status => item.status = Some(format!("{value}xx")),
            }
        }
        item
    }
}

/// Usage by time and group.
pub(crate) async fn list(call: &Call, state: &AdminState) -> Result<Reply, Problem> {
    let format = format(call)?;
    let (wanted, part) = read(call, machine::wall().seconds())?;
    let asked = Query { limit: part.limit + 1, ..wanted.clone() };
    let rows = state.read(move |database, _| match database {
        Some(database) => usage::query(database, &asked).map(Some),
        None => Ok(None),
    });
    let problem = || Problem::new(Reason::NoStore, "usage is kept in the store, and there is none");
    let mut rows = rows.await?.ok_or_else(problem)?;
    let more = rows.len() > part.limit;
    rows.truncate(part.limit);
    let next = rows.last().filter(|_| more).map(|last| Part::cursor(&key_of(last)));
    let items: Vec<UsageItem> = rows.iter().map(|row| UsageItem::of(row, &wanted)).collect();
    let reply = match format {
        "csv" => Reply::bytes(StatusCode::OK, CSV, csv(&items, &wanted).into()),
        "jsonl" => {
            let lines = items.iter().map(|item| format!("{}\n", encode(item)));
            Reply::bytes(StatusCode::OK, JSON_LINES, lines.collect::<String>().into())
        }
        _ => {
            let Query { since, until, period, .. } = wanted;
            let (since, until) = (text_of(since), text_of(until));
            let document = UsageDocument { since, until, period, items, next };
            return Ok(Reply::json(StatusCode::OK, &document));
        }
    };
    // Tables have no place for a cursor.
    let Some(cursor) = next else { return Ok(reply) };
    let link = HeaderValue::try_from(format!("<?{}>; rel=\"next\"", following(call, &cursor)));
    let cursor = HeaderValue::try_from(cursor).map_err(|_| Problem::no_answer())?;
    let link = link.map_err(|_| Problem::no_answer())?;
    Ok(reply.field(HeaderName::from_static("x-next-cursor"), cursor).field(LINK, link))
}

/// The query of the next part.
fn following(call: &Call, cursor: &str) -> String {
    let others = call.raw_query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    others.map(str::to_owned).chain([format!("cursor={cursor}")]).collect::<Vec<_>>().join("&")
}

/// By the query, or else by the first media type of `Accept` that there is.
fn format(call: &Call) -> Result<&str, Problem> {
    if let Some(format) = call.query.word("format", FORMATS)? {
        return Ok(format);
    }
    let types = call.accept.split(',').map(|range| range.split(';').next().unwrap_or("").trim());
    let known = |media: &str| match media {
        "application/json" | "application/*" | "*/*" => Some("json"),
        "text/csv" | "text/*" => Some("csv"),
        "application/jsonl" | "application/x-ndjson" => Some("jsonl"),
        _ => None,
    };
    Ok(types.filter_map(known).next().unwrap_or("json"))
}

/// What is asked. `limit` and `after` of the query are set here, those of the part where it begins.
fn read(call: &Call, now: u64) -> Result<(Query, Part), Problem> {
    let part = call.query.part()?;
    let until = time(call, "until", now)?.unwrap_or(now);
    let since = time(call, "since", now)?.unwrap_or_else(|| until.saturating_sub(SPAN));
    if since >= until {
        return Err(Problem::parameter("since", "`since` is not before `until`"));
    }
    let [minute, hour, day] = PERIODS;
    let (period, shown) = match call.query.word("step", STEPS)?.unwrap_or("all") {
        "minute" => (minute, Shown::Each),
        "hour" => (hour, Shown::Each),
        "day" => (day, Shown::Each),
        _ if until - since <= MINUTES_MAX => (minute, Shown::Sum),
        _ if until - since <= HOURS_MAX => (hour, Shown::Sum),
        _ => (day, Shown::Sum),
    };
    let mut by: Vec<Column> = Vec::new();
    for name in call.query.value("by").unwrap_or("").split(',').filter(|name| !name.is_empty()) {
        let names = || Column::ALL.map(Column::name).join(", ");
        let column = Column::named(name);
        let column = column.ok_or_else(|| Problem::parameter("by", format!("`by` takes {}", names())))?;
        if by.contains(&column) {
            return Err(Problem::parameter("by", format!("`{name}` stands twice in `by`")));
        }
        by.push(column);
    }
    let mut only = Vec::new();
    for column in Column::ALL {
        let Some(value) = call.query.value(column.name()) else { continue };
        let value = match (column, value.as_bytes()) {
            (Column::Status, [digit @ b'0'..=b'5', b'x', b'x']) => char::from(*digit).to_string(),
            (Column::Status, _) => return Err(Problem::parameter("status", "`status` is a class such as 4xx")),
            _ => value.to_owned(),
        };
        only.push((column, value));
    }
    let after = part.after.as_deref().map(|key| after(key, by.len())).transpose()?;
    // Without a word of its end, what has begun belongs to it, also where that began in this second.
    let end = if call.query.value("until").is_some() { until } else { until + 1 };
    let (since, until) = whole(since, end, period);
    Ok((Query { period, shown, since, until, by, only, after, limit: part.limit }, part))
}

/// A moment, or how long ago.
fn time(call: &Call, name: &str, now: u64) -> Result<Option<u64>, Problem> {
    let Some(text) = call.query.value(name) else { return Ok(None) };
    if let Ok(Moment(wall)) = Moment::parse(text) {
        return Ok(Some(wall.seconds()));
    }
    if let Ok(Time(span)) = Time::parse(text) {
        return Ok(Some(now.saturating_sub(span.as_secs())));
    }
    let words = "a moment such as 2027-01-31 or 2027-01-31T12:00:00Z, or how long ago: 7d, 12h, 30m";
    Err(Problem::parameter(name, format!("`{name}` is {words}")))
}

/// What a part ends with, for the cursor.
fn key_of(row: &UsageSum) -> String {
    let values = row.group.iter().map(|value| Value::from(value.as_str()));
    Value::Array([Value::from(row.start)].into_iter().chain(values).collect()).to_string()
}

/// Where a part begins, of a cursor.
fn after(key: &str, columns: usize) -> Result<(u64, Vec<String>), Problem> {
    let wrong = || Problem::parameter("cursor", "`cursor` is not one that this list gave");
    let values: Vec<Value> = serde_json::from_str(key).map_err(|_| wrong())?;
    let (start, group) = values.split_first().ok_or_else(wrong)?;
    let group: Option<Vec<String>> = group.iter().map(|value| value.as_str().map(str::to_owned)).collect();
    let group = group.filter(|group| group.len() == columns && columns <= COLUMNS).ok_or_else(wrong)?;
    Ok((start.as_u64().ok_or_else(wrong)?, group))
}

fn csv(items: &[UsageItem], query: &Query) -> String {
    let start = if query.shown == Shown::Each { Some("start") } else { None };
    let measures = ["requests", "bytes_received", "bytes_sent", "latency_us", "upstream_us", "limited"];
    let columns = start.into_iter().chain(query.by.iter().map(|column| column.name())).chain(measures);
    let columns: Vec<&str> = columns.collect();
    let mut out = columns.join(",");
    out.push_str("\r\n");
    for item in items {
        let item = encode(item);
        let cells = columns.iter().map(|column| match &item[*column] {
            Value::String(text) => cell(text),
            other => other.to_string(),
        });
        out.push_str(&cells.collect::<Vec<_>>().join(","));
        out.push_str("\r\n");
    }
    out
}

fn text_of(seconds: u64) -> String {
    moment(Some(seconds)).as_str().unwrap_or_default().to_owned()
}

/// All of the periods that a span touches. Its end is no part of it.
fn whole(since: u64, until: u64, period: u64) -> (u64, u64) {
    (since / period * period, until.div_ceil(period) * period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_period_that_begins_in_this_second_is_shown() {
        for (now, expected) in [(119, (0, 120)), (120, (0, 180)), (121, (0, 180))] {
            assert_eq!(whole(7, now + 1, 60), expected, "{now}");
        }
        assert_eq!(whole(60, 120, 60), (60, 120), "an end that was said is no part");
    }

    #[test]
    fn a_cursor_says_where_a_part_begins_and_nothing_else() {
        let row = UsageSum { start: 60, group: vec!["a\",b".into(), "2".into()], measures: Measures::default() };
        assert_eq!(after(&key_of(&row), 2).expect("its own"), (60, row.group));
        for key in ["", "[]", "[60]", "[60,\"a\"]", "[60,\"a\",\"b\",\"c\"]", "[60,1,2]", "[-1,\"a\",\"b\"]", "{}"] {
            assert!(after(key, 2).is_err(), "{key}");
        }
    }
}
