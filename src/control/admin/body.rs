// SPDX-License-Identifier: Apache-2.0
//! Bodies of requests: read under a cap and a deadline, and parsed strictly.
//!
//! Readers of JSON differ about which of two members of one name counts, so such a body is refused. So is a member that
//! nobody knows: it is a mistyped one that would be ignored.

use std::fmt;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use serde_path_to_error::Segment;

use crate::base::Wall;
use crate::base::date::rfc3339;
use crate::control::admin::problem::{BodyFault, Problem, Reason};
use crate::control::admin::router::Takes;

/// Largest body.
pub(crate) const BODY_BYTES_MAX: usize = 256 * 1024;
/// Longest wait for one.
const BODY_WAIT: Duration = Duration::from_secs(10);

/// Reads a body to its end.
pub(crate) async fn read<B: Body>(body: B) -> Result<Bytes, Problem>
where
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_large = || Problem::new(Reason::TooLarge, format!("the body has more than {BODY_BYTES_MAX} bytes"));
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let collected = tokio::time::timeout(BODY_WAIT, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(Reason::BadJson, "the body broke off")),
        Err(_) => Err(Problem::new(Reason::TooSlow, "the body was not there within ten seconds")),
    }
}

/// Parses what a route takes; `None` where that is nothing.
pub(crate) fn parse(takes: &Takes, fields: &HeaderMap, bytes: &[u8]) -> Result<Option<Value>, Problem> {
    let types: &[&str] = match takes {
        Takes::Nothing if bytes.is_empty() => return Ok(None),
        Takes::Nothing => return Err(Problem::new(Reason::BodyNotExpected, "no body is taken here")),
        Takes::Json(_) => &["application/json"],
        Takes::Patch => &["application/merge-patch+json", "application/json"],
    };
    if !is_one_of(types, fields) {
        let detail = format!("`Content-Type` must be {}", types.join(" or "));
        let name = match takes {
            Takes::Patch => HeaderName::from_static("accept-patch"),
            Takes::Json(_) | Takes::Nothing => ACCEPT,
        };
        return Err(Problem::new(Reason::UnsupportedMediaType, detail).field(name, HeaderValue::from_static(types[0])));
    }
    let strict: Result<Strict, _> = serde_json::from_slice(bytes);
    strict.map(|strict| Some(strict.0)).map_err(|error| Problem::new(Reason::BadJson, error.to_string()))
}

/// Is the body declared as one of these types, once, and in UTF-8?
fn is_one_of(types: &[&str], fields: &HeaderMap) -> bool {
    let mut values = fields.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    let parameters = parameters.trim().replace('"', "");
    let utf8 = parameters.is_empty() || parameters.eq_ignore_ascii_case("charset=utf-8");
    utf8 && types.iter().any(|known| essence.trim().eq_ignore_ascii_case(known))
}

/// Makes a `T` of a body; says where it is wrong.
pub(crate) fn decode<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let mut pointer = String::new();
        for segment in error.path() {
            let name = match segment {
                Segment::Seq { index } => index.to_string(),
                Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
                // Neither is a member of the document.
                Segment::Enum { .. } | Segment::Unknown => continue,
            };
            pointer.push('/');
            pointer.push_str(&name);
        }
        Problem::invalid(Reason::Invalid, vec![BodyFault::at(pointer, error.inner().to_string())])
    })
}

/// A document as JSON. Ours have text for names, so this does not fail.
pub(crate) fn encode(document: &impl Serialize) -> Value {
    serde_json::to_value(document).unwrap_or_default()
}

/// Seconds since 1970 as a text (RFC 3339), or `null`.
pub(crate) fn moment(seconds: Option<u64>) -> Value {
    let Some(seconds) = seconds else { return Value::Null };
    let text = rfc3339(Wall(seconds.saturating_mul(1_000_000)));
    // Whole seconds: what stands behind the point is zero.
    let text = String::from_utf8_lossy(&text).into_owned();
    format!("{}Z", text.split_once('.').map_or(text.as_str(), |(seconds, _)| seconds)).into()
}

/// A JSON value in which no member stands twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    // tidy(bool): serde's own.
    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Number::from_f64(number).map(Value::Number).ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("`{name}` stands twice in an object")));
            }
            let Strict(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;
    use crate::control::admin::router::schema_of;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Thing {
        name: String,
        #[serde(default)]
        parts: Vec<Part>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Part {
        size: u8,
    }

    fn pointer(json: &str) -> String {
        let problem = decode::<Thing>(serde_json::from_str(json).expect("JSON")).expect_err(json);
        problem.members["errors"][0]["pointer"].as_str().expect("a text").to_owned()
    }

    #[test]
    fn a_fault_is_named_by_its_pointer() {
        for (json, expected) in [
            (r#"{"name": 1}"#, "/name"),
            (r#"{"name": "a", "parts": [{"size": 1}, {"size": 256}]}"#, "/parts/1/size"),
            (r#"{"name": "a", "parts": [{"size": 1, "colour/": 2}]}"#, "/parts/0/colour~1"),
            (r#"{}"#, ""),
            (r#"[]"#, ""),
        ] {
            assert_eq!(pointer(json), expected, "{json}");
        }
        let thing = decode::<Thing>(serde_json::json!({ "name": "a", "parts": [{ "size": 3 }] }));
        assert_eq!(thing.expect("good"), Thing { name: "a".into(), parts: vec![Part { size: 3 }] });
    }

    #[test]
    fn only_strict_json_is_taken() {
        let json: HeaderMap = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))].into_iter().collect();
        let takes = Takes::Json(schema_of::<bool>);
        for wrong in ["", "{", "{\"a\":1,\"a\":2}", "{\"b\":[{\"a\":1,\"a\":1}]}", "{}x", "\u{feff}{}", "nan", "1e999"]
        {
            assert_eq!(parse(&takes, &json, wrong.as_bytes()).expect_err(wrong).reason, Reason::BadJson);
        }
        assert!(parse(&takes, &json, &[b'"', 0xff, b'"']).is_err());
        assert!(parse(&takes, &json, "[".repeat(100_000).as_bytes()).is_err());
        assert_eq!(
            parse(&takes, &json, b"{\"a\":[1,-1,1.5,null,true,\"x\"]}").expect("good").expect("there")["a"][1],
            -1
        );
        assert_eq!(parse(&Takes::Nothing, &json, b"x").expect_err("a body").reason, Reason::BodyNotExpected);
        assert!(parse(&Takes::Nothing, &json, b"").expect("none").is_none());
    }

    #[test]
    fn only_json_types_are_taken() {
        let fits = |values: &[&str]| {
            let fields = values.iter().map(|value| (CONTENT_TYPE, HeaderValue::from_str(value).expect("a value")));
            is_one_of(&["application/json"], &fields.collect())
        };
        assert!(fits(&["application/json"]) && fits(&["Application/JSON; charset=\"UTF-8\""]));
        for wrong in [
            &[][..],
            &["text/plain"],
            &["application/x-www-form-urlencoded"],
            &["multipart/form-data; boundary=x"],
            &["application/json; charset=utf-16"],
            &["application/json", "text/plain"],
            &["text/plain; application/json"],
        ] {
            assert!(!fits(wrong), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn a_body_has_an_end() {
        let body = |length| Full::new(Bytes::from(vec![b' '; length]));
        assert_eq!(read(body(BODY_BYTES_MAX)).await.expect("read").len(), BODY_BYTES_MAX);
        assert_eq!(read(body(BODY_BYTES_MAX + 1)).await.expect_err("too large").reason, Reason::TooLarge);
    }
}
