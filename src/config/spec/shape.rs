// SPDX-License-Identifier: Apache-2.0
//! Shapes that keys share: one or many, a short text or a whole table, named tables, secrets. Also the two macros that
//! declare tables with their defaults.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::config::location::Located;
use crate::config::read::{ONE_OR_MANY, SHORT_OR_TABLE};

/// A list. A single item may be written without brackets.
#[derive(Clone, Debug, PartialEq)]
pub struct Many<T>(pub Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Many<T> {
        Many(Vec::new())
    }
}

impl<T> Many<T> {
    /// The items in order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Many<T>, D::Error> {
        deserializer.deserialize_newtype_struct(ONE_OR_MANY, ManyVisitor(PhantomData))
    }
}

struct ManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ManyVisitor<T> {
    type Value = Many<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, one: D) -> Result<Many<T>, D::Error> {
        T::deserialize(one).map(|one| Many(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Many<T>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Many)
    }
}

impl<T: Serialize> Serialize for Many<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Many<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Many_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [{ "type": "array", "items": item }, item], "x-shape": "list" })
    }
}

/// A table with a short form: one text (or boolean) for the usual case.
pub trait Short: Sized {
    /// What is expected, with an example; continues "expected …".
    const EXPECTED: &'static str;

    /// The table that a text stands for.
    fn of_text(text: &str) -> Result<Self, String>;

    /// The table that `true` or `false` stands for.
    // tidy(bool): it is the value in the file.
    fn of_truth(_: bool) -> Option<Self> {
        None
    }
}

/// A `T` in its short or its long form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShortOr<T>(pub T);

impl<'de, T: Short + Deserialize<'de>> Deserialize<'de> for ShortOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ShortOr<T>, D::Error> {
        deserializer.deserialize_newtype_struct(SHORT_OR_TABLE, ShortVisitor(PhantomData))
    }
}

struct ShortVisitor<T>(PhantomData<T>);

impl<'de, T: Short + Deserialize<'de>> Visitor<'de> for ShortVisitor<T> {
    type Value = ShortOr<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ShortOr<T>, E> {
        let read = T::of_text(text).map_err(|reason| E::custom(format!("expected {}\n{reason}", T::EXPECTED)));
        read.map(ShortOr)
    }

    // tidy(bool): serde's own.
    fn visit_bool<E: Error>(self, truth: bool) -> Result<ShortOr<T>, E> {
        T::of_truth(truth).map(ShortOr).ok_or_else(|| E::custom(format!("expected {}", T::EXPECTED)))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, table: D) -> Result<ShortOr<T>, D::Error> {
        T::deserialize(table).map(ShortOr)
    }
}

impl<T: Serialize> Serialize for ShortOr<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: Short + JsonSchema> JsonSchema for ShortOr<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Short_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<T>();
        let short = if T::of_truth(true).is_some() { "boolean" } else { "string" };
        json_schema!({ "anyOf": [{ "type": short }, table], "x-shape": "short" })
    }
}

/// Tables by name, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Named<T>(pub Vec<(Located<String>, T)>);

impl<T> Default for Named<T> {
    fn default() -> Named<T> {
        Named(Vec::new())
    }
}

impl<T> Named<T> {
    /// Names and tables in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Located<String>, &T)> {
        self.0.iter().map(|(name, item)| (name, item))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Named<T>, D::Error> {
        deserializer.deserialize_map(NamedVisitor(PhantomData))
    }
}

struct NamedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NamedVisitor<T> {
    type Value = Named<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Named<T>, A::Error> {
        // The tree that is read is in memory already, so its size is no claim of a stranger.
        let mut list = Vec::with_capacity(access.size_hint().unwrap_or(0));
        while let Some(entry) = access.next_entry()? {
            list.push(entry);
        }
        Ok(Named(list))
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, item) in &self.0 {
            map.serialize_entry(&name.value, item)?;
        }
        map.end()
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Named_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": item, "x-shape": "named" })
    }
}

/// Reads a list into memory of its final size. Serde itself reserves a mebibyte at most, and then moves what it has
/// read again and again: with thousands of large tables that is a tenth of the time.
pub(super) fn whole_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(ListVisitor(PhantomData))
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::with_capacity(access.size_hint().unwrap_or(0));
        while let Some(item) = access.next_element()? {
            list.push(item);
        }
        Ok(list)
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(hidden)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}

/// Declares a table in which every key has a default, written beside it.
macro_rules! table {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$key_meta:meta])* $key:ident: $kind:ty = $default:expr,)* }) => {
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        $(#[$meta])*
        pub struct $name { $($(#[$key_meta])* pub $key: $kind,)* }

        impl Default for $name {
            fn default() -> $name {
                $name { $($key: $default,)* }
            }
        }
    };
}

/// Declares settings that may be given in several layers: in `[defaults]`, and where they apply. Each layer is a struct
/// of options; `$resolved` holds the values after all layers were merged over the built-in defaults.
macro_rules! layers {
    (
        $(#[$all_meta:meta])* pub struct $all:ident;
        $(#[$resolved_meta:meta])* pub struct $resolved:ident;
        $(
            $(#[$layer_meta:meta])*
            pub struct $layer:ident { $($(#[$key_meta:meta])* $key:ident: $kind:ty = $default:literal,)* }
        )*
    ) => {
        $(#[$all_meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct $all {
            $($($(#[$key_meta])* #[schemars(extend("x-default" = $default))] pub $key: Option<$kind>,)*)*
        }

        $(#[$resolved_meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $resolved { $($($(#[$key_meta])* pub $key: $kind,)*)* }

        impl Default for $resolved {
            fn default() -> $resolved {
                $resolved {
                    $($($key: <$kind as $crate::config::spec::scalar::Scalar>::parse($default)
                        .or_else(|reason| $default.parse().map_err(|_| reason).and_then(
                            <$kind as $crate::config::spec::scalar::Scalar>::of_number))
                        .expect("built-in defaults are well-formed, and a test makes them all"),)*)*
                }
            }
        }

        impl $all {
            /// Lays these over `below`.
            pub fn over(&self, below: &$resolved) -> $resolved {
                $resolved { $($($key: self.$key.clone().unwrap_or_else(|| below.$key.clone()),)*)* }
            }
        }

        $(
            $(#[$layer_meta])*
            #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
            #[serde(default, deny_unknown_fields)]
            pub struct $layer {
                $($(#[$key_meta])* #[schemars(extend("x-default" = $default))] pub $key: Option<$kind>,)*
            }

            impl $layer {
                /// Lays these over `below`.
                pub fn over(&self, below: &$resolved) -> $resolved {
                    $resolved { $($key: self.$key.clone().unwrap_or_else(|| below.$key.clone()),)* ..below.clone() }
                }
            }
        )*
    };
}

pub(crate) use layers;
pub(crate) use table;
