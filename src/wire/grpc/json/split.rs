// SPDX-License-Identifier: Apache-2.0
//! Where one JSON value ends and the next begins, in a stream that comes in any split.
//!
//! Two layouts are taken: values one after the other (lines of NDJSON), or elements of one array. It finds borders
//! only; whether a value is JSON is decided by the parser that reads it.

use std::ops::ControlFlow;

use crate::wire::grpc::json::refusal::Refusal;

/// Cuts a stream into values.
#[derive(Debug)]
pub(crate) struct Splitter {
    state: State,
    layout: Layout,
    depth: usize,
    value: Vec<u8>,
    bytes_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a value, or before the end where one may come.
    Before,
    /// In an array, behind a comma.
    Awaited,
    /// In an object or array.
    Nested,
    /// In a string; nested or not.
    Text,
    /// Behind a backslash in a string.
    Escape,
    /// In a number, `true`, `false` or `null`.
    Bare,
    /// In an array, behind a value.
    Behind,
    /// Behind the array.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Open,
    Values,
    Array,
}

impl Splitter {
    /// For values of at most `bytes_max` bytes each.
    pub(crate) const fn new(bytes_max: usize) -> Splitter {
        Splitter { state: State::Before, layout: Layout::Open, depth: 0, value: Vec::new(), bytes_max }
    }

    /// Hands each value that ends in `bytes` to `take`, until that breaks off. Returns how many bytes were read.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        take: &mut impl FnMut(&[u8]) -> Result<ControlFlow<()>, Refusal>,
    ) -> Result<usize, Refusal> {
        for (at, byte) in bytes.iter().enumerate() {
            if self.step(*byte)? {
                let flow = take(&self.value)?;
                self.value.clear();
                if flow.is_break() {
                    return Ok(at + 1);
                }
            }
            if self.value.len() > self.bytes_max {
                return Err(Refusal::too_much("a message is larger than allowed"));
            }
        }
        Ok(bytes.len())
    }

    /// The stream ended here. The value that ends with it, if one does.
    pub(crate) fn finish(&mut self) -> Result<Option<&[u8]>, Refusal> {
        match (self.layout, self.state) {
            (Layout::Values, State::Bare) => {
                self.state = State::Before;
                Ok(Some(&self.value))
            }
            (Layout::Open | Layout::Values, State::Before) | (Layout::Array, State::Ended) => Ok(None),
            (Layout::Open | Layout::Values | Layout::Array, _) => Err(Refusal::invalid("the body ends inside a value")),
        }
    }

    /// True where the value is complete.
    fn step(&mut self, byte: u8) -> Result<bool, Refusal> {
        match self.state {
            State::Before | State::Awaited => self.between(byte),
            State::Behind => {
                self.behind(byte)?;
                Ok(false)
            }
            State::Ended => match byte.is_ascii_whitespace() {
                true => Ok(false),
                false => Err(Refusal::invalid("something stands behind the array")),
            },
            State::Bare if byte.is_ascii_whitespace() || byte == b',' || byte == b']' => {
                self.leave();
                if self.layout == Layout::Array {
                    self.behind(byte)?;
                } else if !byte.is_ascii_whitespace() {
                    return Err(Refusal::invalid("values are separated by line ends or stand in an array"));
                }
                Ok(true)
            }
            State::Bare => {
                self.value.push(byte);
                Ok(false)
            }
            State::Nested | State::Text | State::Escape => {
                self.value.push(byte);
                Ok(self.inside(byte))
            }
        }
    }

    fn between(&mut self, byte: u8) -> Result<bool, Refusal> {
        if byte.is_ascii_whitespace() {
            return Ok(false);
        }
        match (self.layout, byte) {
            (Layout::Open, b'[') => {
                self.layout = Layout::Array;
                return Ok(false);
            }
            (Layout::Array, b']') if self.state == State::Before => {
                self.state = State::Ended;
                return Ok(false);
            }
            (Layout::Open, _) => self.layout = Layout::Values,
            (Layout::Values | Layout::Array, _) => {}
        }
        self.value.push(byte);
        self.state = match byte {
            b'{' | b'[' => State::Nested,
            b'"' => State::Text,
            b'}' | b']' | b',' | b':' => return Err(Refusal::invalid("a value is missing")),
            _ => State::Bare,
        };
        self.depth = usize::from(self.state == State::Nested);
        Ok(false)
    }

    /// In an array, behind a value.
    fn behind(&mut self, byte: u8) -> Result<(), Refusal> {
        self.state = match byte {
            b',' => State::Awaited,
            b']' => State::Ended,
            _ if byte.is_ascii_whitespace() => State::Behind,
            _ => return Err(Refusal::invalid("the elements of an array are separated by commas")),
        };
        Ok(())
    }

    /// True where the value ends with this byte.
    fn inside(&mut self, byte: u8) -> bool {
        match (self.state, byte) {
            (State::Escape, _) => self.state = State::Text,
            (State::Text, b'\\') => self.state = State::Escape,
            (State::Text, b'"') if self.depth == 0 => return self.leave(),
            (State::Text, b'"') => self.state = State::Nested,
            (State::Nested, b'"') => self.state = State::Text,
            (State::Nested, b'{' | b'[') => self.depth += 1,
            (State::Nested, b'}' | b']') => {
                self.depth -= 1;
                if self.depth == 0 {
                    return self.leave();
                }
            }
            (_, _) => {}
        }
        false
    }

    fn leave(&mut self) -> bool {
        self.state = if self.layout == Layout::Array { State::Behind } else { State::Before };
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &str, step: usize) -> Result<Vec<String>, String> {
        let mut values = Vec::new();
        let mut splitter = Splitter::new(40);
        for mut piece in text.as_bytes().chunks(step) {
            while !piece.is_empty() {
                let mut take = |value: &[u8]| {
                    values.push(String::from_utf8_lossy(value).into_owned());
                    Ok(if values.len() % 2 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
                };
                let read = splitter.push(piece, &mut take).map_err(|refusal| refusal.what)?;
                piece = &piece[read..];
            }
        }
        let last = splitter.finish().map_err(|refusal| refusal.what)?;
        values.extend(last.map(|value| String::from_utf8_lossy(value).into_owned()));
        Ok(values)
    }

    #[test]
    fn values_and_arrays() {
        for step in 1..12 {
            let ok = |text: &str, values: &[&str]| assert_eq!(split(text, step).unwrap(), values, "{text}");
            ok("", &[]);
            ok(" \n", &[]);
            ok(r#"{"a":"}\"{"}{"b":[1,2]}"#, &[r#"{"a":"}\"{"}"#, r#"{"b":[1,2]}"#]);
            ok("1 2\n\"a\"", &["1", "2", "\"a\""]);
            ok("[]", &[]);
            ok(" [ {} , 1,\"x\",[2] ] ", &["{}", "1", "\"x\"", "[2]"]);
        }
    }

    #[test]
    fn what_is_refused() {
        for text in ["[", "[1", "[1,", "[1,]", "[,1]", "{", "\"a", "1,2", "[1]2", "[{}{}]", "}", "\"\\\"", "[1}", ":"] {
            for step in 1..5 {
                let values = split(text, step);
                assert!(values.is_err() || text == "[1}", "{text} gave {values:?}");
            }
        }
        assert!(split(&"1".repeat(41), 3).is_err());
    }

    proptest! {
        #[test]
        fn splits_do_not_matter(text in r#"[\[\]{},:"\\1 ]{0,30}"#, step in 1usize..9) {
            prop_assert_eq!(split(&text, step), split(&text, 1));
        }
    }
}
