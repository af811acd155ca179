// SPDX-License-Identifier: Apache-2.0
//! A message becomes JSON, by the JSON mapping of protobuf ("ProtoJSON").
//!
//! An `Any` without a type is `{}`. An `Any` whose type the descriptor set does not have keeps its bytes, in base64 as
//! `value`. It goes as deep as messages do, which `Budget` bounds, for each level of `Any`, which are bounded too.

use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, ReflectMessage};
use prost_reflect::{SerializeOptions, Value};
use serde::Serialize;

use crate::base::limits::{TRANSCODE_ANY_DEPTH_MAX, TRANSCODED_BYTES_MAX};
use crate::wire::grpc::base64;
use crate::wire::grpc::json::form::Form;
use crate::wire::grpc::json::load::Transcoder;
use crate::wire::grpc::json::options::{Defaults, Enums, LargeIntegers, Names};
use crate::wire::grpc::json::refusal::Refusal;
use crate::wire::grpc::json::weigh::Budget;

/// Appends one message, or a field of it.
pub(crate) struct Writer<'a> {
    transcoder: &'a Transcoder,
    budget: Budget,
    /// How many levels of `Any` may still be opened.
    anys: usize,
    out: &'a mut Vec<u8>,
    /// The length of `out` above which the text is too large.
    len_max: usize,
}

impl<'a> Writer<'a> {
    /// Appends to `out`. What is behind an error there is worth nothing.
    pub(crate) fn new(transcoder: &'a Transcoder, budget: Budget, out: &'a mut Vec<u8>) -> Writer<'a> {
        let len_max = out.len().saturating_add(TRANSCODED_BYTES_MAX);
        Writer { transcoder, budget, anys: TRANSCODE_ANY_DEPTH_MAX, out, len_max }
    }

    /// Appends a message.
    pub(crate) fn message(&mut self, message: &DynamicMessage) -> Result<(), Refusal> {
        match Form::of(&message.descriptor()) {
            Form::Any => {
                let url = message.get_field_by_name("type_url");
                let value = message.get_field_by_name("value");
                let url = url.as_deref().and_then(Value::as_str).unwrap_or_default();
                let value = value.as_deref().and_then(Value::as_bytes).map_or(&[][..], |bytes| bytes);
                self.any(url, value)
            }
            Form::Wrapper(field) => self.value(&field.kind(), &message.get_field(&field)),
            Form::Time | Form::Mask | Form::Value | Form::Struct | Form::List | Form::Empty => {
                let mut serializer = serde_json::Serializer::new(&mut *self.out);
                let written = message.serialize_with_options(&mut serializer, &SerializeOptions::new());
                written.map_err(|error| cannot(&error.to_string()))
            }
            Form::Fields => {
                self.out.push(b'{');
                self.members(message, First::Yes)?;
                self.out.push(b'}');
                Ok(())
            }
        }
    }

    /// Appends what a field of a message holds: `null` where it tells absence from a default, and is absent.
    pub(crate) fn field(&mut self, message: &DynamicMessage, field: &FieldDescriptor) -> Result<(), Refusal> {
        if field.supports_presence() && !message.has_field(field) {
            self.out.extend_from_slice(b"null");
            return Ok(());
        }
        self.value(&field.kind(), &message.get_field(field))
    }

    /// Appends an `Any` of this type with these bytes.
    pub(crate) fn any(&mut self, url: &str, bytes: &[u8]) -> Result<(), Refusal> {
        if url.is_empty() && bytes.is_empty() {
            self.out.extend_from_slice(b"{}");
            return Ok(());
        }
        let too_deep = || Refusal::internal("the message holds too many Any in a row");
        self.anys = self.anys.checked_sub(1).ok_or_else(too_deep)?;
        self.out.extend_from_slice(br#"{"@type":"#);
        self.json(url)?;
        let name = url.rsplit('/').next().unwrap_or_default();
        match self.transcoder.pool.get_message_by_name(name) {
            None => {
                self.out.extend_from_slice(br#","value":"#);
                self.bytes(bytes);
            }
            Some(kind) => {
                let message = self.budget.decode(&kind, bytes)?;
                if Form::of(&kind).is_value_in_any() {
                    self.out.extend_from_slice(br#","value":"#);
                    self.message(&message)?;
                } else {
                    self.members(&message, First::No)?;
                }
            }
        }
        self.out.push(b'}');
        self.anys += 1;
        Ok(())
    }

    fn members(&mut self, message: &DynamicMessage, mut first: First) -> Result<(), Refusal> {
        let options = &self.transcoder.options;
        let (names, defaults) = (options.names, options.defaults);
        for field in message.descriptor().fields() {
            let printed = defaults == Defaults::Print && !field.supports_presence();
            if printed || message.has_field(&field) {
                let name = if names == Names::Proto { field.name() } else { field.json_name() };
                self.name(name, &mut first)?;
                self.value(&field.kind(), &message.get_field(&field))?;
            }
        }
        for (extension, value) in message.extensions() {
            self.name(extension.json_name(), &mut first)?;
            self.value(&extension.kind(), value)?;
        }
        Ok(())
    }

    fn name(&mut self, name: &str, first: &mut First) -> Result<(), Refusal> {
        self.separate(first)?;
        self.json(name)?;
        self.out.push(b':');
        Ok(())
    }

    /// Fields with default values come from nothing, so the text may be far larger than the message.
    fn separate(&mut self, first: &mut First) -> Result<(), Refusal> {
        if std::mem::replace(first, First::No) == First::No {
            self.out.push(b',');
        }
        if self.out.len() > self.len_max { Err(cannot("it is larger than allowed")) } else { Ok(()) }
    }

    fn value(&mut self, kind: &Kind, value: &Value) -> Result<(), Refusal> {
        match value {
            Value::Bool(value) => self.json(value),
            Value::I32(value) => self.json(value),
            Value::U32(value) => self.json(value),
            Value::I64(value) => self.large(value),
            Value::U64(value) => self.large(value),
            Value::F32(value) if value.is_finite() => self.json(value),
            Value::F32(value) => self.json(no_number(f64::from(*value))),
            Value::F64(value) if value.is_finite() => self.json(value),
            Value::F64(value) => self.json(no_number(*value)),
            Value::String(text) => self.json(text),
            Value::Bytes(bytes) => {
                self.bytes(bytes);
                Ok(())
            }
            Value::EnumNumber(number) => self.enumerated(kind.as_enum(), *number),
            Value::Message(message) => self.message(message),
            Value::List(list) => {
                let mut first = First::Yes;
                self.out.push(b'[');
                for value in list {
                    self.separate(&mut first)?;
                    self.value(kind, value)?;
                }
                self.out.push(b']');
                Ok(())
            }
            Value::Map(map) => {
                let entry = kind.as_message().ok_or_else(|| cannot("a map has no entries in its descriptor"))?;
                let values = entry.map_entry_value_field().kind();
                // In an order of their own, so that equal messages are equal texts.
                let mut members: Vec<(&MapKey, &Value)> = map.iter().collect();
                members.sort_unstable_by_key(|(key, _)| *key);
                let mut first = First::Yes;
                self.out.push(b'{');
                for (key, value) in members {
                    self.key(key, &mut first)?;
                    self.value(&values, value)?;
                }
                self.out.push(b'}');
                Ok(())
            }
        }
    }

    fn key(&mut self, key: &MapKey, first: &mut First) -> Result<(), Refusal> {
        match key {
            MapKey::Bool(key) => self.name(&key.to_string(), first),
            MapKey::I32(key) => self.name(&key.to_string(), first),
            MapKey::I64(key) => self.name(&key.to_string(), first),
            MapKey::U32(key) => self.name(&key.to_string(), first),
            MapKey::U64(key) => self.name(&key.to_string(), first),
            MapKey::String(key) => self.name(key, first),
        }
    }

    fn enumerated(&mut self, kind: Option<&EnumDescriptor>, number: i32) -> Result<(), Refusal> {
        let kind = kind.ok_or_else(|| cannot("an enum has another descriptor"))?;
        if kind.full_name() == "google.protobuf.NullValue" {
            return self.json(&());
        }
        match kind.get_value(number).filter(|_| self.transcoder.options.enums == Enums::Names) {
            Some(value) => self.json(value.name()),
            None => self.json(&number),
        }
    }

    /// Appends a 64-bit integer.
    fn large(&mut self, number: &(impl Serialize + ToString)) -> Result<(), Refusal> {
        match self.transcoder.options.large_integers {
            LargeIntegers::Strings => self.json(&number.to_string()),
            LargeIntegers::Numbers => self.json(number),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let mut encoder = base64::Encoder::new();
        self.out.push(b'"');
        encoder.push(bytes, self.out);
        encoder.flush(self.out);
        self.out.push(b'"');
    }

    fn json(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Refusal> {
        serde_json::to_writer(&mut *self.out, value).map_err(|error| cannot(&error.to_string()))
    }
}

/// Is the next member or element the first one?
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Yes,
    No,
}

fn no_number(value: f64) -> &'static str {
    if value.is_nan() {
        return "NaN";
    }
    if value > 0.0 { "Infinity" } else { "-Infinity" }
}

fn cannot(what: &str) -> Refusal {
    Refusal::internal(format!("the server's message cannot be shown as JSON: {what}"))
}
