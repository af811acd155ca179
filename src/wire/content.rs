// SPDX-License-Identifier: Apache-2.0
//! What a body says at single places: JSON members, form fields, XML elements. For routing.
//!
//! It is strict, because the origin reads the body again: a member that stands twice, a form that is not encoded as
//! forms are, and a document type are refused, and never read in one of several ways.

use std::fmt;

use crate::wire::form;
use crate::wire::grpc::json::Json;
use crate::wire::inspect::{Bounds, XmlScanner};

/// How deep an XML document may be; a deeper one is malformed. Everything else is bounded by the body's own length.
/// JSON has the same depth, by `serde_json`.
const BOUNDS: Bounds = Bounds {
    depth: 128,
    members: u32::MAX,
    items: u32::MAX,
    values: u32::MAX,
    name_bytes: u32::MAX,
    text_bytes: u32::MAX,
    number_bytes: u32::MAX,
};

/// A place in a body.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BodyPlace {
    /// A JSON pointer (RFC 6901), as it is written.
    Json(Box<str>),
    /// A field of a form.
    Form(Box<str>),
    /// A path of XML elements from the root, by their local names: `/Envelope/Body/Order`.
    Xml(Box<str>),
}

/// What a body is, by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyType {
    /// `application/json`, `…+json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/xml`, `text/xml`, `…+xml`.
    Xml,
}

impl BodyType {
    /// By the value of `Content-Type`; `None` for any other type.
    pub(crate) fn of(value: &[u8]) -> Option<BodyType> {
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        match &essence[..] {
            b"application/json" => Some(BodyType::Json),
            b"application/x-www-form-urlencoded" => Some(BodyType::Form),
            b"application/xml" | b"text/xml" => Some(BodyType::Xml),
            other if other.ends_with(b"+json") => Some(BodyType::Json),
            other if other.ends_with(b"+xml") => Some(BodyType::Xml),
            _ => None,
        }
    }
}

/// A body that was read.
#[derive(Debug)]
pub struct Content(Form);

#[derive(Debug)]
enum Form {
    Json(Json),
    /// Names and values, decoded.
    Fields(Vec<(Vec<u8>, Vec<u8>)>),
    /// The text of elements, by their paths.
    Elements(Vec<(String, String)>),
}

/// The body is not what its type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Content {
    /// Reads a whole body.
    pub(crate) fn read(kind: BodyType, body: &[u8]) -> Result<Content, Malformed> {
        let form = match kind {
            BodyType::Json => serde_json::from_slice(body).map(Form::Json).map_err(|_| Malformed)?,
            BodyType::Form => Form::Fields(form::pairs(body).collect::<Option<_>>().ok_or(Malformed)?),
            BodyType::Xml => Form::Elements(elements(body)?),
        };
        Ok(Content(form))
    }

    /// Calls `look` with each value at a place, until it says false: then that is the result. What is not there has no
    /// value; JSON objects and arrays have an empty one.
    pub(crate) fn each(&self, place: &BodyPlace, mut look: impl FnMut(&[u8]) -> bool) -> bool {
        match (&self.0, place) {
            (Form::Json(root), BodyPlace::Json(pointer)) => match pointed(root, pointer) {
                None => true,
                Some(Json::Null) => look(b"null"),
                Some(Json::Bool(truth)) => look(if *truth { b"true" } else { b"false" }),
                Some(Json::Number(number)) => look(number.to_string().as_bytes()),
                Some(Json::Text(text)) => look(text.as_bytes()),
                Some(Json::List(_) | Json::Object(_)) => look(b""),
            },
            (Form::Fields(fields), BodyPlace::Form(name)) => {
                fields.iter().filter(|(known, _)| known == name.as_bytes()).all(|(_, value)| look(value))
            }
            (Form::Elements(elements), BodyPlace::Xml(path)) => {
                elements.iter().filter(|(known, _)| **known == **path).all(|(_, text)| look(text.as_bytes()))
            }
            (Form::Json(_) | Form::Fields(_) | Form::Elements(_), _) => true,
        }
    }

    /// Is it of the type in which the place is?
    pub(crate) fn has(&self, place: &BodyPlace) -> bool {
        matches!(
            (&self.0, place),
            (Form::Json(_), BodyPlace::Json(_))
                | (Form::Fields(_), BodyPlace::Form(_))
                | (Form::Elements(_), BodyPlace::Xml(_))
        )
    }
}

/// The value at a JSON pointer (RFC 6901).
fn pointed<'j>(root: &'j Json, pointer: &str) -> Option<&'j Json> {
    let mut at = root;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        at = match at {
            Json::Object(members) => members.get(&token)?,
            // An index has no leading zeros and no sign (RFC 6901 section 4).
            Json::List(items) if token == "0" || token.starts_with(|first: char| matches!(first, '1'..='9')) => {
                items.get(token.parse::<usize>().ok()?)?
            }
            Json::List(_) | Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => {
                return None;
            }
        };
    }
    Some(at)
}

/// The texts of elements that are open or were, by path.
#[derive(Default)]
struct Elements {
    found: Vec<(String, String)>,
    open: Vec<usize>,
    path: String,
}

impl Elements {
    fn begin(&mut self, tag: &str) {
        let name = tag.split([' ', '\t', '\r', '\n', '/']).next().unwrap_or_default();
        self.path.push('/');
        self.path.push_str(name.rsplit(':').next().unwrap_or(name));
        self.open.push(self.found.len());
        self.found.push((self.path.clone(), String::new()));
    }

    fn end(&mut self) {
        self.open.pop();
        self.path.truncate(self.path.rfind('/').unwrap_or(0));
    }

    fn text(&mut self) -> Option<&mut String> {
        self.open.last().map(|at| &mut self.found[*at].1)
    }
}

/// The texts of elements, by path. A scanner has found the document well formed and without a document type first, so
/// that tags are found by their brackets.
fn elements(body: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
    let mut scanner = XmlScanner::new(BOUNDS);
    scanner.push(body).and_then(|()| scanner.finish()).map_err(|_| Malformed)?;
    let mut rest = std::str::from_utf8(body).map_err(|_| Malformed)?;
    let mut elements = Elements::default();
    while let Some((text, tag)) = rest.find('<').map(|at| rest.split_at(at)) {
        if let Some(out) = elements.text() {
            unescaped(text, out)?;
        }
        if let Some(behind) = tag.strip_prefix("<!--") {
            rest = behind.split_once("-->").ok_or(Malformed)?.1;
        } else if let Some(behind) = tag.strip_prefix("<![CDATA[") {
            let (plain, behind) = behind.split_once("]]>").ok_or(Malformed)?;
            elements.text().into_iter().for_each(|out| out.push_str(plain));
            rest = behind;
        } else if let Some(behind) = tag.strip_prefix("<?") {
            rest = behind.split_once("?>").ok_or(Malformed)?.1;
        } else {
            let end = tag_end(tag).ok_or(Malformed)?;
            let inside = tag.get(1..end).ok_or(Malformed)?;
            rest = &tag[end + 1..];
            let closes = inside.starts_with('/');
            if !closes {
                elements.begin(inside);
            }
            if closes || inside.ends_with('/') {
                elements.end();
            }
        }
    }
    Ok(elements.found)
}

/// Where a tag's `>` is: not inside of an attribute's quotation marks.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quote = None;
    tag.bytes().position(|byte| {
        match quote {
            None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
            None => return byte == b'>',
            Some(open) if open == byte => quote = None,
            Some(_) => {}
        }
        false
    })
}

/// Appends text with its references replaced (XML 1.0 section 4.6). Without a document type there are no others.
fn unescaped(text: &str, out: &mut String) -> Result<(), Malformed> {
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        out.push_str(before);
        let (name, behind) = behind.split_once(';').ok_or(Malformed)?;
        out.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = name.strip_prefix('#').ok_or(Malformed)?;
                let code = match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => number.parse(),
                };
                code.ok().and_then(char::from_u32).ok_or(Malformed)?
            }
        });
        rest = behind;
    }
    out.push_str(rest);
    Ok(())
}

impl fmt::Display for BodyPlace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyPlace::Json(pointer) => write!(out, "JSON member `{pointer}`"),
            BodyPlace::Form(name) => write!(out, "form field `{name}`"),
            BodyPlace::Xml(path) => write!(out, "XML element `{path}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(kind: BodyType, body: &str, place: &BodyPlace) -> Result<Vec<String>, Malformed> {
        let mut found = Vec::new();
        Content::read(kind, body.as_bytes())?.each(place, |value| {
            found.push(String::from_utf8_lossy(value).into_owned());
            true
        });
        Ok(found)
    }

    #[test]
    fn json_pointers_find_what_they_name() {
        let body = r#"{"type":"order","a":{"b/c":[1,{"~":true}],"":null},"big":{},"s":"1"}"#;
        for (pointer, expected) in [
            ("/type", &["order"][..]),
            ("/a/b~1c/0", &["1"]),
            ("/a/b~1c/1/~0", &["true"]),
            ("/a/", &["null"]),
            ("/big", &[""]),
            ("/a/b~1c/00", &[]),
            ("/a/b~1c/-", &[]),
            ("/a/b~1c/+0", &[]),
            ("/type/x", &[]),
            ("/none", &[]),
        ] {
            let found = values(BodyType::Json, body, &BodyPlace::Json(pointer.into())).unwrap();
            assert_eq!(found, expected, "{pointer}");
        }
    }

    #[test]
    fn every_field_and_element_of_a_name_is_looked_at() {
        let form = |body| values(BodyType::Form, body, &BodyPlace::Form("a b".into()));
        assert_eq!(form("a+b=1&c=2&a%20b=%c3%a9+x&a+b").unwrap(), ["1", "é x", ""]);
        assert_eq!(form("A+B=1&&=").unwrap(), Vec::<String>::new());
        let xml = |body| values(BodyType::Xml, body, &BodyPlace::Xml("/Envelope/Body/Order".into()));
        let body = "<?xml version='1.0'?><!-- <a> --><s:Envelope xmlns:s='u' a='>'><s:Body><Order>1 &lt;&#65;&#x42;\
                    <x>no</x><![CDATA[<2>]]></Order><Order/></s:Body><Order>other</Order></s:Envelope>";
        assert_eq!(xml(body).unwrap(), ["1 <AB<2>", ""]);
    }

    /// Bodies that readers understand in different ways, or not at all.
    const MALFORMED: &[(BodyType, &str)] = &[
        (BodyType::Json, ""),
        (BodyType::Json, "{\"a\":1,\"a\":2}"),
        (BodyType::Json, "{\"a\":1,\"\\u0061\":2}"),
        (BodyType::Json, "{\"a\":1} {}"),
        (BodyType::Json, "\u{feff}{}"),
        (BodyType::Json, "{'a':1}"),
        (BodyType::Form, "a=%"),
        (BodyType::Form, "a=%4"),
        (BodyType::Form, "a=%zz"),
        (BodyType::Form, "%u0061=1"),
        (BodyType::Xml, ""),
        (BodyType::Xml, "<a>"),
        (BodyType::Xml, "<a></b>"),
        (BodyType::Xml, "<a/><b/>"),
        (BodyType::Xml, "<!DOCTYPE a><a/>"),
        (BodyType::Xml, "<a>&x;</a>"),
    ];

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (kind, body) in MALFORMED {
            assert!(Content::read(*kind, body.as_bytes()).is_err(), "{kind:?} {body:?}");
        }
        let deep = format!("{}{}", "<a>".repeat(200), "</a>".repeat(200));
        assert!(Content::read(BodyType::Xml, deep.as_bytes()).is_err());
        assert!(Content::read(BodyType::Json, "[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn types_are_told_by_their_essence() {
        for (value, kind) in [
            ("application/json", Some(BodyType::Json)),
            ("Application/Problem+JSON; charset=utf-8", Some(BodyType::Json)),
            ("text/xml;charset=utf-8", Some(BodyType::Xml)),
            ("application/soap+xml", Some(BodyType::Xml)),
            ("application/x-www-form-urlencoded", Some(BodyType::Form)),
            ("text/plain", None),
            ("text/json", None),
            ("", None),
        ] {
            assert_eq!(BodyType::of(value.as_bytes()), kind, "{value}");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            for kind in [BodyType::Json, BodyType::Form, BodyType::Xml] {
                let _ = Content::read(kind, &body);
            }
        }

        #[test]
        fn xml_of_brackets_never_panics(body in "[<>/a!\\[\\]\\-?&;'\"= CDAT]{0,60}") {
            let _ = Content::read(BodyType::Xml, body.as_bytes());
        }

        #[test]
        fn forms_are_read_as_they_were_written(pairs in prop::collection::vec(("[ -~é]{1,8}", "[ -~é]{0,8}"), 0..5)) {
            let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
            let body: Vec<String> =
                pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
            let written: Vec<(Vec<u8>, Vec<u8>)> =
                pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
            prop_assert_eq!(form::pairs(body.join("&").as_bytes()).collect::<Option<Vec<_>>>(), Some(written));
        }
    }
}
