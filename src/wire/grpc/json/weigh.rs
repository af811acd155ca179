// SPDX-License-Identifier: Apache-2.0
//! How deep and how full a serialised message is, before anything is built of it.
//!
//! The decoder makes some hundred bytes of memory of a value that may take one byte on the wire.

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor};

use crate::wire::grpc::json::options::Options;
use crate::wire::grpc::json::refusal::Refusal;

/// What may still be built.
#[derive(Debug)]
pub(crate) struct Budget {
    values: usize,
    depth: usize,
}

impl Budget {
    /// The budget of one message.
    pub(crate) const fn new(options: &Options) -> Budget {
        Budget { values: options.values_max, depth: options.depth_max }
    }

    /// Reads a message within the budget.
    pub(crate) fn decode(&mut self, kind: &MessageDescriptor, bytes: &[u8]) -> Result<DynamicMessage, Refusal> {
        let depth = self.depth;
        Reader { bytes }.message(Some(kind), self, depth, None)?;
        DynamicMessage::decode(kind.clone(), bytes).map_err(|_| malformed())
    }

    fn spend(&mut self, values: usize) -> Result<(), Refusal> {
        let left = self.values.checked_sub(values);
        self.values = left.ok_or_else(|| Refusal::internal("the message holds more values than allowed"))?;
        Ok(())
    }
}

/// The rest of a serialised message.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads fields to the end of the bytes, or to the end of the group with the number `group`.
    fn message(
        &mut self,
        kind: Option<&MessageDescriptor>,
        budget: &mut Budget,
        depth: usize,
        group: Option<u64>,
    ) -> Result<(), Refusal> {
        let inner =
            depth.checked_sub(1).ok_or_else(|| Refusal::internal("the message is nested deeper than allowed"))?;
        while !self.bytes.is_empty() {
            let key = self.varint()?;
            let number = key >> 3;
            budget.spend(1)?;
            match key & 7 {
                0 => self.varint().map(|_| ())?,
                1 => self.take(8).map(|_| ())?,
                2 => {
                    let len = self.varint()?;
                    let bytes = self.take(len)?;
                    delimited(field(kind, number), bytes, budget, inner)?;
                }
                3 => {
                    let field = field(kind, number);
                    let kind = field.as_ref().and_then(|(kind, _)| kind.as_message());
                    self.message(kind, budget, inner, Some(number))?;
                }
                4 if group == Some(number) => return Ok(()),
                5 => self.take(4).map(|_| ())?,
                _ => return Err(malformed()),
            }
        }
        if group.is_some() { Err(malformed()) } else { Ok(()) }
    }

    fn varint(&mut self) -> Result<u64, Refusal> {
        let mut number = 0;
        for (at, byte) in self.bytes.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7F) << (7 * at);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[at + 1..];
                return Ok(number);
            }
        }
        Err(malformed())
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Refusal> {
        let split = usize::try_from(len).ok().and_then(|len| self.bytes.split_at_checked(len));
        let (bytes, rest) = split.ok_or_else(malformed)?;
        self.bytes = rest;
        Ok(bytes)
    }
}

/// The kind of a field or extension, and whether it may be packed.
fn field(kind: Option<&MessageDescriptor>, number: u64) -> Option<(Kind, bool)> {
    let number = u32::try_from(number).ok()?;
    let kind = kind?;
    if let Some(field) = kind.get_field(number) {
        return Some((field.kind(), field.is_list()));
    }
    kind.get_extension(number).map(|field| (field.kind(), field.is_list()))
}

fn delimited(field: Option<(Kind, bool)>, bytes: &[u8], budget: &mut Budget, depth: usize) -> Result<(), Refusal> {
    let Some((kind, list)) = field else { return Ok(()) };
    match kind {
        Kind::Message(kind) => Reader { bytes }.message(Some(&kind), budget, depth, None),
        Kind::String | Kind::Bytes => Ok(()),
        _ if !list => Ok(()),
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => budget.spend(bytes.len() / 8),
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => budget.spend(bytes.len() / 4),
        Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Bool
        | Kind::Enum(_) => budget.spend(bytes.iter().filter(|byte| **byte < 0x80).count()),
    }
}

fn malformed() -> Refusal {
    Refusal::internal("the message is not what its descriptor says")
}
