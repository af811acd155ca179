// SPDX-License-Identifier: Apache-2.0
//! `turnpike usage`: who called what, as a table and a small chart.

use std::process::ExitCode;

use serde_json::Value;

use crate::command::admin_arguments::{OutputFormat, UsageArguments};
use crate::command::api::{Api, ApiRequest, Failure, encoded};
use crate::command::shown::{finish, listed};
use crate::command::table::{Column, table};

/// Most rows that are read.
const ROWS_MAX: usize = 1_000_000;
/// Most moments of the chart.
const MOMENTS_MAX: usize = 120;
/// Columns of the table; those that were not asked for stay empty and are left out.
const COLUMNS: [Column; 17] = [
    ("START", "/start"),
    ("CONSUMER", "/consumer"),
    ("APP", "/app"),
    ("TENANT", "/tenant"),
    ("PLAN", "/plan"),
    ("PRODUCT", "/product"),
    ("ROUTE", "/route"),
    ("VERSION", "/version"),
    ("STATUS", "/status"),
    ("REQUESTS", "/requests"),
    ("SHARE", "/share"),
    ("RECEIVED", "/received"),
    ("SENT", "/sent"),
    ("LATENCY", "/latency"),
    ("UPSTREAM", "/upstream"),
    ("LIMITED", "/limited_shown"),
    ("", "/bar"),
];
/// The columns of the API, in the order of its own tables.
const RAW: [Column; 15] = [
    ("start", "/start"),
    ("consumer", "/consumer"),
    ("app", "/app"),
    ("tenant", "/tenant"),
    ("plan", "/plan"),
    ("product", "/product"),
    ("route", "/route"),
    ("version", "/version"),
    ("status", "/status"),
    ("requests", "/requests"),
    ("bytes_received", "/bytes_received"),
    ("bytes_sent", "/bytes_sent"),
    ("latency_us", "/latency_us"),
    ("upstream_us", "/upstream_us"),
    ("limited", "/limited"),
];
/// Width of the longest bar.
const BAR: u64 = 20;

/// Shows usage.
pub(super) fn usage(arguments: &UsageArguments) -> ExitCode {
    finish(show(arguments))
}

fn show(arguments: &UsageArguments) -> Result<String, Failure> {
    let api = Api::of(&arguments.target)?;
    let mut query = format!("since={}", encoded(&arguments.since));
    if let Some(until) = &arguments.until {
        query.push_str(&format!("&until={}", encoded(until)));
    }
    for (name, value) in &arguments.filters {
        query.push_str(&format!("&{}={}", encoded(name), encoded(value)));
    }
    let step = arguments.step.as_deref().map(|step| format!("&step={}", encoded(step))).unwrap_or_default();
    let by = arguments.by.join(",");
    let mut rows = api.list(&format!("/usage?{query}{step}&by={}", encoded(&by)), ROWS_MAX)?;
    if arguments.target.output != OutputFormat::Table {
        return Ok(listed(&rows, &RAW, &arguments.target));
    }
    if arguments.step.is_none() {
        rows.sort_by_key(|row| std::cmp::Reverse(number(row, "requests")));
    }
    let left_out = rows.len().saturating_sub(arguments.top);
    let total: u64 = rows.iter().map(|row| number(row, "requests")).sum();
    rows.truncate(arguments.top);
    let most = rows.iter().map(|row| number(row, "requests")).max().unwrap_or(0);
    rows.iter_mut().for_each(|row| embellish(row, total, most));
    let there = |column: &Column| rows.iter().any(|row| row.pointer(column.1).is_some());
    let columns: Vec<Column> = COLUMNS.into_iter().filter(|column| there(column) || column.0 == "REQUESTS").collect();
    let mut text = table(&rows, &columns);
    if left_out > 0 {
        text.push_str(&format!("and {left_out} more rows; --top shows them\n"));
    }
    if arguments.step.is_none() {
        text.push_str(&chart(&api, &query)?);
    }
    Ok(text)
}

/// Adds what people like to read.
fn embellish(row: &mut Value, total: u64, most: u64) {
    let [requests, limited] = ["requests", "limited"].map(|name| number(row, name));
    let mean = |name: &str| match number(row, name) {
        0 => String::new(),
        sum => milliseconds(sum / requests.max(1)),
    };
    let (latency, upstream) = (mean("latency_us"), mean("upstream_us"));
    let [received, sent] = ["bytes_received", "bytes_sent"].map(|name| bytes(number(row, name)));
    let share = if total > 0 { format!("{:.1}%", requests as f64 * 100.0 / total as f64) } else { String::new() };
    let width = (requests * BAR).div_ceil(most.max(1)) as usize;
    row["share"] = share.into();
    (row["received"], row["sent"]) = (received.into(), sent.into());
    (row["latency"], row["upstream"]) = (latency.into(), upstream.into());
    row["limited_shown"] = if limited > 0 { limited.to_string().into() } else { Value::Null };
    row["bar"] = "█".repeat(width).into();
    if row["consumer"].as_str() == Some("") {
        row["consumer"] = "(nobody)".into();
    }
}

/// Requests over time, with as many steps as a line has room for.
fn chart(api: &Api, query: &str) -> Result<String, Failure> {
    let mut last = None;
    for step in ["minute", "hour", "day"] {
        let path = format!("/usage?{query}&step={step}&limit=1");
        let document = api.ask(&ApiRequest::new("GET", path))?;
        let (Some(since), Some(until)) = (seconds(&document["since"]), seconds(&document["until"])) else { break };
        let period = document["period"].as_u64().unwrap_or(1).max(1);
        last = Some((step, since, until, period));
        if (until - since) / period <= MOMENTS_MAX as u64 {
            break;
        }
    }
    let Some((step, since, until, period)) = last else { return Ok(String::new()) };
    let rows = api.list(&format!("/usage?{query}&step={step}"), ROWS_MAX)?;
    let count = ((until - since) / period).min(MOMENTS_MAX as u64) as usize;
    let first = until - count as u64 * period;
    let mut counts = vec![0; count];
    for row in &rows {
        let at =
            seconds(&row["start"]).and_then(|start| start.checked_sub(first)).map(|after| (after / period) as usize);
        if let Some(place) = at.and_then(|at| counts.get_mut(at)) {
            *place += number(row, "requests");
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    if most == 0 {
        return Ok(String::new());
    }
    Ok(format!("\nrequests by {step}, at most {most}:\n{}\n", spark(&counts, most)))
}

/// A line of bars.
fn spark(counts: &[u64], most: u64) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    counts.iter().map(|count| BARS[(count * 8).div_ceil(most.max(1)).min(8) as usize]).collect()
}

fn number(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or(0)
}

/// Seconds since 1970 of a moment as the API writes it.
fn seconds(moment: &Value) -> Option<u64> {
    use crate::config::spec::scalar::{Moment, Scalar};
    Moment::parse(moment.as_str()?).ok().map(|Moment(wall)| wall.seconds())
}

fn milliseconds(micros: u64) -> String {
    match micros {
        ..10_000 => format!("{:.1}ms", micros as f64 / 1_000.0),
        10_000..10_000_000 => format!("{}ms", micros / 1_000),
        _ => format!("{}s", micros / 1_000_000),
    }
}

fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1_024.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes}B") } else { format!("{value:.1}{}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_becomes_one_that_people_read() {
        let mut row = json!({
            "consumer": "", "requests": 30, "bytes_received": 0, "bytes_sent": 1_572_864, "latency_us": 60_000,
            "upstream_us": 0, "limited": 2,
        });
        embellish(&mut row, 120, 60);
        let text = table(&[row], &COLUMNS);
        let cells: Vec<&str> = text.lines().nth(1).expect("a row").split_whitespace().collect();
        assert_eq!(cells, ["(nobody)", "30", "25.0%", "0B", "1.5MiB", "2.0ms", "2", "██████████"]);
    }

    #[test]
    fn a_chart_has_a_bar_for_whatever_is_not_zero() {
        assert_eq!(spark(&[0, 1, 500, 1_000], 1_000), " ▁▄█");
        assert_eq!(
            (bytes(1_023), bytes(1_024), bytes(u64::MAX)),
            ("1023B".into(), "1.0KiB".into(), "16384.0PiB".into())
        );
        assert_eq!([999, 10_000, 12_000_000].map(milliseconds), ["1.0ms", "10ms", "12s"]);
        assert_eq!(seconds(&json!("1970-01-02T00:00:00Z")), Some(86_400));
    }
}
