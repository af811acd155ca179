// SPDX-License-Identifier: Apache-2.0
//! Tests of `structured`, with the examples of RFC 9651.

use proptest::prelude::{Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

use super::write::append_dictionary;
use super::*;

fn written(dictionary: &Dictionary) -> String {
    let mut out = Vec::new();
    append_dictionary(dictionary, &mut out);
    String::from_utf8(out).unwrap()
}

/// What is read, and how it is written.
const GOOD: &[(&str, &str)] = &[
    ("", ""),
    ("   ", ""),
    (" a=1 ", "a=1"),
    ("a=1,b=2", "a=1, b=2"),
    ("a=1 \t,\t b", "a=1, b"),
    ("en=\"Applepie\", da=:w4ZibGV0w6ZydGUK:", "en=\"Applepie\", da=:w4ZibGV0w6ZydGUK:"),
    ("a=?0, b, c; foo=bar", "a=?0, b, c;foo=bar"),
    ("rating=1.5, feelings=(joy sadness)", "rating=1.5, feelings=(joy sadness)"),
    ("a=(1 2), b=3, c=4;aa=bb, d=(5 6);valid", "a=(1 2), b=3, c=4;aa=bb, d=(5 6);valid"),
    ("a=(), b=( ), c=( \"x\";y  z )", "a=(), b=(), c=(\"x\";y z)"),
    ("a=1, b=2, a=3", "a=3, b=2"),
    ("a;x=1;y;x=2", "a;x=2;y"),
    ("a=-999999999999999", "a=-999999999999999"),
    ("a=-0", "a=0"),
    ("a=0042", "a=42"),
    ("a=1.50, b=-0.25, c=10.0, d=123456789012.123", "a=1.5, b=-0.25, c=10.0, d=123456789012.123"),
    ("a=@1659578233", "a=@1659578233"),
    ("a=%\"This is intended for display to %c3%bcsers.\"", "a=%\"This is intended for display to %c3%bcsers.\""),
    ("a=\"\\\"\\\\\"", "a=\"\\\"\\\\\""),
    ("a=*foo/b:c!#$%&'*+-.^_`|~", "a=*foo/b:c!#$%&'*+-.^_`|~"),
    ("*k_-.1=:YQ:", "*k_-.1=:YQ==:"),
    ("a=:YR==:", "a=:YQ==:"),
    ("a=::", "a=::"),
];

/// What is no dictionary.
const WRONG: &[&str] = &[
    ",",
    "a,",
    "a, ",
    "a,,b",
    ",a",
    "a b",
    "a=",
    "a=1;",
    "A=1",
    "1=1",
    "a=1\u{e9}",
    "a=\"\u{e9}\"",
    "a=(1,2)",
    "a=(1",
    "a=(1\t2)",
    "a=(1 2",
    "a=1)",
    "a=((1))",
    "a=\"x",
    "a=\"\\x\"",
    "a=\"\x7f\"",
    "a=\"\x09\"",
    "a=--1",
    "a=-",
    "a=+1",
    "a=1.",
    "a=.5",
    "a=1.2345",
    "a=1234567890123.1",
    "a=1234567890123456",
    "a=?2",
    "a=?",
    "a=:!:",
    "a=:YQ",
    "a=:Y:",
    "a=@1.5",
    "a=@",
    "a=%\"%C3%BC\"",
    "a=%\"%c3\"",
    "a=%\"%c",
    "a=%x",
    "a;B=1",
    "a; =1",
    "a ;b=",
    "\ta=1",
    "a=1,\x0bb",
    "a=\"a\r\n\"",
    "a==1",
];

#[test]
fn dictionaries_are_read_and_written() {
    for (text, expected) in GOOD {
        let read = dictionary(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(written(&read), *expected, "{text}");
    }
    for text in WRONG {
        assert_eq!(dictionary(text.as_bytes()), None, "{text:?}");
    }
}

fn name() -> impl Strategy<Value = String> {
    "[a-z*][a-z0-9_.*-]{0,6}"
}

fn bare() -> impl Strategy<Value = Bare> {
    prop_oneof![
        (-999_999_999_999_999_i64..=999_999_999_999_999).prop_map(Bare::Integer),
        (-999_999_999_999_999_i64..=999_999_999_999_999).prop_map(Bare::Decimal),
        "[ -~]{0,12}".prop_map(Bare::String),
        "[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]{0,8}".prop_map(Bare::Token),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Bare::Bytes),
        any::<bool>().prop_map(Bare::Boolean),
        (-999_999_999_999_999_i64..=999_999_999_999_999).prop_map(Bare::Date),
        ".{0,12}".prop_map(Bare::Display),
    ]
}

fn parameters() -> impl Strategy<Value = Parameters> {
    prop::collection::btree_map(name(), bare(), 0..3).prop_map(|map| map.into_iter().collect())
}

fn item() -> impl Strategy<Value = Item> {
    (bare(), parameters()).prop_map(|(value, parameters)| Item { value, parameters })
}

fn member() -> impl Strategy<Value = Member> {
    let inner = (prop::collection::vec(item(), 0..4), parameters());
    prop_oneof![
        item().prop_map(Member::Item),
        inner.prop_map(|(items, parameters)| Member::Inner(InnerList { items, parameters })),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_the_same(map in prop::collection::btree_map(name(), member(), 0..4)) {
        let made: Dictionary = map.into_iter().collect();
        let text = written(&made);
        prop_assert_eq!(dictionary(text.as_bytes()), Some(made), "{}", text);
    }

    #[test]
    fn what_is_read_is_written_so_that_it_reads_the_same(text in "[a-c=,;()\"\\\\ :?@%0-9.*-]{0,24}") {
        if let Some(read) = dictionary(text.as_bytes()) {
            prop_assert_eq!(dictionary(written(&read).as_bytes()), Some(read));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = dictionary(&bytes);
    }
}
