// SPDX-License-Identifier: Apache-2.0
//! JSON documents as tables for people.

use serde_json::Value;

use crate::base::csv;

/// A column: its heading, and the pointer of what stands in it.
pub(super) type Column = (&'static str, &'static str);

/// Items as lines under headings. Columns in which nothing stands are left out, but for the first.
pub(super) fn table(items: &[Value], columns: &[Column]) -> String {
    let rows: Vec<Vec<String>> =
        items.iter().map(|item| columns.iter().map(|(_, pointer)| cell(item.pointer(pointer))).collect()).collect();
    let used: Vec<usize> =
        (0..columns.len()).filter(|at| *at == 0 || rows.iter().any(|row| !row[*at].is_empty())).collect();
    let heading: Vec<String> = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&heading).chain(&rows).collect();
    let width = |at: usize| all.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut out = String::new();
    for row in all {
        let cells = used.iter().map(|at| format!("{:<width$}", row[*at], width = widths[*at]));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// One document, a member a line.
pub(super) fn sheet(document: &Value) -> String {
    let Value::Object(members) = document else { return format!("{}\n", cell(Some(document))) };
    let width = members.keys().map(String::len).max().unwrap_or(0);
    let lines = members.iter().map(|(name, value)| (name, cell(Some(value)))).filter(|(_, text)| !text.is_empty());
    lines.map(|(name, text)| format!("{name:<width$}  {text}\n")).collect()
}

/// Items as CSV (RFC 4180). Columns that no item has are left out.
pub(super) fn csv_list(items: &[Value], columns: &[Column]) -> String {
    let used = |at: &usize| {
        let there = |item: &Value| item.pointer(columns[*at].1).is_some_and(|value| !value.is_null());
        items.is_empty() || items.iter().any(there)
    };
    let used: Vec<usize> = (0..columns.len()).filter(used).collect();
    let mut lines = vec![used.iter().map(|at| csv::cell(columns[*at].0)).collect::<Vec<_>>()];
    lines.extend(
        items
            .iter()
            .map(|item| used.iter().map(|at| csv::cell(&cell(item.pointer(columns[*at].1)))).collect::<Vec<_>>()),
    );
    lines.iter().map(|line| format!("{}\r\n", line.join(","))).collect()
}

/// One document as CSV, a member a line.
pub(super) fn csv_sheet(document: &Value) -> String {
    let Value::Object(members) = document else { return format!("{}\r\n", csv::cell(&cell(Some(document)))) };
    members.iter().map(|(name, value)| format!("{},{}\r\n", csv::cell(name), csv::cell(&cell(Some(value))))).collect()
}

/// A value in few words. What nobody wrote with control characters is not shown with any: a terminal would obey them.
fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            items.iter().map(|item| cell(Some(item))).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(",")
        }
        Some(Value::Object(members)) => match (members.get("count"), members.get("per")) {
            (Some(count), Some(per)) if members.len() == 2 => format!("{}/{}", cell(Some(count)), cell(Some(per))),
            _ => {
                let shown = members.iter().map(|(name, value)| (name, cell(Some(value))));
                let shown = shown.filter(|(_, text)| !text.is_empty()).map(|(name, text)| format!("{name}={text}"));
                shown.collect::<Vec<_>>().join(",")
            }
        },
        Some(Value::Bool(truth)) => if *truth { "yes" } else { "no" }.to_owned(),
        Some(number @ Value::Number(_)) => number.to_string(),
    };
    text.chars().map(|one| if one.is_control() { '\u{fffd}' } else { one }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_empty_columns() {
        let items = [
            json!({ "name": "a", "spec": { "groups": ["x", "y"], "suspended": true } }),
            json!({ "name": "longer", "spec": { "groups": [], "suspended": false } }),
        ];
        let columns =
            [("NAME", "/name"), ("TENANT", "/spec/tenant"), ("GROUPS", "/spec/groups"), ("OFF", "/spec/suspended")];
        assert_eq!(table(&items, &columns), "NAME    GROUPS  OFF\na       x,y     yes\nlonger          no\n");
        assert_eq!(table(&[], &columns), "NAME\n");
    }

    #[test]
    fn a_sheet_shows_what_is_there_and_no_control_characters() {
        let document =
            json!({ "id": "a\u{1b}[2J", "none": null, "limits": [{ "count": 5, "per": "minute" }], "at": { "b": 1 } });
        assert_eq!(sheet(&document), "id      a\u{fffd}[2J\nlimits  5/minute\nat      b=1\n");
    }
}
