// SPDX-License-Identifier: Apache-2.0
//! Fields by their path, filled from text: what path variables and query parameters do.

use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde::de::IntoDeserializer;

use crate::base::limits::TRANSCODE_DEPTH_MAX;

/// Finds the fields that names lead to, outermost first. A name is the proto name or the JSON name.
pub(crate) fn resolve<'a>(
    kind: &MessageDescriptor,
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<FieldDescriptor>, String> {
    let mut found: Vec<FieldDescriptor> = Vec::new();
    let mut kind = Some(kind.clone());
    for name in names {
        if found.last().is_some_and(|field| field.is_list() || field.is_map()) {
            return Err("a part of a repeated field cannot be named".to_owned());
        }
        let Some(of) = kind else {
            return Err(format!("`{name}` is named inside something that is no message"));
        };
        if found.len() == TRANSCODE_DEPTH_MAX {
            return Err("it is nested deeper than allowed".to_owned());
        }
        let field = of.get_field_by_name(name).or_else(|| of.get_field_by_json_name(name));
        let field = field.ok_or_else(|| format!("`{}` has no field `{name}`", of.full_name()))?;
        kind = field.kind().as_message().cloned();
        found.push(field);
    }
    Ok(found)
}

/// Can one text be a value of this field (or an element, where it is repeated)?
pub(crate) fn takes_text(field: &FieldDescriptor) -> bool {
    match field.kind() {
        Kind::Message(kind) => !field.is_map() && is_text_kind(kind.full_name()),
        _ => true,
    }
}

/// Sets the last of `fields` to what `text` says; appends it where the field is repeated.
pub(crate) fn set(message: &mut DynamicMessage, fields: &[FieldDescriptor], text: &str) -> Result<(), String> {
    let Some((last, outer)) = fields.split_last() else { return Ok(()) };
    let mut message = message;
    for field in outer {
        let inner = message.get_field_mut(field).as_message_mut();
        message = inner.ok_or_else(|| format!("`{}` is no message", field.name()))?;
    }
    let value = value(last, text)?;
    match message.get_field_mut(last) {
        Value::List(list) if last.is_list() => list.push(value),
        place => *place = value,
    }
    Ok(())
}

/// The value that a text is for a field.
fn value(field: &FieldDescriptor, text: &str) -> Result<Value, String> {
    let wrong = || format!("`{text}` is no value of `{}`", field.name());
    match field.kind() {
        _ if field.is_map() => Err(format!("`{}` is a map and cannot be given as text", field.name())),
        Kind::Bool => text.parse().map(Value::Bool).map_err(|_| wrong()),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => text.parse().map(Value::I32).map_err(|_| wrong()),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => text.parse().map(Value::I64).map_err(|_| wrong()),
        Kind::Uint32 | Kind::Fixed32 => text.parse().map(Value::U32).map_err(|_| wrong()),
        Kind::Uint64 | Kind::Fixed64 => text.parse().map(Value::U64).map_err(|_| wrong()),
        Kind::Double => number(text).map(Value::F64).ok_or_else(wrong),
        Kind::Float => float(text).map(Value::F32).ok_or_else(wrong),
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Bytes => bytes(text).map(|bytes| Value::Bytes(bytes.into())).ok_or_else(wrong),
        Kind::Enum(kind) => enum_number(&kind, text).map(Value::EnumNumber).ok_or_else(wrong),
        Kind::Message(kind) => text_message(field, &kind, text),
    }
}

/// A message that JSON writes as a scalar.
fn text_message(field: &FieldDescriptor, kind: &MessageDescriptor, text: &str) -> Result<Value, String> {
    if let Some(inner) = kind.get_field_by_name("value").filter(|_| is_wrapper(kind.full_name())) {
        let mut message = DynamicMessage::new(kind.clone());
        message.set_field(&inner, value(&inner, text)?);
        return Ok(Value::Message(message));
    }
    if !is_text_kind(kind.full_name()) {
        return Err(format!("`{}` is a message: name its fields", field.name()));
    }
    let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    let message = DynamicMessage::deserialize(kind.clone(), text);
    message.map(Value::Message).map_err(|error| format!("`{}`: {error}", field.name()))
}

fn is_wrapper(name: &str) -> bool {
    let name = name.strip_prefix("google.protobuf.").and_then(|name| name.strip_suffix("Value"));
    let wrapped = ["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"];
    name.is_some_and(|name| wrapped.contains(&name))
}

fn is_text_kind(name: &str) -> bool {
    let texts = ["Timestamp", "Duration", "FieldMask", "Value"];
    let text = name.strip_prefix("google.protobuf.").is_some_and(|name| texts.contains(&name));
    text || is_wrapper(name)
}

/// A number as JSON writes it, or the three names that JSON has for what is none.
fn number(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ if text.bytes().any(|byte| byte.is_ascii_alphabetic() && !byte.eq_ignore_ascii_case(&b'e')) => None,
        _ => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// As `number`, and within what a `float` can hold.
fn float(text: &str) -> Option<f32> {
    let number = number(text)?;
    let float = number as f32;
    (float.is_finite() || !number.is_finite()).then_some(float)
}

/// Base64 in either alphabet, with or without padding.
fn bytes(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { &base64::alphabet::URL_SAFE } else { &base64::alphabet::STANDARD };
    GeneralPurpose::new(alphabet, config).decode(text).ok()
}

fn enum_number(kind: &EnumDescriptor, text: &str) -> Option<i32> {
    kind.get_value_by_name(text).map(|value| value.number()).or_else(|| text.parse().ok())
}
