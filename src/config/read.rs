// SPDX-License-Identifier: Apache-2.0
//! A serde deserializer from a tree to a `Spec` that knows source locations and reports every error.
//!
//! Serde stops at the first wrong value. So the tree is read repeatedly: each round reports a wrong value and removes
//! it, until the rest can be read. An unknown key is reported without stopping. A table with a missing key is removed
//! as a whole, after everything else in it was checked.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};

use crate::config::habits;
use crate::config::location::{Location, PLACED};
use crate::config::report::{Faults, REPORTS_MAX, Report};
use crate::config::tree::{Key, Node, NodeKind};

/// Tells the reader to give a list as a sequence and any other value as a newtype.
pub(crate) const ONE_OR_MANY: &str = "$turnpike::OneOrMany";
/// Tells the reader to give a table as a newtype and any other value as it is.
pub(crate) const SHORT_OR_TABLE: &str = "$turnpike::ShortOrTable";

/// Reads a `T` from the tree. `None` where the rest of the tree is not one.
pub(crate) fn read<'n, T: Deserialize<'n>>(root: &'n Node, faults: &mut Faults) -> Option<T> {
    let state = State { faults: RefCell::new(faults), cut: RefCell::default() };
    // Each round removes one node, so this ends; it also stops at the cap of reports.
    for _ in 0..=REPORTS_MAX {
        let error = match T::deserialize(Reader { node: root, state: &state }) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let at = error.at?;
        if let Some(report) = state.report(&error.kind, at) {
            state.faults.borrow_mut().push(report);
        }
        if std::ptr::eq(at.node, root) {
            return None;
        }
        state.cut.borrow_mut().insert(at.node);
    }
    None
}

struct State<'f> {
    faults: RefCell<&'f mut Faults>,
    cut: RefCell<HashSet<*const Node>>,
}

impl State<'_> {
    fn is_cut(&self, node: &Node) -> bool {
        self.cut.borrow().contains(&std::ptr::from_ref(node))
    }

    /// The report for an error; `None` where it only follows from another one.
    fn report(&self, kind: &ErrorKind, at: At<'_>) -> Option<Report> {
        Some(match kind {
            // The reason and a proposal would show a part of the value.
            ErrorKind::Custom(words) if at.node.filled => {
                let title = words.lines().next().unwrap_or_default();
                Report::error(at.location, title).label("what stands for this is something else")
            }
            ErrorKind::Custom(words) => {
                // Our own scalars write what they expect on the first line and the reason on the second.
                let (title, label) = words.split_once('\n').unwrap_or((words, ""));
                Report::error(at.location, title).label(label)
            }
            ErrorKind::Type(expected) => {
                let (wanted, found) = (plain_words(expected), at.node.kind_name());
                let report = Report::error(at.location, format!("expected {wanted}, found {found}"));
                match (&*wanted, found) {
                    ("a list", "a table") => {
                        report.help("a list of tables is written `[[NAME]]`, once for each of them")
                    }
                    _ => report,
                }
            }
            ErrorKind::Value(expected) => Report::error(at.location, format!("expected {}", plain_words(expected))),
            ErrorKind::Variant(found, known) => Report::error(at.location, format!("`{found}` is not allowed here"))
                .suggest(found, known.iter().copied()),
            ErrorKind::Field(key, known) => unknown_key(at.location, key, known),
            ErrorKind::Missing(key) => {
                if at.node.child(key).is_some_and(|node| self.is_cut(node)) {
                    return None;
                }
                Report::error(at.location, format!("`{key}` is missing")).label(format!("needs `{key}`"))
            }
        })
    }
}

fn unknown_key(location: Location, key: &str, known: &[&str]) -> Report {
    let report = Report::error(location, format!("unknown key `{key}`"));
    match habits::absent_feature(key) {
        Some(words) => report.label(words),
        None => report.suggest(key, known.iter().copied()),
    }
}

/// What serde's own visitors expect, in the words of a person who writes TOML.
fn plain_words(expected: &str) -> String {
    let most = match expected {
        "u8" => u8::MAX.into(),
        "u16" => u16::MAX.into(),
        "u32" => u32::MAX.into(),
        "u64" | "usize" => i64::MAX as u64,
        "a boolean" => return "true or false".to_owned(),
        "a sequence" => return "a list".to_owned(),
        "a map" => return "a table".to_owned(),
        "f64" => return "a number".to_owned(),
        other if other.starts_with("struct ") => return "a table".to_owned(),
        other => return other.to_owned(),
    };
    format!("a whole number from 0 to {most}")
}

/// The position of an error: the node to remove, and the location to show.
#[derive(Clone, Copy, Debug)]
struct At<'n> {
    node: &'n Node,
    location: Location,
}

#[derive(Debug)]
struct ReadError<'n> {
    kind: ErrorKind,
    at: Option<At<'n>>,
}

#[derive(Debug)]
enum ErrorKind {
    /// The value's own words.
    Custom(String),
    /// Another type was expected.
    Type(String),
    /// The type is right, the value is not.
    Value(String),
    /// One of these words was expected.
    Variant(String, &'static [&'static str]),
    /// One of these keys was expected.
    Field(String, &'static [&'static str]),
    /// This key is needed.
    Missing(&'static str),
}

impl From<ErrorKind> for ReadError<'_> {
    fn from(kind: ErrorKind) -> Self {
        ReadError { kind, at: None }
    }
}

impl<'n> ReadError<'n> {
    /// Says where, unless that is known more closely.
    fn at(mut self, node: &'n Node, location: Location) -> ReadError<'n> {
        self.at.get_or_insert(At { node, location });
        self
    }
}

impl fmt::Display for ReadError<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.kind)
    }
}

impl std::error::Error for ReadError<'_> {}

impl de::Error for ReadError<'_> {
    fn custom<T: fmt::Display>(words: T) -> Self {
        ErrorKind::Custom(words.to_string()).into()
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        ErrorKind::Type(expected.to_string()).into()
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        ErrorKind::Value(expected.to_string()).into()
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        ErrorKind::Variant(variant.to_owned(), expected).into()
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        ErrorKind::Field(field.to_owned(), expected).into()
    }

    fn missing_field(field: &'static str) -> Self {
        ErrorKind::Missing(field).into()
    }
}

/// One node, ready to be asked what it is.
#[derive(Clone, Copy)]
struct Reader<'n, 's, 'f> {
    node: &'n Node,
    state: &'s State<'f>,
}

impl<'n, 's, 'f> Reader<'n, 's, 'f> {
    fn any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, ReadError<'n>> {
        let node = self.node;
        let answer = match &node.kind {
            NodeKind::Text(text) => visitor.visit_borrowed_str(text),
            NodeKind::Integer(number) => visitor.visit_i64(*number),
            NodeKind::Float(number) => visitor.visit_f64(*number),
            NodeKind::Boolean(truth) => visitor.visit_bool(*truth),
            NodeKind::Datetime => Err(de::Error::invalid_type(Unexpected::Other("date"), &visitor)),
            NodeKind::Array(items) => visitor.visit_seq(ListAccess { rest: items.iter(), state: self.state }),
            NodeKind::Table(entries) => visitor.visit_map(self.entries(entries, None)),
        };
        answer.map_err(|error: ReadError<'n>| error.at(node, node.location))
    }

    /// A number or a boolean. A text that came from a variable may hold one too.
    fn scalar<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, ReadError<'n>> {
        let node = self.node;
        let answer = match &node.kind {
            NodeKind::Text(text) if node.filled => match (text.parse::<i64>(), text.parse::<bool>()) {
                (Ok(number), _) => visitor.visit_i64(number),
                (_, Ok(truth)) => visitor.visit_bool(truth),
                (Err(_), Err(_)) => return self.any(visitor),
            },
            NodeKind::Text(_)
            | NodeKind::Integer(_)
            | NodeKind::Float(_)
            | NodeKind::Boolean(_)
            | NodeKind::Datetime
            | NodeKind::Array(_)
            | NodeKind::Table(_) => return self.any(visitor),
        };
        answer.map_err(|error: ReadError<'n>| error.at(node, node.location))
    }

    fn entries(self, entries: &'n [(Key, Node)], fields: Option<&'static [&'static str]>) -> TableAccess<'n, 's, 'f> {
        TableAccess { rest: entries.iter(), fields, value: None, state: self.state }
    }
}

macro_rules! forward {
    ($how:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, ReadError<'n>> {
            self.$how(visitor)
        })*
    };
}

impl<'n> Deserializer<'n> for Reader<'n, '_, '_> {
    type Error = ReadError<'n>;

    forward! { any: deserialize_any deserialize_char deserialize_str deserialize_string deserialize_bytes
    deserialize_byte_buf deserialize_unit deserialize_seq deserialize_map deserialize_identifier
    deserialize_ignored_any }
    forward! { scalar: deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8
    deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 }

    fn deserialize_option<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, ReadError<'n>> {
        visitor.visit_some(self)
    }

    fn deserialize_unit_struct<V: Visitor<'n>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError<'n>> {
        self.any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'n>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError<'n>> {
        let itself = match name {
            ONE_OR_MANY => !matches!(self.node.kind, NodeKind::Array(_)),
            SHORT_OR_TABLE => matches!(self.node.kind, NodeKind::Table(_)),
            _ => true,
        };
        if !itself {
            return self.any(visitor);
        }
        visitor.visit_newtype_struct(self).map_err(|error| error.at(self.node, self.node.location))
    }

    fn deserialize_tuple<V: Visitor<'n>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError<'n>> {
        self.any(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'n>>(
        self,
        name: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError<'n>> {
        if name != PLACED {
            return self.any(visitor);
        }
        let location = self.node.location;
        visitor
            .visit_seq(PlacedAccess { location: Some(location), value: self })
            .map_err(|error| error.at(self.node, location))
    }

    fn deserialize_struct<V: Visitor<'n>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError<'n>> {
        let NodeKind::Table(entries) = &self.node.kind else { return self.any(visitor) };
        let answer = visitor.visit_map(self.entries(entries, Some(fields)));
        answer.map_err(|error| error.at(self.node, self.node.location))
    }

    fn deserialize_enum<V: Visitor<'n>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError<'n>> {
        let answer = match &self.node.kind {
            NodeKind::Text(text) => visitor.visit_enum(Word(text)),
            NodeKind::Integer(_)
            | NodeKind::Float(_)
            | NodeKind::Boolean(_)
            | NodeKind::Datetime
            | NodeKind::Array(_)
            | NodeKind::Table(_) => {
                let known = variants.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                Err(ErrorKind::Type(format!("one of {known}")).into())
            }
        };
        answer.map_err(|error: ReadError<'n>| error.at(self.node, self.node.location))
    }
}

/// A word that names a variant without content.
struct Word<'n>(&'n str);

impl<'n> EnumAccess<'n> for Word<'n> {
    type Error = ReadError<'n>;
    type Variant = NoContent;

    fn variant_seed<S: DeserializeSeed<'n>>(self, seed: S) -> Result<(S::Value, NoContent), ReadError<'n>> {
        let name: de::value::StrDeserializer<'_, ReadError<'n>> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, NoContent))
    }
}

struct NoContent;

impl<'n> VariantAccess<'n> for NoContent {
    type Error = ReadError<'n>;

    fn unit_variant(self) -> Result<(), ReadError<'n>> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'n>>(self, _: S) -> Result<S::Value, ReadError<'n>> {
        Err(ErrorKind::Type("a table".to_owned()).into())
    }

    fn tuple_variant<V: Visitor<'n>>(self, _: usize, _: V) -> Result<V::Value, ReadError<'n>> {
        Err(ErrorKind::Type("a list".to_owned()).into())
    }

    fn struct_variant<V: Visitor<'n>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, ReadError<'n>> {
        Err(ErrorKind::Type("a table".to_owned()).into())
    }
}

struct ListAccess<'n, 's, 'f> {
    rest: std::slice::Iter<'n, Node>,
    state: &'s State<'f>,
}

impl<'n> SeqAccess<'n> for ListAccess<'n, '_, '_> {
    type Error = ReadError<'n>;

    fn next_element_seed<S: DeserializeSeed<'n>>(&mut self, seed: S) -> Result<Option<S::Value>, ReadError<'n>> {
        let state = self.state;
        let Some(node) = self.rest.find(|node| !state.is_cut(node)) else { return Ok(None) };
        seed.deserialize(Reader { node, state }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

struct TableAccess<'n, 's, 'f> {
    rest: std::slice::Iter<'n, (Key, Node)>,
    /// The keys that a struct knows; `None` for a map.
    fields: Option<&'static [&'static str]>,
    value: Option<(&'n Key, &'n Node)>,
    state: &'s State<'f>,
}

impl<'n> MapAccess<'n> for TableAccess<'n, '_, '_> {
    type Error = ReadError<'n>;

    fn next_key_seed<S: DeserializeSeed<'n>>(&mut self, seed: S) -> Result<Option<S::Value>, ReadError<'n>> {
        for (key, node) in self.rest.by_ref() {
            if self.state.is_cut(node) {
                continue;
            }
            if let Some(fields) = self.fields.filter(|fields| !fields.contains(&key.text.as_str())) {
                self.state.faults.borrow_mut().push(unknown_key(key.location, &key.text, fields));
                continue;
            }
            self.value = Some((key, node));
            let read = seed.deserialize(KeyReader(key));
            return read.map(Some).map_err(|error| error.at(node, key.location));
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'n>>(&mut self, seed: S) -> Result<S::Value, ReadError<'n>> {
        let (_, node) = self.value.take().expect("serde asks for a value only after its key");
        seed.deserialize(Reader { node, state: self.state })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// A key: a text that can give its location.
#[derive(Clone, Copy)]
struct KeyReader<'n>(&'n Key);

impl<'n> Deserializer<'n> for KeyReader<'n> {
    type Error = ReadError<'n>;

    fn deserialize_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, ReadError<'n>> {
        visitor.visit_borrowed_str(&self.0.text)
    }

    fn deserialize_newtype_struct<V: Visitor<'n>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError<'n>> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple_struct<V: Visitor<'n>>(
        self,
        name: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError<'n>> {
        if name != PLACED {
            return self.deserialize_any(visitor);
        }
        visitor.visit_seq(PlacedAccess { location: Some(self.0.location), value: self })
    }

    serde::forward_to_deserialize_any! {
        <W: Visitor<'n>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple map struct enum identifier ignored_any
    }
}

/// Gives `Located` its two parts: the packed location, then the value.
struct PlacedAccess<D> {
    location: Option<Location>,
    value: D,
}

impl<'n, D: Deserializer<'n, Error = ReadError<'n>> + Copy> SeqAccess<'n> for PlacedAccess<D> {
    type Error = ReadError<'n>;

    fn next_element_seed<S: DeserializeSeed<'n>>(&mut self, seed: S) -> Result<Option<S::Value>, ReadError<'n>> {
        match self.location.take() {
            Some(location) => {
                let packed: de::value::U64Deserializer<ReadError<'n>> = location.pack().into_deserializer();
                seed.deserialize(packed).map(Some)
            }
            None => seed.deserialize(self.value).map(Some),
        }
    }
}
