//! Hot. Request and response fields added, set, removed, renamed, with values from templates.
//!
//! Fields that frame a message or belong to one connection are not ours to edit: `check_name` refuses them when a plan
//! is made. A value that a variable would turn into more than one line is not written at all.

use crate::policy::decision::Decision;
use crate::policy::facts::{Effects, Response};
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::policy::text::{is_field_value, is_token};
use crate::wire::head::Fields;
use crate::wire::patch::Patch;
use crate::wire::template::{Lookup, Template};

/// Changes to fields, each list in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// On the way to the upstream.
    pub request: Box<[Change]>,
    /// On the way to the client, also for answers of the gateway.
    pub response: Box<[Change]>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// One more field, whatever is there.
    Add(Box<[u8]>, Template),
    /// The only field of that name.
    Set(Box<[u8]>, Template),
    /// The field, where there is none of that name yet.
    SetIfMissing(Box<[u8]>, Template),
    /// No field of that name.
    Remove(Box<[u8]>),
    /// The received fields of the first name get the second.
    Rename(Box<[u8]>, Box<[u8]>),
}

/// Why a field may not be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It is not a token (RFC 9110 section 5.1).
    NotAToken,
    /// It says where a message ends (RFC 9112 section 6).
    Framing,
    /// It belongs to one connection (RFC 9110 section 7.6.1).
    HopByHop,
}

/// May a plan name this field?
///
/// # Errors
/// Why not.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let is_one_of = |names: &[&str]| names.iter().any(|other| name.eq_ignore_ascii_case(other));
    if !is_token(name.as_bytes()) {
        return Err(NameError::NotAToken);
    }
    if is_one_of(&["content-length", "transfer-encoding", "trailer", "te"]) {
        return Err(NameError::Framing);
    }
    if is_one_of(&["connection", "keep-alive", "proxy-connection", "upgrade", "http2-settings", "expect"]) {
        return Err(NameError::HopByHop);
    }
    Ok(())
}

impl Kind for Plan {
    type State = ();
    type Memo = ();

    fn phase(&self) -> Phase {
        Phase::Shape
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, ()>) -> Decision<'_> {
        let Call { facts, effects, .. } = call;
        let Effects { to_upstream, scratch, .. } = effects;
        let head = Head { fields: &facts.request.head.fields, bytes: facts.request.bytes };
        self.request.iter().for_each(|change| change.apply(head, facts.words, to_upstream, scratch));
        Decision::Pass
    }

    fn adapt<L: Lookup>(&self, (): &mut (), response: Response<'_>, words: &L, effects: &mut Effects) {
        let Effects { to_client, scratch, .. } = effects;
        let head = Head { fields: &response.head.fields, bytes: response.bytes };
        self.response.iter().for_each(|change| change.apply(head, words, to_client, scratch));
    }
}

/// The fields as received.
#[derive(Clone, Copy)]
struct Head<'a> {
    fields: &'a Fields,
    bytes: &'a [u8],
}

impl Change {
    fn apply<L: Lookup>(&self, head: Head<'_>, words: &L, patch: &mut Patch, scratch: &mut Vec<u8>) {
        match self {
            Change::Add(name, value) => add(name, value, words, patch, scratch),
            Change::Set(name, value) => {
                patch.remove(head.fields, head.bytes, name);
                add(name, value, words, patch, scratch);
            }
            Change::SetIfMissing(name, value) => {
                if !head.has(name, patch) {
                    add(name, value, words, patch, scratch);
                }
            }
            Change::Remove(name) => patch.remove(head.fields, head.bytes, name),
            Change::Rename(from, to) => head.rename(from, to, patch),
        }
    }
}

impl Head<'_> {
    fn has(self, name: &[u8], patch: &Patch) -> bool {
        let mut received = self.fields.list.iter().enumerate();
        received.any(|(index, field)| !patch.is_removed(index) && field.name.of(self.bytes).eq_ignore_ascii_case(name))
            || patch.added().any(|(added, _)| added.eq_ignore_ascii_case(name))
    }

    fn rename(self, from: &[u8], to: &[u8], patch: &mut Patch) {
        for (index, field) in self.fields.list.iter().enumerate() {
            if !patch.is_removed(index) && field.name.of(self.bytes).eq_ignore_ascii_case(from) {
                patch.remove_at(index);
                patch.add(to, field.value.of(self.bytes));
            }
        }
    }
}

/// A value without a single byte is not sent: a variable that has none leaves the field out.
fn add<L: Lookup>(name: &[u8], value: &Template, words: &L, patch: &mut Patch, scratch: &mut Vec<u8>) {
    if let Some(literal) = value.literal() {
        patch.add(name, literal);
        return;
    }
    scratch.clear();
    value.render(words, scratch);
    let value = scratch.trim_ascii();
    if !value.is_empty() && is_field_value(value) {
        patch.add(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{Fixture, ResponseFixture, Words, added, decide};

    fn name(text: &str) -> Box<[u8]> {
        text.as_bytes().into()
    }

    fn value(text: &str) -> Template {
        Template::compile(text, &[]).unwrap()
    }

    #[test]
    fn requests_change_in_order() {
        let plan = Plan {
            request: Box::new([
                Change::Remove(name("accept")),
                Change::Rename(name("x-old"), name("X-New")),
                Change::Set(name("X-Who"), value("ip {client.ip}")),
                Change::Add(name("X-Two"), value("1")),
                Change::Add(name("X-Two"), value("2")),
                Change::SetIfMissing(name("x-two"), value("3")),
                Change::SetIfMissing(name("X-Three"), value("3")),
                Change::Add(name("X-Evil"), value("{header.X-Bad}")),
                Change::Add(name("X-Nothing"), value("{header.X-None}")),
            ]),
            response: Box::default(),
        };
        let fixture =
            Fixture::get("/").field("Accept", "a").field("X-Old", "1").field("X-Old", "2").field("x-who", "forged");
        let mut effects = Effects::default();
        assert_eq!(decide(&plan, &fixture.facts(), &mut effects), Decision::Pass);
        assert!(fixture.left(&effects.to_upstream).is_empty());
        let expected = [
            ("X-New", "1"),
            ("X-New", "2"),
            ("X-Who", "ip 192.0.2.1"),
            ("X-Two", "1"),
            ("X-Two", "2"),
            ("X-Three", "3"),
        ];
        assert_eq!(added(&effects.to_upstream), expected, "no line is ever added by a value");
        assert!(added(&effects.to_client).is_empty());
    }

    #[test]
    fn responses_change_too() {
        let plan = Plan {
            request: Box::default(),
            response: Box::new([
                Change::Set(name("Server"), value("ours")),
                Change::Add(name("X-Status"), value("{status}")),
            ]),
        };
        let reply = ResponseFixture::new(200).field("server", "theirs").field("Date", "today");
        let mut effects = Effects::default();
        plan.adapt(&mut (), reply.response(), &Words, &mut effects);
        assert_eq!(reply.left(&effects.to_client), [("Date".to_owned(), "today".to_owned())]);
        assert_eq!(added(&effects.to_client), [("Server", "ours"), ("X-Status", "200")]);
    }

    #[test]
    fn framing_is_not_for_sale() {
        for name in ["Content-Length", "TRANSFER-ENCODING", "te", "Trailer"] {
            assert_eq!(check_name(name), Err(NameError::Framing));
        }
        for name in ["Connection", "Upgrade", "keep-alive"] {
            assert_eq!(check_name(name), Err(NameError::HopByHop));
        }
        for name in ["", "a b", "a:", "é", "a\r\nb"] {
            assert_eq!(check_name(name), Err(NameError::NotAToken));
        }
        assert_eq!(check_name("X-Anything"), Ok(()));
    }
}
