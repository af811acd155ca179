// SPDX-License-Identifier: Apache-2.0
//! Fields by their path, filled from text: what path variables and query parameters do.

use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde::de::IntoDeserializer;

use crate::base::limits::TRANSCODE_DEPTH_MAX;
use crate::wire::grpc::json::form::Form;

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
        Kind::Message(kind) => !field.is_map() && Form::of(&kind).takes_text(),
        _ => true,
    }
}

/// Can this field be set several times, so that each time adds to it?
pub(crate) fn adds_up(field: &FieldDescriptor) -> bool {
    field.is_list() || field.kind().as_message().is_some_and(|kind| Form::of(kind) == Form::Mask)
}

/// Sets the last of `fields` to what `text` says; appends it where the field is repeated or a `FieldMask`.
pub(crate) fn set(message: &mut DynamicMessage, fields: &[FieldDescriptor], text: &str) -> Result<(), String> {
    let Some((last, outer)) = fields.split_last() else { return Ok(()) };
    let mut message = message;
    for field in outer {
        let inner = message.get_field_mut(field).as_message_mut();
        message = inner.ok_or_else(|| format!("`{}` is no message", field.name()))?;
    }
    let value = value(last, text)?;
    match (message.get_field_mut(last), value) {
        (Value::List(list), value) if last.is_list() => list.push(value),
        (Value::Message(mask), Value::Message(added)) if adds_up(last) => add_paths(mask, &added),
        (place, value) => *place = value,
    }
    Ok(())
}

/// Adds the paths of one `FieldMask` to those of another.
fn add_paths(mask: &mut DynamicMessage, added: &DynamicMessage) {
    let added = added.get_field_by_name(PATHS);
    let added = added.as_deref().and_then(Value::as_list).unwrap_or_default();
    if let Some(paths) = mask.get_field_by_name_mut(PATHS).and_then(Value::as_list_mut) {
        paths.extend_from_slice(added);
    }
}

/// The value that a text is for a field.
fn value(field: &FieldDescriptor, text: &str) -> Result<Value, String> {
    let wrong = || format!("`{text}` is no value of `{}`", field.name());
    match field.kind() {
        _ if field.is_map() => Err(format!("`{}` is a map and cannot be given as text", field.name())),
        Kind::Bool => truth(text).map(Value::Bool).ok_or_else(wrong),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => text.parse().map(Value::I32).map_err(|_| wrong()),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => text.parse().map(Value::I64).map_err(|_| wrong()),
        Kind::Uint32 | Kind::Fixed32 => text.parse().map(Value::U32).map_err(|_| wrong()),
        Kind::Uint64 | Kind::Fixed64 => text.parse().map(Value::U64).map_err(|_| wrong()),
        Kind::Double => number(text).map(Value::F64).ok_or_else(wrong),
        Kind::Float => number(text).and_then(narrowed).map(Value::F32).ok_or_else(wrong),
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Bytes => bytes(text).map(|bytes| Value::Bytes(bytes.into())).ok_or_else(wrong),
        Kind::Enum(kind) => enum_number(&kind, text).map(Value::EnumNumber).ok_or_else(wrong),
        Kind::Message(kind) => text_message(field, &kind, text),
    }
}

/// A message that JSON writes as a scalar.
fn text_message(field: &FieldDescriptor, kind: &MessageDescriptor, text: &str) -> Result<Value, String> {
    let message = match Form::of(kind) {
        Form::Wrapper(inner) => {
            let mut message = DynamicMessage::new(kind.clone());
            message.set_field(&inner, value(&inner, text)?);
            Ok(message)
        }
        Form::Mask => mask(kind, text),
        form if form.takes_text() => parsed(kind, text),
        _ => return Err(format!("`{}` is a message: name its fields", field.name())),
    };
    message.map(Value::Message).map_err(|what| format!("`{}`: {what}", field.name()))
}

/// The message of a kind that JSON writes as a string.
pub(crate) fn parsed(kind: &MessageDescriptor, text: &str) -> Result<DynamicMessage, String> {
    let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    DynamicMessage::deserialize(kind.clone(), text).map_err(|error| error.to_string())
}

/// A `FieldMask` of paths in either spelling: `pageTitle`, as in JSON, or `page_title`, as in the `.proto` file.
fn mask(kind: &MessageDescriptor, text: &str) -> Result<DynamicMessage, String> {
    let paths = text.split(',').filter(|path| !path.is_empty()).map(|path| {
        let mut name = String::with_capacity(path.len());
        for letter in path.chars() {
            if letter.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        Value::String(name)
    });
    let mut message = DynamicMessage::new(kind.clone());
    let set = message.try_set_field_by_name(PATHS, Value::List(paths.collect()));
    set.map_err(|_| format!("`{}` has no `{PATHS}`", kind.full_name()))?;
    Ok(message)
}

/// The field of a `FieldMask`.
const PATHS: &str = "paths";

/// A truth value, in the spellings that Go's `strconv.ParseBool` and Envoy take: `true`, `t` or `1`, in either case.
fn truth(text: &str) -> Option<bool> {
    let is = |names: [&str; 3]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
    is(["true", "t", "1"]).then_some(true).or_else(|| is(["false", "f", "0"]).then_some(false))
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

/// The nearest `float`; nothing where a number is larger than each of them.
pub(crate) fn narrowed(number: f64) -> Option<f32> {
    let float = number as f32;
    (float.is_finite() || !number.is_finite()).then_some(float)
}

/// Base64 in either alphabet, with or without padding, whatever the bits behind the last byte are.
pub(crate) fn bytes(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { &base64::alphabet::URL_SAFE } else { &base64::alphabet::STANDARD };
    GeneralPurpose::new(alphabet, config).decode(text).ok()
}

fn enum_number(kind: &EnumDescriptor, text: &str) -> Option<i32> {
    kind.get_value_by_name(text).map(|value| value.number()).or_else(|| text.parse().ok())
}
