// SPDX-License-Identifier: Apache-2.0
//! A JSON value becomes a message, by the JSON mapping of protobuf ("ProtoJSON").
//!
//! Stricter than the mapping asks for: a field that stands twice, by whichever names, is refused. More lenient: an
//! `Any` whose type is not known keeps its bytes, in base64 as `value`, which is how they are written.
//!
//! It goes as deep as the JSON does, which `measure` bounds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use prost::Message;
use prost_reflect::prost_types::value::Kind as AnyKind;
use prost_reflect::prost_types::{ListValue, Struct, Value as AnyValue};
use prost_reflect::{Cardinality, DynamicMessage, EnumDescriptor, ExtensionDescriptor, FieldDescriptor};
use prost_reflect::{Kind, MapKey, MessageDescriptor, Value};
use serde_json::Number;

use crate::wire::grpc::json::fields;
use crate::wire::grpc::json::form::Form;
use crate::wire::grpc::json::options::Unknown;
use crate::wire::grpc::json::value::Json;

/// Reads messages, with one rule for members and enum values that are not known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader {
    /// That rule.
    pub unknown: Unknown,
}

/// How a field or an extension holds values.
#[derive(Clone, Copy)]
enum Holds {
    One,
    List,
    Map,
}

impl Holds {
    fn of(field: &FieldDescriptor) -> Holds {
        match field.cardinality() {
            Cardinality::Repeated if field.is_map() => Holds::Map,
            Cardinality::Repeated => Holds::List,
            Cardinality::Optional | Cardinality::Required => Holds::One,
        }
    }

    fn of_extension(extension: &ExtensionDescriptor) -> Holds {
        match extension.cardinality() {
            Cardinality::Repeated if extension.is_map() => Holds::Map,
            Cardinality::Repeated => Holds::List,
            Cardinality::Optional | Cardinality::Required => Holds::One,
        }
    }
}

impl Reader {
    /// The message that a value is.
    pub(crate) fn message(self, kind: &MessageDescriptor, json: Json) -> Result<DynamicMessage, String> {
        match (Form::of(kind), json) {
            (Form::Value, json) => foreign(kind, &any_value(json)),
            (Form::Struct, Json::Object(members)) => foreign(kind, &any_struct(members)),
            (Form::List, Json::List(list)) => foreign(kind, &any_list(list)),
            (Form::Time | Form::Mask, Json::Text(text)) => fields::parsed(kind, &text),
            (Form::Wrapper(field), json) => {
                let mut message = DynamicMessage::new(kind.clone());
                if let Some(value) = self.one(&field.kind(), json)? {
                    message.set_field(&field, value);
                }
                Ok(message)
            }
            (Form::Any, Json::Object(members)) => self.any(kind, members),
            (Form::Fields | Form::Empty, Json::Object(members)) => self.members(kind, members),
            (form, _) => Err(format!("`{}` is {}", kind.full_name(), expected(&form))),
        }
    }

    /// What a member sets its field to; nothing where it leaves it unset, as `null` does.
    pub(crate) fn field(self, field: &FieldDescriptor, json: Json) -> Result<Option<Value>, String> {
        self.member(&field.kind(), Holds::of(field), json)
    }

    fn members(self, kind: &MessageDescriptor, members: BTreeMap<String, Json>) -> Result<DynamicMessage, String> {
        let mut message = DynamicMessage::new(kind.clone());
        let mut set = BTreeSet::new();
        for (name, json) in members {
            let at = |what: String| format!("`{name}`: {what}");
            if let Some(field) = kind.get_field_by_json_name(&name).or_else(|| kind.get_field_by_name(&name)) {
                if !set.insert(field.number()) {
                    return Err(at("the field stands twice, by both of its names".to_owned()));
                }
                let Some(value) = self.field(&field, json).map_err(at)? else { continue };
                let others = field.containing_oneof();
                if others.is_some_and(|others| others.fields().any(|other| message.has_field(&other))) {
                    return Err(at("another field of its `oneof` is set".to_owned()));
                }
                message.set_field(&field, value);
            } else if let Some(extension) = kind.get_extension_by_json_name(&name) {
                let holds = Holds::of_extension(&extension);
                if let Some(value) = self.member(&extension.kind(), holds, json).map_err(at)? {
                    message.set_extension(&extension, value);
                }
            } else if self.unknown == Unknown::Refuse {
                return Err(format!("`{}` has no field `{name}`", kind.full_name()));
            }
        }
        Ok(message)
    }

    fn member(self, kind: &Kind, holds: Holds, json: Json) -> Result<Option<Value>, String> {
        match (holds, json) {
            (Holds::One, Json::Null) if !takes_null(kind) => Ok(None),
            (Holds::List | Holds::Map, Json::Null) => Ok(None),
            (Holds::One, json) => self.one(kind, json),
            (Holds::List, Json::List(list)) => {
                let values = list.into_iter().map(|json| self.one(kind, json));
                let values: Result<Vec<Option<Value>>, String> = values.collect();
                Ok(Some(Value::List(values?.into_iter().flatten().collect())))
            }
            (Holds::Map, Json::Object(members)) => self.map(kind, members).map(Some),
            (Holds::List, _) => Err("an array is expected".to_owned()),
            (Holds::Map, _) => Err("an object is expected".to_owned()),
        }
    }

    fn map(self, entry: &Kind, members: BTreeMap<String, Json>) -> Result<Value, String> {
        let entry = entry.as_message().ok_or("the descriptor has no entries for this map")?;
        let (keys, values) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let mut map = HashMap::with_capacity(members.len());
        for (name, json) in members {
            let at = |what: &str| format!("`{name}`: {what}");
            let key = map_key(&keys, &name).ok_or_else(|| at("it is no key of this map"))?;
            let Some(value) = self.one(&values, json).map_err(|what| at(&what))? else { continue };
            if map.insert(key, value).is_some() {
                return Err(at("the key stands twice"));
            }
        }
        Ok(Value::Map(map))
    }

    /// One value; nothing for an enum value that is not known and may be ignored.
    fn one(self, kind: &Kind, json: Json) -> Result<Option<Value>, String> {
        let wrong = |what: &str| format!("{what} is expected");
        let value = match (kind, json) {
            (Kind::Message(kind), json) => Some(Value::Message(self.message(kind, json)?)),
            (Kind::Enum(kind), json) => return self.enumerated(kind, &json),
            (Kind::Bool, Json::Bool(value)) => Some(Value::Bool(value)),
            (Kind::String, Json::Text(text)) => Some(Value::String(text)),
            (Kind::Bytes, Json::Text(text)) => fields::bytes(&text).map(|bytes| Value::Bytes(bytes.into())),
            (Kind::Double, json) => double(&json).map(Value::F64),
            (Kind::Float, json) => double(&json).and_then(fields::narrowed).map(Value::F32),
            (Kind::Int32 | Kind::Sint32 | Kind::Sfixed32, json) => integer(&json).map(Value::I32),
            (Kind::Int64 | Kind::Sint64 | Kind::Sfixed64, json) => integer(&json).map(Value::I64),
            (Kind::Uint32 | Kind::Fixed32, json) => integer(&json).map(Value::U32),
            (Kind::Uint64 | Kind::Fixed64, json) => integer(&json).map(Value::U64),
            (Kind::Bool | Kind::String | Kind::Bytes, _) => None,
        };
        value.map(Some).ok_or_else(|| match kind {
            Kind::Bool => wrong("`true` or `false`"),
            Kind::String => wrong("a string"),
            Kind::Bytes => wrong("a string in base64"),
            other => wrong(&format!("a value of `{other:?}`").to_lowercase()),
        })
    }

    fn enumerated(self, kind: &EnumDescriptor, json: &Json) -> Result<Option<Value>, String> {
        let number = match json {
            Json::Null if is_null_value(kind) => Some(0),
            Json::Text(name) => match kind.get_value_by_name(name) {
                None if self.unknown == Unknown::Ignore => return Ok(None),
                found => found.map(|value| value.number()),
            },
            Json::Number(_) => integer(json).filter(|number| *number == 0 || !is_null_value(kind)),
            Json::Null | Json::Bool(_) | Json::List(_) | Json::Object(_) => None,
        };
        let number = number.ok_or_else(|| format!("a name or a number of `{}` is expected", kind.full_name()));
        number.map(|number| Some(Value::EnumNumber(number)))
    }

    fn any(self, kind: &MessageDescriptor, mut members: BTreeMap<String, Json>) -> Result<DynamicMessage, String> {
        let mut any = DynamicMessage::new(kind.clone());
        if members.is_empty() {
            return Ok(any);
        }
        let Some(Json::Text(url)) = members.remove("@type") else {
            return Err("an object with `@type`, the URL of its type, is expected".to_owned());
        };
        let name = url.rsplit_once('/').map(|(_, name)| name).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| format!("`@type`: `{url}` does not end with `/` and the name of a type"))?;
        let value = match kind.parent_pool().get_message_by_name(name) {
            Some(inner) if Form::of(&inner).is_value_in_any() => {
                let value = self.only_value(&mut members)?;
                self.message(&inner, value).map_err(|what| format!("`value`: {what}"))?.encode_to_vec()
            }
            Some(inner) => self.members(&inner, members)?.encode_to_vec(),
            None => match self.only_value(&mut members)? {
                Json::Text(text) => fields::bytes(&text),
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::List(_) | Json::Object(_) => None,
            }
            .ok_or_else(|| format!("`value`: the type `{name}` is not known, so bytes in base64 are expected"))?,
        };
        for (name, value) in [("type_url", Value::String(url)), ("value", Value::Bytes(value.into()))] {
            any.try_set_field_by_name(name, value).map_err(|_| format!("`{}` has no such fields", kind.full_name()))?;
        }
        Ok(any)
    }

    /// The member `value`, besides which there should be none.
    fn only_value(self, members: &mut BTreeMap<String, Json>) -> Result<Json, String> {
        let value = members.remove("value").ok_or("beside this `@type`, a member `value` is expected")?;
        match members.keys().next() {
            Some(other) if self.unknown == Unknown::Refuse => {
                Err(format!("beside this `@type`, only `value` may stand, and not `{other}`"))
            }
            Some(_) | None => Ok(value),
        }
    }
}

fn expected(form: &Form) -> &'static str {
    match form {
        Form::Fields | Form::Struct | Form::Any | Form::Empty => "an object",
        Form::List => "an array",
        Form::Time | Form::Mask => "a string",
        Form::Value | Form::Wrapper(_) => "a value",
    }
}

/// Is `null` a value of its own here, and no absent one?
fn takes_null(kind: &Kind) -> bool {
    match kind {
        Kind::Message(kind) => Form::of(kind) == Form::Value,
        Kind::Enum(kind) => is_null_value(kind),
        _ => false,
    }
}

fn is_null_value(kind: &EnumDescriptor) -> bool {
    kind.full_name() == "google.protobuf.NullValue"
}

fn map_key(kind: &Kind, name: &str) -> Option<MapKey> {
    let number = || name.parse().ok().map(Json::Number);
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer(&number()?).map(MapKey::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer(&number()?).map(MapKey::I64),
        Kind::Uint32 | Kind::Fixed32 => integer(&number()?).map(MapKey::U32),
        Kind::Uint64 | Kind::Fixed64 => integer(&number()?).map(MapKey::U64),
        Kind::Bool => name.parse().ok().map(MapKey::Bool),
        Kind::String => Some(MapKey::String(name.to_owned())),
        Kind::Double | Kind::Float | Kind::Bytes | Kind::Enum(_) | Kind::Message(_) => None,
    }
}

/// What 64 bits hold, without -2^63 and 2^64, to which doubles round from outside.
const INTEGERS: Range<f64> = -9_223_372_036_854_774_784.0..18_446_744_073_709_551_616.0;

/// An integer, as a number or as a string that holds one. `1e2` and `1.0` are integers.
fn integer<T: TryFrom<i128>>(json: &Json) -> Option<T> {
    let number: Number = match json {
        Json::Number(number) => number.clone(),
        Json::Text(text) => text.parse().ok()?,
        Json::Null | Json::Bool(_) | Json::List(_) | Json::Object(_) => return None,
    };
    let whole = match (number.as_u64(), number.as_i64()) {
        (Some(whole), _) => i128::from(whole),
        (None, Some(whole)) => i128::from(whole),
        // A double: one with an exponent or a point, or one below the least integer, which may have become that one.
        (None, None) => number.as_f64().filter(|value| value.fract() == 0.0 && INTEGERS.contains(value))? as i128,
    };
    T::try_from(whole).ok()
}

/// A number, a string that holds one, or one of the strings for what is none.
fn double(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::Text(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse::<Number>().ok()?.as_f64(),
        },
        Json::Null | Json::Bool(_) | Json::List(_) | Json::Object(_) => None,
    }
}

/// A message of `google/protobuf` as the descriptor set declares it.
fn foreign(kind: &MessageDescriptor, value: &impl Message) -> Result<DynamicMessage, String> {
    let mut message = DynamicMessage::new(kind.clone());
    message.transcode_from(value).map_err(|_| format!("`{}` is declared differently", kind.full_name()))?;
    Ok(message)
}

fn any_value(json: Json) -> AnyValue {
    let kind = match json {
        Json::Null => AnyKind::NullValue(0),
        Json::Bool(value) => AnyKind::BoolValue(value),
        Json::Number(number) => AnyKind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Json::Text(text) => AnyKind::StringValue(text),
        Json::List(list) => AnyKind::ListValue(any_list(list)),
        Json::Object(members) => AnyKind::StructValue(any_struct(members)),
    };
    AnyValue { kind: Some(kind) }
}

fn any_list(list: Vec<Json>) -> ListValue {
    ListValue { values: list.into_iter().map(any_value).collect() }
}

fn any_struct(members: BTreeMap<String, Json>) -> Struct {
    Struct { fields: members.into_iter().map(|(name, json)| (name, any_value(json))).collect() }
}
