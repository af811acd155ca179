// SPDX-License-Identifier: Apache-2.0
//! `turnpike limit`: rate limits and their keys, over the admin API.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::command::admin_arguments::{LimitCommand, LimitKeyArguments, OutputFormat, Target};
use crate::command::api::{Api, ApiRequest, Failure, encoded};
use crate::command::shown::{finish, listed, shown};
use crate::command::table::Column;

/// Most limits that a list shows.
const ITEMS_MAX: usize = 100_000;

const LIMIT_COLUMNS: [Column; 9] = [
    ("LIMIT", "/name"),
    ("KEYS", "/keys_held"),
    ("ADMITTED", "/admitted"),
    ("NOT COUNTED", "/returned"),
    ("REFUSED", "/refused"),
    ("REPORTED", "/reported"),
    ("WAITED", "/waited"),
    ("UNCOUNTED", "/uncounted"),
    ("GIVEN UP", "/keys_given_up"),
];

const WINDOW_COLUMNS: [Column; 5] =
    [("WINDOW", "/name"), ("COUNTED IN", "/counted_in"), ("QUOTA", "/quota"), ("USED", "/used"), ("LEFT", "/left")];

/// Does something with limits.
pub(super) fn limit(command: &LimitCommand) -> ExitCode {
    finish(match command {
        LimitCommand::List(arguments) => list(&arguments.target),
        LimitCommand::Show(arguments) => show(arguments),
        LimitCommand::Reset(arguments) => reset(arguments),
    })
}

fn list(target: &Target) -> Result<String, Failure> {
    let limits = Api::of(target)?.list("/limits", ITEMS_MAX)?;
    Ok(listed(&limits, &LIMIT_COLUMNS, target))
}

fn show(arguments: &LimitKeyArguments) -> Result<String, Failure> {
    let key = encoded(&Value::from(arguments.key.as_slice()).to_string());
    let route = arguments.route.as_deref().map(|route| format!("&route={}", encoded(route))).unwrap_or_default();
    let request = ApiRequest::new("GET", format!("/limits/{}/key?key={key}{route}", encoded(&arguments.limit)));
    Ok(windows(&Api::of(&arguments.target)?.ask(&request)?, &arguments.target))
}

fn reset(arguments: &LimitKeyArguments) -> Result<String, Failure> {
    let LimitKeyArguments { target, limit, key, route } = arguments;
    let mut body = json!({ "key": key });
    if let Some(route) = route {
        body["route"] = route.as_str().into();
    }
    let request = ApiRequest::new("POST", format!("/limits/{}/reset", encoded(limit))).body(body);
    Ok(windows(&Api::of(target)?.ask(&request)?, target))
}

/// Where a key stands: a window a line for people, the whole document as JSON.
fn windows(document: &Value, target: &Target) -> String {
    if target.output == OutputFormat::Json {
        return shown(document, target);
    }
    let mut windows = document["windows"].as_array().cloned().unwrap_or_default();
    for window in &mut windows {
        if let (Some(quota), Some(used)) = (window["quota"].as_u64(), window["used"].as_u64()) {
            window["left"] = quota.saturating_sub(used).into();
        }
    }
    listed(&windows, &WINDOW_COLUMNS, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_says_what_is_left_where_that_is_known() {
        let document = json!({ "limit": "daily", "key": ["acme"], "windows": [
            { "name": "second", "counted_in": "memory", "quota": 5, "used": null },
            { "name": "day", "counted_in": "store", "quota": 100, "used": 130 },
        ] });
        let text = windows(&document, &Target::default());
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1..], [vec!["second", "memory", "5"], vec!["day", "store", "100", "130", "0"]]);
        let json = windows(&document, &Target { output: OutputFormat::Json, ..Target::default() });
        assert_eq!(serde_json::from_str::<Value>(&json).expect("JSON"), document);
    }
}
