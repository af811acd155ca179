// SPDX-License-Identifier: Apache-2.0
//! Generates the reference from the specs: `docs/config.md` to read, `config/full.toml` to copy from, and a JSON Schema
//! for editors. A test compares the files in the tree with what this generates.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use serde_json::Value;

use crate::config::spec::Spec;
use crate::config::variables;

/// The JSON Schema of a configuration file.
pub(super) fn schema() -> String {
    let mut schema = schemars::schema_for!(Spec).to_value();
    strip(&mut schema);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("title".to_owned(), "Turnpike configuration".into());
    }
    format!("{schema:#}\n")
}

/// Editors do not know our own marks, and TOML has no `null`.
fn strip(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            if let Some(default) = entries.remove("x-default") {
                entries.insert("default".to_owned(), default);
            }
            entries.retain(|key, value| !(key.starts_with("x-") || key == "default" && holds_null(value)));
            entries.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(holds_null),
        Value::Object(entries) => entries.values().any(holds_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The reference for people.
pub(super) fn markdown() -> String {
    let reference = Reference::new();
    let mut out = INTRODUCTION.to_owned();
    out.push_str("\n## Sections\n\n");
    for table in &reference.tables {
        let indent = "  ".repeat(table.depth().saturating_sub(1));
        let _ = writeln!(out, "{indent}- [`{}`](#{})", table.header(), table.anchor());
    }
    for table in &reference.tables {
        reference.section(table, &mut out);
    }
    out.push_str(PRECEDENCE);
    out.push_str("\n## Variables\n\n");
    out.push_str(VARIABLES);
    for (name, meaning) in variables::TABLE {
        let _ = writeln!(out, "| `{{{name}}}` | {meaning} |");
    }
    out
}

/// Every key, commented out, with its default or an example.
pub(super) fn full_toml() -> String {
    let reference = Reference::new();
    let mut out = FULL_HEAD.to_owned();
    for table in &reference.tables {
        let _ = writeln!(out, "\n");
        comment(&table.meaning, &mut out);
        if !table.path.is_empty() {
            let _ = writeln!(out, "#{}", table.header());
        }
        for key in table.keys.iter().filter(|key| key.table.is_none()) {
            let _ = writeln!(out);
            comment(&key.meaning, &mut out);
            let facts = match (&key.default, key.required) {
                (Some(default), _) => format!("{}; default {default}", key.kind),
                (None, true) => format!("{}; required", key.kind),
                (None, false) => format!("{}; not set by default", key.kind),
            };
            comment(&facts, &mut out);
            let value = key.example.clone().or(key.default.clone()).unwrap_or_else(|| "\"…\"".to_owned());
            let _ = writeln!(out, "#{} = {value}", key.name);
        }
    }
    out
}

fn comment(text: &str, out: &mut String) {
    for line in text.lines() {
        let _ = writeln!(out, "# {}", line.trim_end());
    }
}

/// One table of the configuration.
struct Table {
    /// Its keys from the root; empty for the root itself.
    path: Vec<String>,
    form: Form,
    meaning: String,
    keys: Vec<KeyFacts>,
    /// The name of its type.
    kind: String,
}

impl Table {
    fn header(&self) -> String {
        match (self.path.is_empty(), self.form) {
            (true, _) => "top level".to_owned(),
            (_, Form::List) => format!("[[{}]]", self.path.join(".")),
            (_, Form::One) => format!("[{}]", self.path.join(".")),
        }
    }

    /// How many keys lead to it.
    fn depth(&self) -> usize {
        self.path.iter().filter(|key| *key != NAME).count()
    }

    /// A heading's anchor as code forges make it: only letters, digits, `-` and `_`.
    fn anchor(&self) -> String {
        let lower = self.header().to_lowercase().replace(' ', "-");
        lower.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect()
    }
}

/// How many of a table there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    One,
    List,
}

struct KeyFacts {
    name: String,
    kind: String,
    default: Option<String>,
    required: bool,
    meaning: String,
    /// The type of the table that it holds, if it does.
    table: Option<String>,
    /// A value to write where there is no default.
    example: Option<String>,
}

/// All tables, found by walking the schema from the root.
struct Reference {
    definitions: Value,
    tables: Vec<Table>,
    /// Where the table of a type is described.
    described: HashMap<String, String>,
}

/// What a value's schema says.
struct Shape {
    kind: String,
    /// Its table's type.
    table: Option<String>,
    list: bool,
    named: bool,
    /// It may also be written as one text.
    short: bool,
    example: String,
}

impl Reference {
    fn new() -> Reference {
        let schema = schemars::schema_for!(Spec).to_value();
        let definitions = schema["$defs"].clone();
        let mut reference = Reference { definitions, tables: Vec::new(), described: HashMap::new() };
        reference.walk(&schema, Vec::new(), "Spec", Form::One, &mut HashSet::new());
        let locations = reference.tables.iter().map(|table| (table.kind.clone(), table.anchor()));
        // The second use of a type links to the first.
        let mut described = HashMap::new();
        for (kind, anchor) in locations {
            described.entry(kind).or_insert(anchor);
        }
        reference.described = described;
        reference
    }

    fn walk(&mut self, schema: &Value, path: Vec<String>, kind: &str, form: Form, above: &mut HashSet<String>) {
        let required: Vec<&str> = strings(&schema["required"]);
        let mut keys = Vec::new();
        let mut inner = Vec::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let shape = self.shape(property);
            if let Some(table) = &shape.table {
                let mut below = path.clone();
                below.push(name.clone());
                if shape.named {
                    below.push(NAME.to_owned());
                }
                inner.push((below, table.clone(), if shape.list { Form::List } else { Form::One }));
            }
            keys.push(key_facts(name, property, &shape, &required));
        }
        let meaning = schema["description"].as_str().unwrap_or("").to_owned();
        self.tables.push(Table { path, form, meaning, keys, kind: kind.to_owned() });
        for (below, table, form) in inner {
            if above.contains(&table) || self.tables.iter().any(|known| known.kind == table) {
                continue;
            }
            let schema = self.definitions[&table].clone();
            above.insert(table.clone());
            self.walk(&schema, below, &table, form, above);
            above.remove(&table);
        }
    }

    fn shape(&self, schema: &Value) -> Shape {
        let text = |kind: String, example: &str| Shape {
            kind,
            table: None,
            list: false,
            named: false,
            short: false,
            example: example.to_owned(),
        };
        if let Some(reference) = schema["$ref"].as_str() {
            let table = reference.rsplit('/').next().map(str::to_owned);
            return Shape { table, ..text(String::new(), "{}") };
        }
        let mark = schema["x-shape"].as_str();
        if let Some(options) = schema["anyOf"].as_array() {
            let first = self.shape(&options[0]);
            return match mark {
                Some("list") => {
                    let item = self.shape(&options[0]["items"]);
                    let kind = if item.kind.is_empty() {
                        "list of tables".to_owned()
                    } else {
                        format!("{}, or a list", item.kind)
                    };
                    let example = format!("[{}]", item.example);
                    Shape { kind, list: true, named: false, example, ..item }
                }
                Some("short") => {
                    let table = self.shape(&options[1]).table;
                    let example = first.example.clone();
                    Shape { kind: format!("{} or table", first.kind), table, short: true, example, ..first }
                }
                _ => first,
            };
        }
        if let Some(words) = enumeration(schema) {
            let kind = words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(" or ");
            return text(kind, &format!("\"{}\"", words[0]));
        }
        if let Some(kind) = schema["x-type"].as_str() {
            return text(kind.to_owned(), example_of(kind));
        }
        let types = match &schema["type"] {
            Value::String(one) => vec![one.as_str()],
            many => strings(many),
        };
        match types.iter().find(|kind| **kind != "null").copied() {
            Some("array") => {
                let item = self.shape(&schema["items"]);
                let kind = if item.kind.is_empty() { String::new() } else { format!("list of {}s", item.kind) };
                let example = format!("[{}]", item.example);
                Shape { kind, list: true, example, ..item }
            }
            Some("object") => {
                let item = self.shape(&schema["additionalProperties"]);
                let kind =
                    if item.kind.is_empty() { String::new() } else { format!("table of {}s by name", item.kind) };
                let example = format!("{{ name = {} }}", item.example);
                Shape { kind, named: true, example, ..item }
            }
            Some("boolean") => text("true or false".to_owned(), "true"),
            Some("integer") => text("number".to_owned(), "1"),
            Some(other) => text(other.to_owned(), "\"…\""),
            None => text("anything".to_owned(), "\"…\""),
        }
    }

    fn section(&self, table: &Table, out: &mut String) {
        let level = "#".repeat((table.depth() + 1).clamp(2, 4));
        let _ = write!(out, "\n{level} `{}`\n\n{}\n\n", table.header(), table.meaning);
        out.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
        for key in &table.keys {
            let link = key
                .table
                .as_ref()
                .and_then(|kind| self.described.get(kind))
                .map(|anchor| format!("[table](#{anchor})"));
            let kind = match (link, key.kind.as_str()) {
                (Some(link), "") => link,
                (Some(link), kind) => {
                    kind.replace("list of tables", &format!("list of {link}s")).replace("table", &link)
                }
                (None, kind) => kind.to_owned(),
            };
            let default = match (&key.default, key.required) {
                (_, true) => "required".to_owned(),
                (Some(default), false) => format!("`{default}`"),
                (None, false) => "–".to_owned(),
            };
            let meaning = key.meaning.replace('\n', " ").replace('|', "\\|");
            let _ = writeln!(out, "| `{}` | {kind} | {default} | {meaning} |", key.name);
        }
    }
}

fn key_facts(name: &str, property: &Value, shape: &Shape, required: &[&str]) -> KeyFacts {
    let default = match (&property["x-default"], &property["default"]) {
        (Value::Null, default) => default,
        (default, _) => default,
    };
    let required = required.contains(&name);
    let is_table = shape.table.is_some() && !shape.short;
    let default = if is_table || holds_null(default) { None } else { inline(default) };
    // Counts are declared as texts beside the other limits, and written as numbers.
    let number = |text: &String| text.trim_matches('"').parse::<u64>().is_ok() && shape.kind.starts_with("count");
    let default = default.map(|text| if number(&text) { text.trim_matches('"').to_owned() } else { text });
    let mut meaning = property["description"].as_str().unwrap_or("").to_owned();
    for option in property["oneOf"].as_array().into_iter().flatten() {
        if let (Some(word), Some(about)) = (option["const"].as_str(), option["description"].as_str()) {
            let _ = write!(meaning, "\n`\"{word}\"`: {about}");
        }
    }
    let example = (!is_table && (required || default.is_none())).then(|| shape.example.clone());
    KeyFacts {
        name: name.to_owned(),
        kind: shape.kind.clone(),
        default,
        required,
        meaning,
        table: shape.table.clone(),
        example,
    }
}

/// A value as inline TOML.
fn inline(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Object(entries) if entries.is_empty() => Some("{}".to_owned()),
        Value::Object(_) => None,
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(inline).collect();
            Some(format!("[{}]", items?.join(", ")))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value.to_string()),
    }
}

fn enumeration(schema: &Value) -> Option<Vec<&str>> {
    let options = schema["oneOf"].as_array();
    let consts = options.map(|options| options.iter().filter_map(|option| option["const"].as_str()).collect());
    let plain = schema["enum"].as_array().map(|words| words.iter().filter_map(Value::as_str).collect());
    consts.or(plain).filter(|words: &Vec<&str>| !words.is_empty())
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn example_of(kind: &str) -> &'static str {
    match kind.trim_end_matches(" or \"off\"") {
        "duration" => "\"30s\"",
        "size" => "\"1MiB\"",
        "count" | "per cent" => "10",
        "share" => "\"1%\"",
        "rate" => "\"100/s\"",
        "period" => "\"day\"",
        "address" => "\"127.0.0.1:8080\"",
        "port or \"listener\"" => "8443",
        "network" => "\"10.0.0.0/8\"",
        "statuses" => "\"2xx\"",
        "file mode" => "\"0660\"",
        "moment" => "\"2027-01-31\"",
        _ => "\"…\"",
    }
}

/// Stands for the name that a user gives.
const NAME: &str = "NAME";
const INTRODUCTION: &str = include_str!("reference/introduction.md");
const PRECEDENCE: &str = include_str!("reference/precedence.md");
const VARIABLES: &str = include_str!("reference/variables.md");
const FULL_HEAD: &str =
    "# Every key with its default, or an example where it has none. Made from the source; see docs/config.md.
# Nothing here is active: take the lines that you need and remove their `#`.
";

mod pages;

#[cfg(test)]
mod tests;
