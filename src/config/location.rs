// SPDX-License-Identifier: Apache-2.0
//! Source locations: ranges in the files of a configuration, and values that know theirs.
//!
//! `Located<T>` gets its location from `config::read` while it is deserialized; no other deserializer can fill it.

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

/// The newtype name by which `Located` asks the reader for its location.
pub(crate) const PLACED: &str = "$turnpike::Placed";

/// A range of bytes in one file of a configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Index into `Files`.
    pub file: u16,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Location {
    /// A range of a file; offsets are below `FILE_BYTES_MAX`.
    pub fn new(file: u16, range: Range<usize>) -> Location {
        Location { file, start: range.start as u32, end: range.end.max(range.start) as u32 }
    }

    /// Does `inner` lie in here?
    pub fn covers(self, inner: Location) -> bool {
        self.file == inner.file && self.start <= inner.start && inner.end <= self.end
    }

    /// The smallest range around both; `self` where they are in different files.
    pub fn with(self, other: Location) -> Location {
        if self.file != other.file {
            return self;
        }
        Location { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    pub(crate) fn pack(self) -> u64 {
        u64::from(self.file) << 48 | u64::from(self.start) << 24 | u64::from(self.end)
    }

    fn unpack(packed: u64) -> Location {
        let offset = |bits: u64| (bits & 0xff_ffff) as u32;
        Location { file: (packed >> 48) as u16, start: offset(packed >> 24), end: offset(packed) }
    }
}

/// A value and where it was written. Compares by value alone.
#[derive(Clone, Default)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub location: Location,
}

impl<T> Located<T> {
    /// A value that stands nowhere: made by the program.
    pub fn nowhere(value: T) -> Located<T> {
        Located { value, location: Location::default() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Located<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(out)
    }
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Located<T>) -> bool {
        self.value == other.value
    }
}

impl<T: Serialize> Serialize for Located<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Located<T> {
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

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Located<T>, D::Error> {
        deserializer.deserialize_tuple_struct(PLACED, 2, LocatedVisitor(PhantomData))
    }
}

struct LocatedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for LocatedVisitor<T> {
    type Value = Located<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value with its place")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Located<T>, A::Error> {
        let missing = || A::Error::custom("a place needs the reader of `config::read`");
        let packed = access.next_element::<u64>()?.ok_or_else(missing)?;
        let value = access.next_element()?.ok_or_else(missing)?;
        Ok(Located { value, location: Location::unpack(packed) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_survive_packing() {
        let location = Location { file: 4_095, start: 12, end: 0xff_ffff };
        assert_eq!(Location::unpack(location.pack()), location);
        assert!(location.covers(Location { start: 13, end: 14, ..location }));
        assert!(!location.covers(Location { file: 1, ..location }));
    }
}
