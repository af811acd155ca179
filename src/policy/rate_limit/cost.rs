// SPDX-License-Identifier: Apache-2.0
//! Hot. What a request counts: a fixed number, one that the request says, or one that is known with the response.

use crate::cel::Program;
use crate::policy::facts::{Effects, Facts, Response};
use crate::wire::query::Decoded;
use crate::wire::template::{Lookup, Template};

/// What a request counts.
#[derive(Clone, Debug)]
pub struct Cost {
    /// So much, where nothing else says how much; also what is reserved until a response says it.
    pub units: u32,
    /// A text whose value is the number, if it is one.
    pub value: Option<Template>,
    /// An expression that gives the number.
    pub expression: Option<Program>,
    /// The response field that says it.
    pub response_field: Option<Box<[u8]>>,
    /// No request counts more.
    pub max: u32,
}

impl Default for Cost {
    fn default() -> Cost {
        Cost { units: 1, value: None, expression: None, response_field: None, max: u32::MAX }
    }
}

impl Cost {
    /// What is taken for a request when it comes; at least 1, so that no client comes for nothing.
    pub(super) fn of<L: Lookup>(&self, facts: &Facts<'_, L>, effects: &mut Effects) -> u32 {
        if let Some(expression) = &self.expression {
            // The shard's own copy, where it is given one: its patterns have scratch memory of their own.
            let given = facts.own_expression.unwrap_or(expression).number(facts);
            return given.ok().and_then(whole).unwrap_or(self.units).clamp(1, self.max);
        }
        let Some(value) = &self.value else { return self.units };
        let text = &mut effects.scratch;
        text.clear();
        value.render(&Decoded(facts.words), text);
        number(text).unwrap_or(self.units).clamp(1, self.max)
    }

    /// What the response says that its request cost; `None` where it says nothing that is a number.
    pub(super) fn told(&self, response: Response<'_>) -> Option<u32> {
        let name = self.response_field.as_ref()?;
        let mut lines = response.head.fields.named(response.bytes, name);
        let (only, more) = (lines.next()?, lines.next());
        number(only).filter(|_| more.is_none()).map(|number| number.min(self.max))
    }
}

/// The next whole number, as large as it may be; nothing for what is no number.
fn whole(number: f64) -> Option<u32> {
    // The cast saturates, below zero too.
    (!number.is_nan()).then(|| number.ceil() as u32)
}

/// A number in decimal digits, as large as it may be.
fn number(text: &[u8]) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= DIGITS_MAX && text.iter().all(u8::is_ascii_digit);
    let sum = |sum: u64, digit: &u8| sum * 10 + u64::from(digit - b'0');
    digits.then(|| u32::try_from(text.iter().fold(0, sum)).unwrap_or(u32::MAX))
}

/// Digits that are read; their number fits into 64 bits.
const DIGITS_MAX: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cel::Environment;
    use crate::policy::fixture::{Fixture, ResponseFixture};

    #[test]
    fn only_plain_numbers_are_numbers() {
        const CASES: &[(&str, Option<u32>)] = &[
            ("7", Some(7)),
            ("007", Some(7)),
            ("0", Some(0)),
            ("4294967296", Some(u32::MAX)),
            ("999999999999999999", Some(u32::MAX)),
            ("9999999999999999999", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1 ", None),
            ("0x10", None),
            ("٣", None),
        ];
        for (text, expected) in CASES {
            assert_eq!(number(text.as_bytes()), *expected, "{text}");
        }
    }

    #[test]
    fn nobody_comes_for_nothing_or_costs_more_than_the_most() {
        let fixture = Fixture::get("/");
        let cost = |text: &str| {
            let value = Some(Template::compile(text, &[]).unwrap());
            let cost = Cost { units: 3, value, max: 50, ..Cost::default() };
            cost.of(&fixture.facts(), &mut Effects::default())
        };
        assert_eq!([cost("0"), cost("20"), cost("51"), cost("x"), cost("{header.X-None}")], [1, 20, 50, 3, 3]);
    }

    #[test]
    fn an_expression_gives_a_number_or_the_fixed_one_counts() {
        let cases = [
            ("7", 7),
            ("7u", 7),
            ("2.0", 2),
            ("2.1", 3),
            ("0", 1),
            ("-5", 1),
            ("-1.0 / 0.0", 1),
            ("1.0 / 0.0", 50),
            ("51", 50),
            ("9223372036854775807", 50),
            ("0.0 / 0.0", 3),
            ("int(request.headers['x-cost']) * 2", 18),
            ("int(request.headers['x-none'])", 3),
            ("request.headers['x-word']", 3),
            ("int(request.headers['x-word'])", 3),
            ("9223372036854775807 + int(request.headers['x-cost'])", 3),
            ("request.path.matches('^/a+$') ? 20 : 10", 20),
        ];
        let fixture = Fixture::get("/aaa").field("X-Cost", "9").field("X-Word", "much");
        for (text, expected) in cases {
            let expression = Program::compile_number(text, &Environment::default());
            let Ok(expression) = expression else {
                assert_eq!(text, "request.headers['x-word']", "a text is no number: {expression:?}");
                continue;
            };
            let cost = Cost { units: 3, expression: Some(expression), max: 50, ..Cost::default() };
            assert_eq!(cost.of(&fixture.facts(), &mut Effects::default()), expected, "{text}");
        }
        for wrong in ["true", "'7'", "[7]", "request", "1 +", "nothing"] {
            assert!(Program::compile_number(wrong, &Environment::default()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_response_says_it_in_one_line() {
        let cost = Cost { response_field: Some((*b"x-cost").into()), max: 50, ..Cost::default() };
        let told = |lines: &[&str]| {
            let response = ResponseFixture::new(200);
            let response = lines.iter().fold(response, |response, line| response.field("X-Cost", line));
            cost.told(response.response())
        };
        assert_eq!([told(&["0"]), told(&["7"]), told(&["77"])], [Some(0), Some(7), Some(50)]);
        assert_eq!([told(&[]), told(&["x"]), told(&["7", "7"])], [None, None, None]);
        assert_eq!(Cost::default().told(ResponseFixture::new(200).field("x-cost", "9").response()), None);
    }
}
