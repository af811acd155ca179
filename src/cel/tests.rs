// SPDX-License-Identifier: Apache-2.0
//! Expressions against what the language definition of CEL says, and against hostile ones.

use bumpalo::Bump;
use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};
use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::base::NetworkSet;
use crate::base::limits::{EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX};

/// A subject with fixed values.
struct Sample {
    claims: serde_json::Value,
    groups: Vec<Arc<str>>,
}

impl Subject for Sample {
    fn attribute<'v>(&'v self, attribute: Attribute, _: &'v Bump) -> Result<Value<'v>, Failure> {
        Ok(match attribute {
            Attribute::Method => Value::Text("POST"),
            Attribute::Path => Value::Text("/users/17"),
            Attribute::Host => Value::Text("api.example.com"),
            Attribute::Query => Value::Text("a=1&b=2"),
            Attribute::Size => Value::Int(100),
            Attribute::SourceAddress => Value::Text("10.1.2.3"),
            Attribute::Groups => Value::List(List::Texts(&self.groups)),
            Attribute::Claims => match &self.claims {
                serde_json::Value::Object(members) => Value::Map(Map::Json(members)),
                _ => attribute.empty(),
            },
            Attribute::Now => Value::Time(Instant::from_micros(1_764_500_000_123_456)),
            other => other.empty(),
        })
    }

    fn member<'v>(&'v self, bag: Bag, name: &str, _: &'v Bump) -> Result<Option<Value<'v>>, Failure> {
        Ok(match (bag, name) {
            (Bag::Headers, "x-env") => Some(Value::Text("canary")),
            (Bag::Headers, "x-odd") => return Err(Failure::NotUtf8),
            (Bag::Params, "a") => Some(Value::Text("1")),
            _ => None,
        })
    }

    fn names<'v>(&'v self, _: Bag, arena: &'v Bump) -> Result<&'v [Value<'v>], Failure> {
        Ok(arena.alloc_slice_copy(&[Value::Text("x-env")]))
    }
}

fn sample() -> Sample {
    let claims = r#"{"sub":"anna","age":42,"big":18446744073709551615,"half":0.5,
        "tags":["a","b"],"deep":{"x":{"y":true}},"none":null}"#;
    Sample { claims: serde_json::from_str(claims).unwrap(), groups: vec!["admin".into(), "staff".into()] }
}

fn compiled(text: &str) -> Result<Program, Fault> {
    let mut environment = Environment::default();
    environment.sets.insert("office".to_owned(), Arc::new(NetworkSet::new(&["10.1.0.0/16".parse().unwrap()])));
    Program::compile(text, &environment)
}

fn outcome(text: &str) -> Result<bool, Failure> {
    compiled(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}")).holds(&sample())
}

/// Every one of these is true.
const TRUE: &[&str] = &[
    // Literals.
    "true",
    "!false",
    "0 == 0",
    "-0 == 0",
    "-9223372036854775808 < 0",
    "0xFF == 255",
    "0x7u == 7u",
    "1.5e3 == 1500.0",
    ".5 == 0.5",
    "-1e-2 == -0.01",
    r#""a" == 'a'"#,
    r#""""a "quoted" b""" == 'a "quoted" b'"#,
    r#"r"\n" == "\\n""#,
    r#"'\x41\u00e9\U0001F600\101' == 'Aé😀A'"#,
    r#"b'\xff\377' == b"\xFF\xFF""#,
    "b'é' == b'\\xc3\\xa9'",
    "null == null",
    "[1, 2,] == [1, 2]",
    "{'a': 1, 'b': [2]} == {'b': [2], 'a': 1,}",
    "size({}) == 0 && size([]) == 0",
    "1 + 1 == 2 // a comment",
    "true ||\n false",
    // Order of operators.
    "1 + 2 * 3 == 7",
    "(1 + 2) * 3 == 9",
    "7 / 2 == 3 && -7 / 2 == -3",
    "7 % 4 == 3 && -7 % 4 == -3",
    "10 - 4 - 3 == 3",
    "true || false && false",
    "!(true && false)",
    "1 < 2 == true",
    "true ? true : false ? false : false",
    "-(-1) == 1",
    "!!true",
    // Comparisons of numbers across their types.
    "1 == 1.0 && 1u == 1 && 2.0 == 2u",
    "1 < 1.5 && 2u > 1.5 && 1 != 1.1",
    "9223372036854775807 < 9223372036854775808.0",
    "dyn(1) == dyn(1u)",
    "!(dyn(1) == dyn('1'))",
    "18446744073709551615u > -1",
    "!(0.0 / 0.0 == 0.0 / 0.0)",
    // Texts.
    "'a' < 'b' && 'A' < 'a' && '' < 'a'",
    "'é'.size() == 1 && size('😀') == 1 && size(b'é') == 2",
    "'a' + 'b' == 'ab'",
    "'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo')",
    "''.contains('')",
    "'abc'.matches('b') && 'abc'.matches('^a.c$') && !'abc'.matches('^b')",
    "matches('abc', 'a|x')",
    "'é'.matches('^.$')",
    "'Ab'.lowerAscii() == 'ab' && 'Éb'.upperAscii() == 'ÉB'",
    "' a '.trim() == 'a'",
    "'a,b,c'.split(',') == ['a', 'b', 'c']",
    "['a', 'b'].join('-') == 'a-b' && [].join() == ''",
    "'aXbX'.replace('X', 'yy') == 'ayybyy'",
    "'tacocat'.indexOf('c') == 2",
    "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco' && 'é'.substring(1) == ''",
    // Conversions.
    "int('42') == 42 && int(42u) == 42 && int(-3.9) == -3 && int(timestamp('1970-01-01T00:00:10Z')) == 10",
    "uint(42) == 42u && uint('7') == 7u && uint(3.9) == 3u",
    "double(1) == 1.0 && double('1e3') == 1000.0",
    "string(1) == '1' && string(1u) == '1' && string(true) == 'true' && string(b'abc') == 'abc'",
    "string(1.5) == '1.5'",
    "bool('true') && !bool('0')",
    "bytes('é') == b'\\xc3\\xa9'",
    "type(1) == int && type(1u) == uint && type(type(1)) == type",
    "type([]) == list && type({}) == map && type(null) == null_type && type('') == string",
    // Lists and maps.
    "[1, 2, 3][1] == 2 && [1, 2][0u] == 1",
    "{'a': 1}['a'] == 1 && {'a': {'b': 2}}.a.b == 2",
    "1 in [1, 2] && !(3 in [1, 2])",
    "'a' in {'a': 1} && !('b' in {'a': 1})",
    "1.0 in [1, 2]",
    "[1] + [2] == [1, 2]",
    "has({'a': 1}.a) && !has({'a': 1}.b)",
    "{1: 'x', 2u: 'y', true: 'z'}[2] == 'y'",
    "size([1, 2]) == 2 && {'a': 1}.size() == 1",
    // Macros.
    "[1, 2, 3].all(x, x > 0) && ![1, 2, 3].all(x, x > 1)",
    "[1, 2].exists(x, x == 2) && ![].exists(x, true)",
    "[].all(x, false)",
    "[1, 2, 2].exists_one(x, x == 1) && ![1, 2, 2].exists_one(x, x == 2)",
    "[1, 2, 3].filter(x, x != 2) == [1, 3]",
    "[1, 2].map(x, x * 2) == [2, 4] && [1, 2, 3].map(x, x > 1, x * x) == [4, 9]",
    "{'a': 1, 'b': 2}.all(k, k != 'c')",
    "[[1], [2, 3]].exists(x, x.exists(y, x.size() == 2 && y == 3))",
    "[1].all(x, [2].all(x, x == 2) && x == 1)",
    // Failures that another side decides.
    "false && 1 / 0 == 0 || true",
    "1 / 0 == 0 || true",
    "true || dyn(1)",
    "[1, 0].exists(x, 4 / x == 4)",
    "[0, 1].exists(x, 4 / x == 4)",
    "false ? 1 / 0 == 0 : true",
    "!(1 / 0 == 0 && false)",
    // Times.
    "timestamp('2026-11-30T20:00:00Z') < timestamp('2026-11-30T20:00:00.000000001Z')",
    "duration('1h30m') == duration('5400s')",
    "timestamp('2026-01-31T00:00:00Z') + duration('24h') == timestamp('2026-02-01T00:00:00Z')",
    "timestamp('2026-01-02T00:00:00Z') - timestamp('2026-01-01T00:00:00Z') == duration('24h')",
    "duration('1s') + duration('500ms') == duration('1.5s')",
    "timestamp('2009-02-13T23:31:30.250Z').getFullYear() == 2009 && timestamp('2009-02-13T23:31:30Z').getMonth() == 1",
    "timestamp('2009-02-13T23:31:30Z').getDate() == 13 && timestamp('2009-02-13T23:31:30Z').getDayOfMonth() == 12",
    "timestamp('2009-02-13T23:31:30Z').getDayOfWeek() == 5 && timestamp('2009-02-13T23:31:30Z').getDayOfYear() == 43",
    "timestamp('2009-02-13T23:31:30Z').getHours() == 23 && timestamp('2009-02-13T23:31:30Z').getHours('+01:00') == 0",
    "timestamp('2009-02-13T23:31:30Z').getDate('-23:59') == 12",
    "timestamp('2009-02-13T23:31:30Z').getMinutes('UTC') == 31",
    "timestamp('2009-02-13T23:31:30.250Z').getMilliseconds() == 250",
    "timestamp('2009-02-13T23:31:30Z').getSeconds() == 30",
    "duration('3730s').getHours() == 1 && duration('3730s').getMinutes() == 62",
    "duration('3730s').getSeconds() == 3730",
    "duration('1.234s').getMilliseconds() == 234",
    "string(timestamp('2026-11-30T20:00:00.5Z')) == '2026-11-30T20:00:00.5Z'",
    "string(duration('-1.5s')) == '-1.5s' && string(duration('2m')) == '120s'",
    "timestamp(0) == timestamp('1970-01-01T00:00:00Z')",
    // The request.
    "request.method == 'POST' && request.path.startsWith('/users/')",
    "request.method in ['GET', 'POST']",
    "request.host.endsWith('.example.com')",
    "request.headers['x-env'] == 'canary' && request.headers['X-Env'] == 'canary'",
    "'x-env' in request.headers && !('x' in request.headers)",
    "has(request.headers.x) == false",
    "request.params.a == '1' && !has(request.params.b)",
    "request.headers[?'x'].orValue('y') == 'y'",
    "request.headers[?'x-env'].hasValue() && request.headers.?x.hasValue() == false",
    "request.headers.exists(name, name == 'x-env')",
    "request.headers.size() == 1",
    "'admin' in consumer.groups && consumer.groups.exists(g, g.startsWith('sta'))",
    "consumer.tenant == ''",
    "claims.sub == 'anna' && claims.age >= 18 && claims['age'] == 42.0 && claims.big > 9223372036854775807",
    "claims.half == 0.5",
    "'b' in claims.tags && claims.tags[0] == 'a' && claims.tags == ['a', 'b']",
    "claims.deep.x.y && has(claims.deep.x) && !has(claims.scope)",
    "claims.none == null && has(claims.none)",
    "claims.?scope.orValue('') == ''",
    "claims.exists(k, k == 'sub')",
    "size(claims.deep) == 1",
    "inNetwork(source.address, '10.0.0.0/8') && !source.address.inNetwork('10.1.2.4')",
    "inSet(source.address, 'office')",
    "now > timestamp('2025-01-01T00:00:00Z') && now.getFullYear() == 2025",
    "request.size == 100 && request.size * 2 <= 200",
    "(request.size > 50 ? 'large' : 'small') == 'large'",
];

#[test]
fn what_the_language_says_is_true_is_true() {
    for text in TRUE {
        assert_eq!(outcome(text), Ok(true), "{text}");
    }
}

/// Every one of these fails when it runs.
const FAILING: &[(&str, Failure)] = &[
    ("request.headers['x'] == 'y'", Failure::NoMember),
    ("request.headers['x-odd'] == 'y'", Failure::NotUtf8),
    ("claims.missing == 1", Failure::NoMember),
    ("claims.tags[2] == 'c'", Failure::NoItem),
    ("claims.tags[-1] == 'c'", Failure::NoItem),
    ("claims.sub < 1", Failure::NoOverload),
    ("claims.sub", Failure::NoOverload),
    ("claims.age.exists(x, true)", Failure::NoOverload),
    ("claims.age + 9223372036854775807 > 0", Failure::Overflow),
    ("-(claims.age - 9223372036854775807 - 43) > 0", Failure::Overflow),
    ("request.size / (request.size - 100) == 1", Failure::ZeroDivision),
    ("int(claims.sub) == 1", Failure::Unreadable),
    ("int(claims.half * 1e300) == 1", Failure::Overflow),
    ("inNetwork(claims.sub, '10.0.0.0/8')", Failure::Unreadable),
    ("request.path.substring(100) == ''", Failure::NoItem),
    ("request.path.substring(5, 2) == ''", Failure::NoItem),
    ("1 / 0 == 1", Failure::ZeroDivision),
    ("[1][1] == 1", Failure::NoItem),
    ("claims.missing || false", Failure::NoMember),
    ("true && claims.missing", Failure::NoMember),
    ("[0, 2].all(x, 4 / x == 2)", Failure::ZeroDivision),
    ("claims == request.headers", Failure::NoOverload),
    ("{request.method: 1, request.method: 2}.size() == 1", Failure::Unreadable),
];

#[test]
fn what_has_no_value_fails() {
    for (text, failure) in FAILING {
        assert_eq!(outcome(text), Err(*failure), "{text}");
    }
}

/// Every one of these is refused when it is loaded, at this byte and with these words.
const WRONG: &[(&str, usize, &str)] = &[
    ("", 0, "a value is missing"),
    ("true &", 5, "`&` does not belong"),
    ("true &&", 7, "a value is missing"),
    ("(true", 5, "`)` is missing"),
    ("true)", 4, "ends before this"),
    ("a = 1", 2, "`=` is no operator"),
    ("'abc", 0, "has no end"),
    ("'a\nb'", 0, "has no end"),
    (r"'\q'", 1, "an escape that CEL does not have"),
    (r"'\xf'", 1, "needs more digits"),
    (r"'\ud800'", 1, "no code point"),
    ("9223372036854775808 > 0", 0, "too large for an int"),
    ("99999999999999999999 > 0", 0, "too large"),
    ("1x == 1", 0, "does not begin with a digit"),
    ("if == 1", 0, "a word of the language"),
    ("requst.method == ''", 0, "nothing is called `requst`"),
    ("request.metod == ''", 8, "`request` has no `metod`"),
    ("request == 1", 0, "no value by itself"),
    ("request.method == 1", 15, "never equal"),
    ("request.method", 8, "a bool is expected"),
    ("request.size && true", 8, "wants a bool"),
    ("!request.size", 9, "wants a bool"),
    ("request.method > 1", 15, "does not take string and int"),
    ("request.method + 1 == ''", 15, "does not take string and int"),
    ("1 in ['a']", 2, "does not take int and list(string)"),
    ("request.method.foo()", 15, "no function `foo`"),
    ("contains(request.method, 'x')", 0, "not called like this"),
    ("request.method.contains(1)", 15, "does not take (string, int)"),
    ("request.path.matches(request.method)", 29, "a constant string"),
    ("request.path.matches('(')", 21, "not a regular expression"),
    ("request.path.matches('(?:\\\\w{1000}){1000}')", 21, "not a regular expression"),
    ("inNetwork(source.address, '10.0.0.0/33')", 26, "no network"),
    ("inSet(source.address, 'home')", 22, "no `[ip_set.home]`"),
    ("now.getHours('Europe/Berlin') == 1", 4, "no time zone"),
    ("timestamp('today') < now", 0, "cannot make anything"),
    ("duration('1 hour') == duration('1h')", 0, "cannot make anything"),
    ("has(request.method)", 12, "always exists"),
    ("has(claims)", 0, "not called like this"),
    ("request.?method == ''", 9, "always there"),
    ("[1].all(1, true)", 8, "the name of its variable"),
    ("[1].all(x)", 4, "not called like this"),
    ("[1].all(x, x)", 11, "the condition is a bool"),
    ("claims.tags['a'] == 1 && request.size[0] == 1", 33, "wants a list or a map"),
    ("request.headers[1] == ''", 15, "indexed by a string"),
    ("Foo{a: 1} == 1", 3, "ends before this"),
    ("{1.5: 1}.size() == 1", 1, "a key is"),
];

#[test]
fn what_is_wrong_is_said_where_it_is() {
    for (text, at, words) in WRONG {
        let fault = compiled(text).expect_err(text);
        assert!(fault.at == *at && fault.title.contains(words), "{text}: {fault:?}");
    }
}

#[test]
fn constants_are_computed_once() {
    for (text, truth) in
        [("true", true), ("1 + 1 == 3", false), ("request.path == '' || 2 > 1", true), ("!('a' in ['a'])", false)]
    {
        assert_eq!(compiled(text).unwrap().constant(), Some(truth), "{text}");
    }
    assert_eq!(compiled("request.path == ''").unwrap().constant(), None);
}

#[test]
fn it_says_what_it_asks_for() {
    let program = compiled("route.name == 'x' && consumer.attributes.a == 'b' && source.country == 'DE'").unwrap();
    assert!(program.names_route() && program.names_consumer() && program.names(Attribute::Country));
    let program = compiled("request.path == 'x'").unwrap();
    assert!(!program.names_route() && !program.names_consumer() && !program.names(Attribute::Country));
}

#[test]
fn no_expression_is_too_deep_or_too_long() {
    let nested = |open: &str, close: &str, count: usize| format!("{}true{}", open.repeat(count), close.repeat(count));
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("!", ""),
        ("-", ""),
        ("true?(", "):true"),
        ("{'a':", "}"),
        ("size(", ")"),
        ("''+", ""),
    ] {
        let fault = compiled(&nested(open, close, 10_000 / open.len().max(2) / 2)).expect_err(open);
        assert!(!fault.title.is_empty());
    }
    let deep = format!("{}true{}", "(".repeat(EXPRESSION_DEPTH_MAX - 1), ")".repeat(EXPRESSION_DEPTH_MAX - 1));
    assert!(compiled(&deep).is_ok());
    assert!(compiled(&format!("true{}", " ".repeat(EXPRESSION_BYTES_MAX))).is_err());
    let wide = vec!["request.path == 'x'"; 300].join(" || ");
    assert_eq!(outcome(&wide), Ok(false), "many sides are not deep");
    assert!(compiled(&format!("[{}] == []", "1,".repeat(3_000))).is_err());
}

#[test]
fn a_run_ends() {
    let mut body = "request.size >= 0".to_owned();
    for level in 0..15 {
        body = format!("consumer.groups.all(g{level}, {body})");
    }
    assert_eq!(outcome(&body), Err(Failure::Steps));
    assert_eq!(outcome(&format!("{body} || request.size == 100")), Err(Failure::Steps), "no other side saves it");
    let mut doubled = "request.path".to_owned();
    for _ in 0..15 {
        doubled = format!("[{doubled}].map(x, x + x)[0]");
    }
    assert_eq!(outcome(&format!("{doubled} == ''")), Err(Failure::Memory));
    let large = "x".repeat(1_000);
    let replaced = format!("(request.path + '{large}').replace('x', '{large}') == ''");
    assert_eq!(outcome(&replaced), Err(Failure::Memory));
}

proptest! {
    #[test]
    fn garbage_never_panics(text in "[a-z0-9 .()\\[\\]{}?:'\"\\\\+*/%<>=!&|,_é-]{0,60}") {
        match compiled(&text) {
            Ok(program) => {
                let _ = program.holds(&sample());
            }
            Err(fault) => {
                prop_assert!(text.is_char_boundary(fault.at) && !fault.title.is_empty(), "{:?}", fault);
            }
        }
    }

    #[test]
    fn any_mix_of_pieces_runs_or_is_refused(
        pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 1..14),
    ) {
        if let Ok(program) = compiled(&pieces.join(" ")) {
            let _ = program.holds(&sample());
        }
    }

    #[test]
    fn numbers_compare_as_they_are(one in prop::num::i64::ANY, two in prop::num::i64::ANY) {
        prop_assert_eq!(outcome(&format!("dyn({one}) < dyn({two})")), Ok(one < two));
        let double = one as f64;
        let exact = if double >= 9.3e18 { i128::MAX } else { double as i128 };
        prop_assert_eq!(outcome(&format!("dyn({one}) == double('{double}')")), Ok(i128::from(one) == exact));
    }

    #[test]
    fn addresses_are_in_their_networks(address in prop::num::u32::ANY, len in 0_u8..=32) {
        let address = IpAddr::from(address.to_be_bytes());
        let network = ipnet::IpNet::new(address, len).unwrap();
        prop_assert_eq!(outcome(&format!("inNetwork('{address}', '{network}')")), Ok(true));
    }
}

const PIECES: [&str; 34] = [
    "request.path",
    "request.size",
    "request.headers",
    "claims",
    "claims.tags",
    "consumer.groups",
    "now",
    "1",
    "2u",
    "0.5",
    "'a'",
    "null",
    "true",
    "[",
    "]",
    "(",
    ")",
    "==",
    "<",
    "+",
    "-",
    "*",
    "/",
    "%",
    "in",
    "&&",
    "||",
    "!",
    "?",
    ":",
    ".size()",
    ".map(x, x)",
    "[0]",
    ".a",
];
