// SPDX-License-Identifier: Apache-2.0
//! `MEMBER=VALUE` of the command line as members of a JSON object.
//!
//! What a value is follows from the member: lists are split at commas, numbers and truths are read as such, limits are
//! written `100/minute`, everything else is a text. `MEMBER:=JSON` says it exactly, and `NAME.KEY=VALUE` sets one
//! member of an object.

use serde_json::{Map, Value, json};

/// Members that are lists of texts.
const LISTS: [&str; 6] = ["groups", "products", "routes", "methods", "paths", "models"];
/// Members that are lists of amounts in a time.
const ALLOWANCES: [&str; 2] = ["limits", "tokens"];
/// Members that are numbers or truths.
const PLAIN: [&str; 3] = ["suspended", "concurrency", "priority"];

/// The object that all of these make.
pub(super) fn object(members: &[String]) -> Result<Value, String> {
    let mut object = Map::new();
    for member in members {
        let (path, value) = parse(member)?;
        insert(&mut object, &path, value).map_err(|reason| format!("`{member}`: {reason}"))?;
    }
    Ok(Value::Object(object))
}

fn parse(member: &str) -> Result<(Vec<String>, Value), String> {
    let (name, value) = member.split_once('=').ok_or_else(|| format!("`{member}` is not MEMBER=VALUE"))?;
    let (name, exact) = name.strip_suffix(':').map_or((name, false), |name| (name, true));
    // Only the first dot divides: what stands behind it is a name of the user's own, such as that of a product.
    let path: Vec<String> = name.splitn(2, '.').map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        return Err(format!("`{member}` is not MEMBER=VALUE"));
    }
    let value = match exact {
        true => serde_json::from_str(value).map_err(|error| format!("`{member}`: not JSON: {error}"))?,
        false => value_of(&path, value).map_err(|reason| format!("`{member}`: {reason}"))?,
    };
    Ok((path, value))
}

fn value_of(path: &[String], text: &str) -> Result<Value, String> {
    let [name] = path else { return Ok(text.into()) };
    let items = || text.split(',').map(str::trim).filter(|item| !item.is_empty());
    if LISTS.contains(&name.as_str()) {
        return Ok(items().collect());
    }
    if ALLOWANCES.contains(&name.as_str()) {
        let allowance = |item: &str| {
            let (count, per) = item.split_once('/').ok_or("an amount is written COUNT/TIME, such as 100/minute")?;
            let count: u64 = count.parse().map_err(|_| "an amount begins with a number")?;
            Ok(json!({ "count": count, "per": per }))
        };
        return items().map(allowance).collect::<Result<Value, String>>();
    }
    if PLAIN.contains(&name.as_str()) {
        return serde_json::from_str(text).map_err(|_| "this is true, false or a number".to_owned());
    }
    Ok(text.into())
}

fn insert(object: &mut Map<String, Value>, path: &[String], value: Value) -> Result<(), String> {
    match path {
        [] => Ok(()),
        [name] => match object.insert(name.clone(), value) {
            None => Ok(()),
            Some(_) => Err(format!("`{name}` stands twice")),
        },
        [name, rest @ ..] => match object.entry(name.clone()).or_insert_with(|| json!({})) {
            Value::Object(inner) => insert(inner, rest, value),
            _ => Err(format!("`{name}` stands twice")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(members: &[&str]) -> Result<Value, String> {
        object(&members.iter().map(|member| (*member).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn values_are_what_their_members_are() {
        let read = read(&[
            "tenant=acme",
            "groups=gold, beta",
            "suspended=true",
            "limits=100/minute,5/10s",
            "attributes.region=eu",
            "attributes.a.b=1",
            "plan:=null",
            "description=1",
            "id==x",
        ]);
        let expected = json!({
            "tenant": "acme", "groups": ["gold", "beta"], "suspended": true,
            "limits": [{ "count": 100, "per": "minute" }, { "count": 5, "per": "10s" }],
            "attributes": { "region": "eu", "a.b": "1" }, "plan": null, "description": "1", "id": "=x",
        });
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn what_is_no_member_is_named() {
        for wrong in [
            &["tenant"][..],
            &["=x"],
            &[".a=x"],
            &["a.=x"],
            &["plan:=x"],
            &["suspended=perhaps"],
            &["limits=5"],
            &["limits=x/minute"],
            &["tenant=a", "tenant=b"],
            &["plans=a", "plans.b=c"],
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
