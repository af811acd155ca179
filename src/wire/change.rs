// SPDX-License-Identifier: Apache-2.0
//! Hot. Changes to a head's fields as a configuration writes them, with values from templates. Routes and policies
//! change fields by these, so that a change means the same wherever it is written.
//!
//! A name stands for all names that differ from it only in case or by `_` for `-`, because many origins cannot tell
//! them apart.
//!
//! A value that comes out empty, or with a byte that no field value has (RFC 9110 section 5.5), is not sent: a client
//! can neither end the line nor keep a field that `Set` replaces.

use crate::base::ascii;
use crate::wire::head::Fields;
use crate::wire::patch::Patch;
use crate::wire::template::{Lookup, Template};

/// One change to a head's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// No field of that name.
    Remove(Box<str>),
    /// The received fields of the first name get the second.
    Rename(Box<str>, Box<str>),
    /// The only field of that name.
    Set(Box<str>, Template),
    /// One more field, whatever is there.
    Add(Box<str>, Template),
    /// The field, where there is none of that name yet.
    Default(Box<str>, Template),
}

/// The fields as received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'a> {
    /// The fields.
    pub fields: &'a Fields,
    /// The bytes that they point into.
    pub bytes: &'a [u8],
}

impl Change {
    /// What its value is made from, where it has one.
    pub fn template(&self) -> Option<&Template> {
        match self {
            Change::Remove(_) | Change::Rename(..) => None,
            Change::Set(_, template) | Change::Add(_, template) | Change::Default(_, template) => Some(template),
        }
    }
}

/// Adds `changes` to `patch`, in order. Values are made in `scratch`.
pub(crate) fn apply<L: Lookup>(
    changes: &[Change],
    received: Received<'_>,
    words: &L,
    patch: &mut Patch,
    scratch: &mut Vec<u8>,
) {
    for change in changes {
        match change {
            Change::Remove(name) => patch.remove(received.fields, received.bytes, name.as_bytes()),
            Change::Rename(from, to) => received.rename(from.as_bytes(), to.as_bytes(), patch),
            Change::Set(name, template) => {
                patch.remove(received.fields, received.bytes, name.as_bytes());
                add(name, template, words, patch, scratch);
            }
            Change::Add(name, template) => add(name, template, words, patch, scratch),
            Change::Default(name, template) => {
                if !received.has(name.as_bytes(), patch) {
                    add(name, template, words, patch, scratch);
                }
            }
        }
    }
}

/// The value of a field from a template, without spaces at its ends; `None` where it is not sent. It is made in
/// `scratch`.
pub(crate) fn value<'a, L: Lookup>(template: &'a Template, words: &L, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let text = match template.literal() {
        Some(literal) => literal,
        None => {
            scratch.clear();
            template.render(words, scratch);
            scratch.as_slice()
        }
    };
    Some(text.trim_ascii()).filter(|text| !text.is_empty() && ascii::is_field_value(text))
}

fn add<L: Lookup>(name: &str, template: &Template, words: &L, patch: &mut Patch, scratch: &mut Vec<u8>) {
    if let Some(value) = value(template, words, scratch) {
        patch.add(name.as_bytes(), value);
    }
}

impl Received<'_> {
    fn has(self, name: &[u8], patch: &Patch) -> bool {
        let mut received = self.fields.list.iter().enumerate();
        received
            .any(|(index, field)| !patch.is_removed(index) && ascii::is_same_to_origin(field.name.of(self.bytes), name))
            || patch.added().any(|(added, _)| ascii::is_same_to_origin(added, name))
    }

    fn rename(self, from: &[u8], to: &[u8], patch: &mut Patch) {
        for (index, field) in self.fields.list.iter().enumerate() {
            if !patch.is_removed(index) && ascii::is_same_to_origin(field.name.of(self.bytes), from) {
                patch.remove_at(index);
                patch.add(to, field.value.of(self.bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Span;
    use crate::wire::field::Known;
    use crate::wire::head::Field;
    use crate::wire::template::Variable;

    /// A field's value is its own name; that of `x-bad` ends the line, and `x-none` is not there.
    struct Words;

    impl Lookup for Words {
        fn append(&self, variable: &Variable, out: &mut Vec<u8>) {
            match variable {
                Variable::Header(name) if &**name == "x-bad" => out.extend_from_slice(b"a\r\nInjected: yes"),
                Variable::Header(name) if &**name == "x-none" => {}
                Variable::Header(name) => out.extend_from_slice(name.as_bytes()),
                _ => {}
            }
        }
    }

    fn template(text: &str) -> Template {
        Template::compile(text, &[]).unwrap()
    }

    /// What a head of `fields` has after `changes`: the received names that are left, and the added lines.
    fn changed(fields: &[(&str, &str)], changes: &[Change]) -> (Vec<String>, Vec<String>) {
        let (mut head, mut bytes) = (Fields::default(), Vec::new());
        for (name, value) in fields {
            let start = bytes.len();
            bytes.extend_from_slice(name.as_bytes());
            let middle = bytes.len();
            bytes.extend_from_slice(value.as_bytes());
            let value = Span::new(middle, bytes.len());
            head.push(Field { name: Span::new(start, middle), value, known: Known::of(name.as_bytes()) });
        }
        let mut patch = Patch::default();
        apply(changes, Received { fields: &head, bytes: &bytes }, &Words, &mut patch, &mut Vec::new());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let left = head.list.iter().enumerate().filter(|(index, _)| !patch.is_removed(*index));
        let left = left.map(|(_, field)| text(field.name.of(&bytes))).collect();
        (left, patch.added().map(|(name, value)| format!("{}: {}", text(name), text(value))).collect())
    }

    #[test]
    fn changes_are_made_in_order() {
        let changes = [
            Change::Remove("accept".into()),
            Change::Rename("x-old".into(), "X-New".into()),
            Change::Set("X-Who".into(), template(" <{header.me}> ")),
            Change::Add("X-Two".into(), template("1")),
            Change::Add("X-Two".into(), template("2")),
            Change::Default("x-two".into(), template("3")),
            Change::Default("x-new".into(), template("3")),
            Change::Default("Accept".into(), template("*/*")),
            Change::Default("x-kept".into(), template("3")),
        ];
        let fields = [("Accept", "a"), ("X-Old", "1"), ("x-old", "2"), ("x-who", "forged"), ("X-Kept", "1")];
        let (left, added) = changed(&fields, &changes);
        assert_eq!(left, ["X-Kept"]);
        let expected = ["X-New: 1", "X-New: 2", "X-Who: <me>", "X-Two: 1", "X-Two: 2", "Accept: */*"];
        assert_eq!(added, expected);
    }

    #[test]
    fn an_empty_value_and_one_with_control_bytes_are_not_sent() {
        for text in ["{header.x-none}", " {header.x-none}\t", "", "  ", "a {header.x-bad}"] {
            let changes = [
                Change::Set("X-Set".into(), template(text)),
                Change::Add("X-Add".into(), template(text)),
                Change::Default("X-Default".into(), template(text)),
            ];
            let (left, added) = changed(&[("x-set", "forged"), ("x-add", "1")], &changes);
            assert_eq!(left, ["x-add"], "the client's own value never stands in the place of one that is set");
            assert!(added.is_empty(), "{text:?}: {added:?}");
        }
    }
}
