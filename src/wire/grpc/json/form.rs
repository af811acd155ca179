// SPDX-License-Identifier: Apache-2.0
//! Which form a message has in JSON: an object of its fields, or what the JSON mapping says of the messages of
//! `google/protobuf`.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// The form of a message in JSON (ProtoJSON, "JSON mapping of well-known types").
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Form {
    /// An object of its fields.
    Fields,
    /// `Any`: the object of the message that it holds, with `@type`.
    Any,
    /// A wrapper such as `Int64Value`: what its only field is.
    Wrapper(FieldDescriptor),
    /// `Timestamp` or `Duration`: a string.
    Time,
    /// `FieldMask`: a string with commas.
    Mask,
    /// `Value`: anything.
    Value,
    /// `Struct`: any object.
    Struct,
    /// `ListValue`: any array.
    List,
    /// `Empty`: an object without members.
    Empty,
}

impl Form {
    /// The form of this kind of message.
    pub(crate) fn of(kind: &MessageDescriptor) -> Form {
        match kind.full_name().strip_prefix("google.protobuf.") {
            Some("Any") => Form::Any,
            Some("Timestamp" | "Duration") => Form::Time,
            Some("FieldMask") => Form::Mask,
            Some("Value") => Form::Value,
            Some("Struct") => Form::Struct,
            Some("ListValue") => Form::List,
            Some("Empty") => Form::Empty,
            Some(name) if is_wrapper(name) => wrapped(kind).map_or(Form::Fields, Form::Wrapper),
            Some(_) | None => Form::Fields,
        }
    }

    /// Does an `Any` hold it as its member `value`, instead of its fields?
    pub(crate) fn is_value_in_any(&self) -> bool {
        *self != Form::Fields
    }

    /// Can a text of a path or a query be such a message?
    pub(crate) const fn takes_text(&self) -> bool {
        match self {
            Form::Wrapper(_) | Form::Time | Form::Mask | Form::Value => true,
            Form::Fields | Form::Any | Form::Struct | Form::List | Form::Empty => false,
        }
    }
}

fn is_wrapper(name: &str) -> bool {
    let wrapped = ["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"];
    name.strip_suffix("Value").is_some_and(|name| wrapped.contains(&name))
}

/// The scalar that a wrapper holds. A descriptor set may declare a wrapper that holds a message, even itself.
fn wrapped(kind: &MessageDescriptor) -> Option<FieldDescriptor> {
    let field = kind.get_field_by_name("value")?;
    let scalar = !field.is_list() && !matches!(field.kind(), Kind::Message(_));
    scalar.then_some(field)
}
