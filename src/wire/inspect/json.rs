// SPDX-License-Identifier: Apache-2.0
//! Hot. Looks at one JSON text (RFC 8259).
//!
//! ```text
//!          ┌─────────────── , ────────────────┐
//!          ▼                                  │
//!  Value ──┬─ { ─► FirstName ─ text ─► Colon ─┴─ : ─► Value
//!          ├─ [ ─► FirstValue ─► Value
//!          └─ text, number, word ─► After ─ } or ] ─► After
//! ```

use smallvec::SmallVec;

use crate::wire::inspect::bounds::{Bound, Bounds, Offence, count};
use crate::wire::inspect::utf8::Utf8;

/// What has been seen of a text.
#[derive(Debug)]
pub struct JsonScanner {
    bounds: Bounds,
    state: State,
    /// What is open, the outermost first: at most `Bounds::depth`.
    open: SmallVec<[Container; 8]>,
    /// Values in all.
    values: u32,
    /// Bytes of the string or number that has begun.
    length: u32,
    utf8: Utf8,
}

/// What is open, with the number of its members or values.
#[derive(Clone, Copy, Debug)]
enum Container {
    Object(u32),
    Array(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value must come.
    Value,
    /// Behind `[`: a value, or the end.
    FirstValue,
    /// Behind `{`: a name, or the end.
    FirstName,
    /// Behind a comma in an object: a name.
    Name,
    /// Behind a name.
    Colon,
    /// Behind a value: a comma, or the end of what is open; behind the outermost value nothing.
    After,
    /// In a string.
    Text(Role),
    /// Behind `\`.
    Escape(Role),
    /// In `\uXXXX`, with so many digits to come.
    Unicode(Role, u8),
    /// In `true`, `false` or `null`: what must follow.
    Word(&'static [u8]),
    /// In a number.
    Number(Digits),
}

/// What a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Name,
    Value,
}

/// Where in a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digits {
    /// Behind `-`.
    Sign,
    /// Behind a leading `0`, after which no digit may follow.
    Zero,
    /// In the digits in front of the point.
    Whole,
    /// Behind the point.
    Point,
    /// In the digits behind it.
    Fraction,
    /// Behind `e`.
    Exponent,
    /// Behind its sign.
    ExponentSign,
    /// In its digits.
    Power,
}

impl JsonScanner {
    /// At the beginning of a text.
    pub(crate) fn new(bounds: Bounds) -> JsonScanner {
        let utf8 = Utf8::default();
        JsonScanner { bounds, state: State::Value, open: SmallVec::new(), values: 0, length: 0, utf8 }
    }

    /// Looks at the next portion.
    pub(crate) fn push(&mut self, content: &[u8]) -> Result<(), Offence> {
        let mut rest = content;
        while let [byte, after @ ..] = rest {
            rest = match self.state {
                State::Text(role) => self.text(role, rest)?,
                State::Number(digits) => match self.number(digits, *byte)? {
                    Step::Taken => after,
                    // What ends a number stands behind it.
                    Step::Left => rest,
                },
                _ => {
                    self.step(*byte)?;
                    after
                }
            };
        }
        Ok(())
    }

    /// The text ends here.
    pub(crate) fn finish(&mut self) -> Result<(), Offence> {
        if let State::Number(digits) = self.state {
            self.end_number(digits)?;
        }
        if self.state == State::After && self.open.is_empty() { Ok(()) } else { Err(Offence::Json) }
    }

    fn step(&mut self, byte: u8) -> Result<(), Offence> {
        let blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.state = match (self.state, byte) {
            (State::Escape(role), b'u') => {
                self.add_length(role, 4)?;
                State::Unicode(role, 4)
            }
            (State::Escape(role), b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => State::Text(role),
            (State::Unicode(role, left), _) if byte.is_ascii_hexdigit() => match left {
                1 => State::Text(role),
                _ => State::Unicode(role, left - 1),
            },
            (State::Word([next, rest @ ..]), _) if byte == *next => match rest {
                [] => State::After,
                _ => State::Word(rest),
            },
            (State::Escape(_) | State::Unicode(..) | State::Word(_), _) => return Err(Offence::Json),
            (state, _) if blank => state,
            (State::FirstValue, b']') | (State::FirstName, b'}') => self.close(),
            (State::Value | State::FirstValue, _) => self.value(byte)?,
            (State::FirstName | State::Name, b'"') => self.name()?,
            (State::Colon, b':') => State::Value,
            (State::After, _) => match (self.open.last(), byte) {
                (Some(Container::Object(_)), b',') => State::Name,
                (Some(Container::Array(_)), b',') => State::Value,
                (Some(Container::Object(_)), b'}') | (Some(Container::Array(_)), b']') => self.close(),
                _ => return Err(Offence::Json),
            },
            (State::FirstName | State::Name | State::Colon | State::Text(_) | State::Number(_), _) => {
                return Err(Offence::Json);
            }
        };
        Ok(())
    }

    /// A name begins.
    fn name(&mut self) -> Result<State, Offence> {
        if let Some(Container::Object(members)) = self.open.last_mut() {
            count(members, self.bounds.members, Bound::Members)?;
        }
        self.length = 0;
        Ok(State::Text(Role::Name))
    }

    /// A value begins.
    fn value(&mut self, byte: u8) -> Result<State, Offence> {
        count(&mut self.values, self.bounds.values, Bound::Values)?;
        if let Some(Container::Array(items)) = self.open.last_mut() {
            count(items, self.bounds.items, Bound::Items)?;
        }
        self.length = 0;
        Ok(match byte {
            b'{' => self.open(Container::Object(0), State::FirstName)?,
            b'[' => self.open(Container::Array(0), State::FirstValue)?,
            b'"' => State::Text(Role::Value),
            b't' => State::Word(b"rue"),
            b'f' => State::Word(b"alse"),
            b'n' => State::Word(b"ull"),
            b'-' => self.digit(Digits::Sign)?,
            b'0' => self.digit(Digits::Zero)?,
            b'1'..=b'9' => self.digit(Digits::Whole)?,
            _ => return Err(Offence::Json),
        })
    }

    fn open(&mut self, container: Container, then: State) -> Result<State, Offence> {
        if self.open.len() >= self.bounds.depth as usize {
            return Err(Offence::Bound(Bound::Depth));
        }
        self.open.push(container);
        Ok(then)
    }

    fn close(&mut self) -> State {
        self.open.pop();
        State::After
    }

    /// Takes what belongs to a string from the front of `rest`, which is not empty.
    fn text<'r>(&mut self, role: Role, rest: &'r [u8]) -> Result<&'r [u8], Offence> {
        let plain = if self.utf8.is_between() { rest.iter().take_while(|byte| is_plain(**byte)).count() } else { 0 };
        self.add_length(role, plain)?;
        let [byte, after @ ..] = &rest[plain..] else { return Ok(&[]) };
        match byte {
            b'"' if self.utf8.is_between() => {
                self.state = if role == Role::Name { State::Colon } else { State::After };
            }
            b'\\' if self.utf8.is_between() => {
                self.add_length(role, 2)?;
                self.state = State::Escape(role);
            }
            0..0x20 => return Err(Offence::Json),
            _ if self.utf8.step(*byte) => self.add_length(role, 1)?,
            _ => return Err(Offence::Json),
        }
        Ok(after)
    }

    fn add_length(&mut self, role: Role, bytes: usize) -> Result<(), Offence> {
        let (max, bound) = match role {
            Role::Name => (self.bounds.name_bytes, Bound::Name),
            Role::Value => (self.bounds.text_bytes, Bound::Text),
        };
        self.length = self.length.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.length > max { Err(Offence::Bound(bound)) } else { Ok(()) }
    }

    /// One more byte of a number.
    fn digit(&mut self, then: Digits) -> Result<State, Offence> {
        count(&mut self.length, self.bounds.number_bytes, Bound::Number)?;
        Ok(State::Number(then))
    }

    fn number(&mut self, digits: Digits, byte: u8) -> Result<Step, Offence> {
        let then = match (digits, byte) {
            (Digits::Sign, b'0') => Digits::Zero,
            (Digits::Sign | Digits::Whole, b'0'..=b'9') => Digits::Whole,
            (Digits::Zero | Digits::Whole, b'.') => Digits::Point,
            (Digits::Point | Digits::Fraction, b'0'..=b'9') => Digits::Fraction,
            (Digits::Zero | Digits::Whole | Digits::Fraction, b'e' | b'E') => Digits::Exponent,
            (Digits::Exponent, b'+' | b'-') => Digits::ExponentSign,
            (Digits::Exponent | Digits::ExponentSign | Digits::Power, b'0'..=b'9') => Digits::Power,
            _ => {
                self.end_number(digits)?;
                return Ok(Step::Left);
            }
        };
        self.state = self.digit(then)?;
        Ok(Step::Taken)
    }

    fn end_number(&mut self, digits: Digits) -> Result<(), Offence> {
        match digits {
            Digits::Zero | Digits::Whole | Digits::Fraction | Digits::Power => {
                self.state = State::After;
                Ok(())
            }
            Digits::Sign | Digits::Point | Digits::Exponent | Digits::ExponentSign => Err(Offence::Json),
        }
    }
}

/// What became of a byte.
enum Step {
    Taken,
    Left,
}

/// ASCII that stands for itself in a string.
fn is_plain(byte: u8) -> bool {
    (0x20..0x80).contains(&byte) && byte != b'"' && byte != b'\\'
}
