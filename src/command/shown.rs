// SPDX-License-Identifier: Apache-2.0
//! What a gateway said, in the form that was asked for.

use std::process::ExitCode;

use serde_json::Value;

use crate::command::admin_arguments::{OutputFormat, Target};
use crate::command::api::Failure;
use crate::command::table::{Column, csv_list, csv_sheet, sheet, table};

/// Prints what was done, or why it was not.
pub(super) fn finish(done: Result<String, Failure>) -> ExitCode {
    match done {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(failure) => failure.exit(),
    }
}

/// One document in the form that was asked for.
pub(super) fn shown(document: &Value, target: &Target) -> String {
    match target.output {
        OutputFormat::Json => pretty(document),
        OutputFormat::Csv => csv_sheet(document),
        OutputFormat::Table => sheet(document),
    }
}

/// A list in the form that was asked for.
pub(super) fn listed(items: &[Value], columns: &[Column], target: &Target) -> String {
    match target.output {
        OutputFormat::Json => pretty(&Value::from(items)),
        OutputFormat::Csv => csv_list(items, columns),
        OutputFormat::Table => table(items, columns),
    }
}

fn pretty(document: &Value) -> String {
    format!("{document:#}\n")
}
