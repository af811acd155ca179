// SPDX-License-Identifier: Apache-2.0
//! Source locations: ranges in the files of a configuration, and values that know theirs.
//!
//! `Placed<T>` gets its location from `config::read` while it is deserialized; no other deserializer can fill it.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Largest configuration file in bytes; a larger one is refused. Places keep their offsets in 24 bits.
pub(crate) const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most files of one configuration, includes counted; more are refused.
pub(crate) const FILES_MAX: usize = 4_096;

/// The newtype name by which `Placed` asks the reader for its location.
pub(crate) const PLACED: &str = "$turnpike::Placed";

/// A range of bytes in one file of a configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Index into `Files`.
    pub file: u16,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Place {
    /// A range of a file; offsets are below `FILE_BYTES_MAX`.
    pub fn new(file: u16, range: Range<usize>) -> Place {
        Place { file, start: range.start as u32, end: range.end.max(range.start) as u32 }
    }

    /// Does `inner` lie in here?
    pub fn covers(self, inner: Place) -> bool {
        self.file == inner.file && self.start <= inner.start && inner.end <= self.end
    }

    /// The smallest range around both; `self` where they are in different files.
    pub fn with(self, other: Place) -> Place {
        if self.file != other.file {
            return self;
        }
        Place { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    pub(crate) fn pack(self) -> u64 {
        u64::from(self.file) << 48 | u64::from(self.start) << 24 | u64::from(self.end)
    }

    fn unpack(packed: u64) -> Place {
        let offset = |bits: u64| (bits & 0xff_ffff) as u32;
        Place { file: (packed >> 48) as u16, start: offset(packed >> 24), end: offset(packed) }
    }
}

/// A value and where it was written. Compares by value alone.
#[derive(Clone, Default)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

impl<T> Placed<T> {
    /// A value that stands nowhere: made by the program.
    pub fn nowhere(value: T) -> Placed<T> {
        Placed { value, place: Place::default() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Placed<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(out)
    }
}

impl<T: PartialEq> PartialEq for Placed<T> {
    fn eq(&self, other: &Placed<T>) -> bool {
        self.value == other.value
    }
}

impl<T: Serialize> Serialize for Placed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Placed<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Placed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Placed<T>, D::Error> {
        deserializer.deserialize_tuple_struct(PLACED, 2, PlacedVisitor(PhantomData))
    }
}

struct PlacedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for PlacedVisitor<T> {
    type Value = Placed<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value with its place")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Placed<T>, A::Error> {
        let missing = || A::Error::custom("a place needs the reader of `config::read`");
        let packed = access.next_element::<u64>()?.ok_or_else(missing)?;
        let value = access.next_element()?.ok_or_else(missing)?;
        Ok(Placed { value, place: Place::unpack(packed) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_survive_packing() {
        let place = Place { file: 4_095, start: 12, end: 0xff_ffff };
        assert_eq!(Place::unpack(place.pack()), place);
        assert!(place.covers(Place { start: 13, end: 14, ..place }));
        assert!(!place.covers(Place { file: 1, ..place }));
    }
}
