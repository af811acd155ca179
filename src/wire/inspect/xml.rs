// SPDX-License-Identifier: Apache-2.0
//! Hot. Looks at one XML document (XML 1.0, fifth edition), without a document type declaration.
//!
//! ```text
//!  Content ─ < ─► Open ─┬─ name ─► StartName ─► InTag ─► AttributeName ─► Equals ─► Quote ─► Value
//!     ▲                 ├─ / ────► EndName
//!     │                 ├─ ! ────► Bang ─► Comment, Section
//!     │                 └─ ? ────► Target ─► Instruction
//!     └───────────────────── > ──────────────┘
//! ```
//! Start and end tags must have the same name. Of names, hashes are kept, so that memory is bounded whatever they are.

use smallvec::SmallVec;

use crate::wire::inspect::bounds::{Bound, Bounds, Offence, count};
use crate::wire::inspect::utf8::Utf8;
use crate::wire::inspect::xml_text::{Encoding, declared, is_blank, is_character, is_name, starts_name};

/// What has been seen of a document.
#[derive(Debug)]
pub struct XmlScanner {
    bounds: Bounds,
    state: State,
    place: Place,
    encoding: Encoding,
    utf8: Utf8,
    /// Elements that are open, the outermost first: at most `Bounds::depth`.
    open: SmallVec<[Element; 8]>,
    /// Elements in all.
    elements: u32,
    /// Hashes of the names of the attributes of the tag that has begun: at most `Bounds::members`.
    attributes: SmallVec<[u64; 8]>,
    /// Bytes of the name or text that has begun.
    length: u32,
    /// The hash of the name that has begun.
    name: u64,
    /// The XML declaration, or the name of an entity, as far as it has come.
    word: SmallVec<[u8; 16]>,
}

/// An element that is open.
#[derive(Clone, Copy, Debug)]
struct Element {
    name: u64,
    children: u32,
}

/// Where in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing has come; an XML declaration may, and a byte order mark.
    Start,
    /// Behind a byte order mark; an XML declaration may come.
    Marked,
    /// In front of the root element.
    Before,
    /// In it.
    Inside,
    /// Behind it.
    After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a byte order mark: what must follow.
    Mark(&'static [u8]),
    /// In text, behind so many `]`.
    Content(u8),
    /// Behind `<`.
    Open,
    /// In the name of a start tag.
    StartName,
    /// Between attributes; behind a value something must separate the next.
    InTag(Gap),
    AttributeName,
    /// Behind an attribute's name.
    Equals,
    /// Behind `=`.
    Quote,
    /// In an attribute's value, up to this quotation mark.
    Value(u8),
    /// Behind `/` at the end of a start tag.
    Empty,
    EndName(Part),
    /// Behind `<!`.
    Bang,
    /// In `<!--` or `<![CDATA[`: what must follow, and what begins then.
    Words(&'static [u8], Then),
    /// In a comment, behind so many `-`.
    Comment(u8),
    /// In a CDATA section, behind so many `]`.
    Section(u8),
    /// In the target of a processing instruction.
    Target,
    /// In its content.
    Instruction(Mark),
    /// In the XML declaration.
    Declaration(Mark),
    /// Behind `&`, in text or in a value up to this quotation mark.
    Entity(Option<u8>),
}

/// May an attribute begin?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    Seen,
    Needed,
}

/// How much of the name of an end tag was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    None,
    Some,
    All,
}

/// Was the last byte a `?`?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Seen,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Comment,
    Section,
}

impl XmlScanner {
    /// At the beginning of a document.
    pub(crate) fn new(bounds: Bounds) -> XmlScanner {
        XmlScanner {
            bounds,
            state: State::Content(0),
            place: Place::Start,
            encoding: Encoding::Utf8,
            utf8: Utf8::default(),
            open: SmallVec::new(),
            elements: 0,
            attributes: SmallVec::new(),
            length: 0,
            name: 0,
            word: SmallVec::new(),
        }
    }

    /// Looks at the next portion.
    pub(crate) fn push(&mut self, content: &[u8]) -> Result<(), Offence> {
        content.iter().try_for_each(|byte| self.step(*byte))
    }

    /// The document ends here.
    pub(crate) fn finish(&mut self) -> Result<(), Offence> {
        let ended = self.place == Place::After && self.state == State::Content(0) && self.utf8.is_between();
        if ended { Ok(()) } else { Err(Offence::Xml) }
    }

    fn step(&mut self, byte: u8) -> Result<(), Offence> {
        let allowed = matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..);
        if !allowed || (self.encoding == Encoding::Utf8 && !self.utf8.step(byte)) {
            return Err(Offence::Xml);
        }
        self.state = match self.state {
            State::Content(brackets) => self.content(brackets, byte)?,
            State::Mark([next, rest @ ..]) if byte == *next => match rest {
                [] => State::Content(0),
                _ => State::Mark(rest),
            },
            State::Open => self.markup(byte)?,
            State::StartName | State::InTag(_) | State::Empty => self.tag(byte)?,
            State::AttributeName | State::Equals | State::Quote | State::Value(_) => self.attribute(byte)?,
            State::EndName(part) => self.end_tag(part, byte)?,
            State::Bang => match byte {
                b'-' => State::Words(b"-", Then::Comment),
                b'[' if self.place == Place::Inside => State::Words(b"CDATA[", Then::Section),
                b'D' => return Err(Offence::Entity),
                _ => return Err(Offence::Xml),
            },
            State::Words([next, rest @ ..], then) if byte == *next => match (rest, then) {
                ([], Then::Comment) => self.begin_text(State::Comment(0)),
                ([], Then::Section) => self.begin_text(State::Section(0)),
                (rest, then) => State::Words(rest, then),
            },
            State::Comment(_) | State::Section(_) => self.section(byte)?,
            State::Target | State::Instruction(_) | State::Declaration(_) => self.instruction(byte)?,
            State::Entity(quote) => self.entity(quote, byte)?,
            State::Mark(_) | State::Words(..) => return Err(Offence::Xml),
        };
        Ok(())
    }

    fn content(&mut self, brackets: u8, byte: u8) -> Result<State, Offence> {
        let place = self.place;
        if matches!(place, Place::Start | Place::Marked) && byte != b'<' {
            // Only a declaration at the very beginning is one.
            self.place = Place::Before;
            if place == Place::Start && byte == 0xEF {
                self.place = Place::Marked;
                return Ok(State::Mark(&[0xBB, 0xBF]));
            }
        }
        match byte {
            b'<' => Ok(State::Open),
            b'&' if place == Place::Inside => {
                self.word.clear();
                Ok(State::Entity(None))
            }
            b'>' if brackets == 2 => Err(Offence::Xml),
            _ if place == Place::Inside => {
                self.add_text()?;
                Ok(State::Content(if byte == b']' { (brackets + 1).min(2) } else { 0 }))
            }
            _ if is_blank(byte) => Ok(State::Content(0)),
            _ => Err(Offence::Xml),
        }
    }

    /// Behind `<`.
    fn markup(&mut self, byte: u8) -> Result<State, Offence> {
        if byte == b'?' {
            self.length = 0;
            self.word.clear();
            return Ok(State::Target);
        }
        self.leave_start();
        match byte {
            b'!' => Ok(State::Bang),
            b'/' if self.place == Place::Inside => {
                self.begin_name();
                Ok(State::EndName(Part::None))
            }
            _ if starts_name(byte) && self.place != Place::After => {
                if let Some(parent) = self.open.last_mut() {
                    count(&mut parent.children, self.bounds.items, Bound::Items)?;
                }
                count(&mut self.elements, self.bounds.values, Bound::Values)?;
                self.attributes.clear();
                self.begin_name();
                self.add_name(byte)?;
                Ok(State::StartName)
            }
            _ => Err(Offence::Xml),
        }
    }

    /// In a start tag, outside of attributes.
    fn tag(&mut self, byte: u8) -> Result<State, Offence> {
        match (self.state, byte) {
            (State::Empty, b'>') => {
                self.open.pop();
                Ok(self.closed())
            }
            (State::Empty, _) => Err(Offence::Xml),
            (State::StartName, _) if is_name(byte) => {
                self.add_name(byte)?;
                Ok(State::StartName)
            }
            (State::StartName, b'/' | b'>') | (State::StartName, b' ' | b'\t' | b'\n' | b'\r') => {
                if self.open.len() >= self.bounds.depth as usize {
                    return Err(Offence::Bound(Bound::Depth));
                }
                self.open.push(Element { name: self.name, children: 0 });
                self.place = Place::Inside;
                Ok(self.in_tag(byte))
            }
            (_, b'/' | b'>') => Ok(self.in_tag(byte)),
            _ if is_blank(byte) => Ok(State::InTag(Gap::Seen)),
            (State::InTag(Gap::Seen), _) if starts_name(byte) => {
                if self.attributes.len() >= self.bounds.members as usize {
                    return Err(Offence::Bound(Bound::Members));
                }
                self.begin_name();
                self.add_name(byte)?;
                Ok(State::AttributeName)
            }
            _ => Err(Offence::Xml),
        }
    }

    fn in_tag(&mut self, byte: u8) -> State {
        match byte {
            b'/' => State::Empty,
            b'>' => self.begin_text(State::Content(0)),
            _ => State::InTag(Gap::Seen),
        }
    }

    /// An element has ended.
    fn closed(&mut self) -> State {
        if self.open.is_empty() {
            self.place = Place::After;
        }
        self.begin_text(State::Content(0))
    }

    fn attribute(&mut self, byte: u8) -> Result<State, Offence> {
        match (self.state, byte) {
            (State::AttributeName, _) if is_name(byte) => {
                self.add_name(byte)?;
                Ok(State::AttributeName)
            }
            (State::AttributeName, _) if byte == b'=' || is_blank(byte) => {
                if self.attributes.contains(&self.name) {
                    return Err(Offence::Xml);
                }
                self.attributes.push(self.name);
                Ok(if byte == b'=' { State::Quote } else { State::Equals })
            }
            (State::Equals, b'=') => Ok(State::Quote),
            (State::Equals | State::Quote, _) if is_blank(byte) => Ok(self.state),
            (State::Quote, b'"' | b'\'') => Ok(self.begin_text(State::Value(byte))),
            (State::Value(quote), _) if byte == quote => Ok(State::InTag(Gap::Needed)),
            (State::Value(quote), b'&') => {
                self.word.clear();
                Ok(State::Entity(Some(quote)))
            }
            (State::Value(_), b'<') => Err(Offence::Xml),
            (State::Value(_), _) => {
                self.add_text()?;
                Ok(self.state)
            }
            _ => Err(Offence::Xml),
        }
    }

    fn end_tag(&mut self, part: Part, byte: u8) -> Result<State, Offence> {
        match (part, byte) {
            (Part::None, _) if starts_name(byte) => {
                self.add_name(byte)?;
                Ok(State::EndName(Part::Some))
            }
            (Part::Some, _) if is_name(byte) => {
                self.add_name(byte)?;
                Ok(State::EndName(Part::Some))
            }
            (Part::Some | Part::All, b'>') => match self.open.pop() {
                Some(element) if element.name == self.name => Ok(self.closed()),
                Some(_) | None => Err(Offence::Xml),
            },
            (Part::Some | Part::All, _) if is_blank(byte) => Ok(State::EndName(Part::All)),
            _ => Err(Offence::Xml),
        }
    }

    /// In a comment or a CDATA section.
    fn section(&mut self, byte: u8) -> Result<State, Offence> {
        match (self.state, byte) {
            (State::Comment(2), b'>') | (State::Section(2), b'>') => Ok(match self.state {
                State::Comment(_) => self.begin_text(State::Content(0)),
                _ => State::Content(0),
            }),
            // No `--` within a comment.
            (State::Comment(2), _) => Err(Offence::Xml),
            (State::Comment(dashes), b'-') => Ok(State::Comment(dashes + 1)),
            (State::Section(brackets), b']') => {
                self.add_text()?;
                Ok(State::Section((brackets + 1).min(2)))
            }
            (State::Comment(_), _) => {
                self.add_text()?;
                Ok(State::Comment(0))
            }
            _ => {
                self.add_text()?;
                Ok(State::Section(0))
            }
        }
    }

    fn instruction(&mut self, byte: u8) -> Result<State, Offence> {
        match (self.state, byte) {
            (State::Target, _) if is_name(byte) && (self.length > 0 || starts_name(byte)) => {
                count(&mut self.length, self.bounds.name_bytes, Bound::Name)?;
                if self.word.len() < XML.len() + 1 {
                    self.word.push(byte);
                }
                Ok(State::Target)
            }
            (State::Target, _) if self.length > 0 && (is_blank(byte) || byte == b'?') => self.target(byte),
            (State::Instruction(Mark::Seen) | State::Declaration(Mark::Seen), b'>') => {
                if matches!(self.state, State::Declaration(_)) {
                    self.encoding = declared(&self.word).ok_or(Offence::Xml)?;
                }
                Ok(self.begin_text(State::Content(0)))
            }
            (State::Instruction(_), _) => {
                self.add_text()?;
                Ok(State::Instruction(if byte == b'?' { Mark::Seen } else { Mark::None }))
            }
            (State::Declaration(_), _) if self.word.len() < DECLARATION_BYTES_MAX => {
                self.word.push(byte);
                Ok(State::Declaration(if byte == b'?' { Mark::Seen } else { Mark::None }))
            }
            _ => Err(Offence::Xml),
        }
    }

    /// Behind the target of an instruction.
    fn target(&mut self, byte: u8) -> Result<State, Offence> {
        let place = self.place;
        self.leave_start();
        let mark = if byte == b'?' { Mark::Seen } else { Mark::None };
        let next = match &self.word[..] {
            XML if matches!(place, Place::Start | Place::Marked) => State::Declaration(mark),
            // Anywhere else it would be an instruction, which may not be named so.
            word if word.eq_ignore_ascii_case(XML) => return Err(Offence::Xml),
            _ => State::Instruction(mark),
        };
        self.word.clear();
        Ok(self.begin_text(next))
    }

    /// Behind `&`: a character by number, or one of the five names that need no declaration.
    fn entity(&mut self, quote: Option<u8>, byte: u8) -> Result<State, Offence> {
        if byte != b';' {
            if self.word.len() >= REFERENCE_BYTES_MAX {
                return Err(Offence::Entity);
            }
            self.word.push(byte);
            return Ok(self.state);
        }
        match &self.word[..] {
            b"lt" | b"gt" | b"amp" | b"apos" | b"quot" => {}
            [b'#', number @ ..] if is_character(number) => {}
            [b'#', ..] => return Err(Offence::Xml),
            _ => return Err(Offence::Entity),
        }
        self.add_text()?;
        Ok(quote.map_or(State::Content(0), State::Value))
    }

    fn leave_start(&mut self) {
        if matches!(self.place, Place::Start | Place::Marked) {
            self.place = Place::Before;
        }
    }

    fn begin_name(&mut self) {
        (self.length, self.name) = (0, FNV_START);
    }

    fn add_name(&mut self, byte: u8) -> Result<(), Offence> {
        self.name = (self.name ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        count(&mut self.length, self.bounds.name_bytes, Bound::Name)
    }

    fn begin_text(&mut self, state: State) -> State {
        self.length = 0;
        state
    }

    fn add_text(&mut self) -> Result<(), Offence> {
        count(&mut self.length, self.bounds.text_bytes, Bound::Text)
    }
}

const XML: &[u8] = b"xml";
/// Longest reference to a character: `#x10FFFF` with two zeros in front. A longer one is no name that needs no
/// declaration.
const REFERENCE_BYTES_MAX: usize = 10;
/// Longest XML declaration, without `<?xml`; above it the document is not read.
const DECLARATION_BYTES_MAX: usize = 128;
/// FNV-1a: a name is only compared with names of the same document, so a collision fools nobody but its sender.
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;
