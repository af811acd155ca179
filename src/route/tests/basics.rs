// SPDX-License-Identifier: Apache-2.0
//! What a table does, case by case.

use super::{Sample, rule, table};
use crate::base::limits::HEADER_COMBINED_BYTES_MAX;
use crate::route::methods::MethodSet;
use crate::route::rule::FieldMatch;
use crate::route::{HostPattern, PathPattern, RouteMatch, Table, ValueMatch, WholeRegex};

fn at(table: &Table, path: &str) -> Option<(u32, Vec<String>)> {
    Sample::new("GET", "any", path).route(table)
}

fn field(name: &str, value: ValueMatch) -> FieldMatch {
    FieldMatch { name: name.into(), value }
}

fn exact(value: &str) -> ValueMatch {
    ValueMatch::Exact(value.into())
}

#[test]
fn paths_find_their_routes() {
    let table = table(&[
        "/",
        "/api",
        "= /api/v1",
        "/api/{version}/users/{id}",
        "/api/{version}/users/me",
        "/files/{*rest}",
        "~ /report-[0-9]+",
        "/v1/models/{model}:generate",
        "/v1/models/{model}",
        "/img/{name}.png",
        "/img/x{name}.png",
    ]);
    let found = |path: &str, route: u32, params: &[&str]| {
        assert_eq!(at(&table, path), Some((route, params.iter().map(ToString::to_string).collect())), "{path}");
    };
    found("/", 0, &[]);
    found("/apix", 0, &[]);
    found("/api", 1, &[]);
    found("/api/", 1, &[]);
    found("/api/v1", 2, &[]);
    found("/api/v1/", 1, &[]);
    found("/api/v1/users/7", 3, &["v1", "7"]);
    found("/api/v1/users/me", 4, &["v1"]);
    found("/api/v1/users/men", 3, &["v1", "men"]);
    found("/api/v1/users/", 1, &[]);
    found("/api/v1/users/7/x", 1, &[]);
    found("/files/a/b", 5, &["a/b"]);
    found("/files/", 0, &[]);
    found("/report-12", 6, &[]);
    found("/report-12x", 0, &[]);
    found("/v1/models/gpt:generate", 7, &["gpt"]);
    found("/v1/models/a:b:generate", 7, &["a:b"]);
    found("/v1/models/:generate", 8, &[":generate"]);
    found("/v1/models/gpt", 8, &["gpt"]);
    found("/img/a.png", 9, &["a"]);
    found("/img/xa.png", 10, &["a"]);
    found("/img/x.png", 9, &["x"]);
    found("/img/.png", 0, &[]);
    assert_eq!(at(&table, "*"), None);
    assert_eq!(at(&super::table(&["= /a"]), "/b"), None);
    assert_eq!(at(&super::table(&[]), "/"), None);
}

#[test]
fn a_failed_matcher_lets_the_next_one_have_it() {
    let mut rules = vec![rule(0, "= /a"), rule(1, "/a"), rule(2, "/{x}"), rule(3, "/")];
    rules[0].headers = vec![field("X-Env", exact("canary"))];
    rules[1].methods = vec!["POST".into()];
    rules[2].query = vec![field("v", ValueMatch::Present)];
    let table = Table::build(rules).table;
    let route = |sample: Sample| sample.route(&table).map(|(route, _)| route);
    assert_eq!(route(Sample::new("GET", "", "/a").header("x-env", "canary")), Some(0));
    assert_eq!(route(Sample::new("POST", "", "/a")), Some(1));
    assert_eq!(route(Sample::new("GET", "", "/a?v")), Some(2));
    assert_eq!(route(Sample::new("GET", "", "/a")), Some(3));
}

#[test]
fn hosts_come_before_paths_and_fall_through() {
    let mut rules = vec![rule(0, "/only"), rule(1, "/"), rule(2, "= /deep/path"), rule(3, "/")];
    rules[0].hosts = vec![HostPattern::parse("a.example.com").unwrap(), HostPattern::parse("b.example.com").unwrap()];
    rules[1].hosts = vec![HostPattern::parse("*.example.com").unwrap()];
    rules[3].hosts = vec![HostPattern::parse("*.com").unwrap()];
    let table = Table::build(rules).table;
    let route = |host, path| Sample::new("GET", host, path).route(&table).map(|(route, _)| route);
    assert_eq!(route("a.example.com", "/only"), Some(0));
    assert_eq!(route("b.example.com", "/only/x"), Some(0));
    assert_eq!(route("a.example.com", "/else"), Some(1));
    assert_eq!(route("a.example.com", "/deep/path"), Some(1));
    assert_eq!(route("example.com", "/deep/path"), Some(3));
    assert_eq!(route("", "/deep/path"), Some(2));
    assert_eq!(route("x.org", "/"), None);
}

#[test]
fn priority_overrides_everything() {
    let mut rules = vec![rule(0, "= /a"), rule(1, "/"), rule(2, "/{x}")];
    rules[0].hosts = vec![HostPattern::parse("h").unwrap()];
    rules[1].priority = 1;
    rules[1].headers = vec![field("x-maintenance", ValueMatch::Present)];
    let table = Table::build(rules).table;
    let plain = Sample::new("GET", "h", "/a");
    assert_eq!(plain.route(&table).map(|(route, _)| route), Some(0));
    assert_eq!(plain.header("X-Maintenance", "").route(&table).map(|(route, _)| route), Some(1));
}

#[test]
fn every_kind_of_matcher() {
    let regex = ValueMatch::Regex(WholeRegex::new("v[0-9]+").unwrap());
    let cases: [(ValueMatch, &[&str], &[&str]); 6] = [
        (exact("a"), &["a"], &["A", "aa", ""]),
        (ValueMatch::Prefix("ab".into()), &["ab", "abc"], &["a", "xab"]),
        (ValueMatch::Suffix("ab".into()), &["ab", "cab"], &["b", "abx"]),
        (ValueMatch::Contains("ab".into()), &["ab", "xaby"], &["a", "ba"]),
        (regex, &["v1", "v22"], &["v", "xv1", "v1x"]),
        (ValueMatch::Present, &["", "x"], &[]),
    ];
    for (value, good, bad) in cases {
        let build = |place: usize| {
            let mut one = rule(0, "/");
            [&mut one.headers, &mut one.query, &mut one.cookies][place].push(field("name", value.clone()));
            Table::build(vec![one]).table
        };
        let samples = |text: &str| {
            [
                Sample::new("GET", "", "/").header("other", "zz").header("NAME", text),
                Sample::new("GET", "", &format!("/?other=zz&name={text}")),
                Sample::new("GET", "", "/").header("Cookie", &format!("other=zz; name={text}")),
            ]
        };
        for place in 0..3 {
            let table = build(place);
            assert_eq!(Sample::new("GET", "", "/").route(&table), None, "{value:?} without");
            for text in good {
                assert!(samples(text)[place].route(&table).is_some(), "{value:?} with {text:?} at {place}");
            }
            for text in bad {
                assert_eq!(samples(text)[place].route(&table), None, "{value:?} with {text:?} at {place}");
            }
        }
    }
}

#[test]
fn an_absent_header_and_a_cookie_in_any_line() {
    let mut one = rule(0, "/");
    one.headers = vec![field("x", ValueMatch::Absent)];
    one.cookies = vec![field("session", exact("2"))];
    let table = Table::build(vec![one]).table;
    let found = |sample: Sample| sample.route(&table).is_some();
    assert!(found(Sample::new("GET", "", "/").header("cookie", "a=1").header("cookie", "session=2")));
    assert!(!found(Sample::new("GET", "", "/").header("cookie", "session=2").header("X", "")));
    assert!(!found(Sample::new("GET", "", "/").header("cookie", "xsession=2; session=22")));
}

#[test]
fn a_name_with_an_underscore_is_never_taken_for_another() {
    let mut one = rule(0, "/");
    one.headers = vec![field("x_request_id", ValueMatch::Present)];
    let table = Table::build(vec![one]).table;
    for name in ["x_forwarded_for", "X-Request-Id", "x_request_idd"] {
        assert_eq!(Sample::new("GET", "", "/").header(name, "1").route(&table), None, "{name}");
    }
}

#[test]
fn of_repeated_parameters_and_cookies_each_must_match() {
    let table = |place: usize| {
        let mut one = rule(0, "/");
        [&mut one.query, &mut one.cookies][place].push(field("a", exact("1")));
        Table::build(vec![one]).table
    };
    let (query, cookies) = (table(0), table(1));
    for (values, matches) in [("a=1&a=1", true), ("a=1&a=2", false), ("a=2&a=1", false), ("a=1&%61=2", false)] {
        let found = Sample::new("GET", "", &format!("/?{values}")).route(&query).is_some();
        assert_eq!(found, matches, "{values}");
    }
    for (lines, matches) in [(["a=1", "a=1"], true), (["a=1; a=2", "b=1"], false), (["a=2", "a=1"], false)] {
        let sample = Sample::new("GET", "", "/").header("Cookie", lines[0]).header("cookie", lines[1]);
        assert_eq!(sample.route(&cookies).is_some(), matches, "{lines:?}");
    }
}

#[test]
fn the_lines_of_a_header_are_matched_as_one_value() {
    let regex = |text| ValueMatch::Regex(WholeRegex::new(text).unwrap());
    let cases: [(ValueMatch, &[&str], bool); 14] = [
        (exact("1"), &["1", "1"], false),
        (exact("1"), &["1", "2"], false),
        (exact("2"), &["1", "2"], false),
        (exact("1, 2"), &["1", "2"], true),
        (exact(", 1"), &["", "1"], true),
        (ValueMatch::Prefix("1".into()), &["2", "1"], false),
        (ValueMatch::Prefix("1, ".into()), &["1", "2"], true),
        (ValueMatch::Suffix("2".into()), &["2", "1"], false),
        (ValueMatch::Contains("1, 2, 3".into()), &["0", "1", "2", "3"], true),
        (regex("[a-z]+"), &["a", "b"], false),
        (regex("a, b|c"), &["a", "b"], true),
        (ValueMatch::Present, &["1", "2"], true),
        (ValueMatch::Absent, &["", ""], false),
        (ValueMatch::Prefix("1".into()), &["1", &"2".repeat(HEADER_COMBINED_BYTES_MAX)], false),
    ];
    for (value, lines, matches) in cases {
        let mut one = rule(0, "/");
        one.headers = vec![field("x-key", value.clone())];
        let table = Table::build(vec![one]).table;
        let sample = lines.iter().fold(Sample::new("GET", "", "/"), |sample, line| sample.header("X-Key", line));
        assert_eq!(sample.route(&table).is_some(), matches, "{value:?} {lines:?}");
    }
}

#[test]
fn networks_tell_clients_apart() {
    let mut rules = vec![rule(0, "/"), rule(1, "/"), rule(2, "/")];
    rules[0].sources = vec!["10.0.0.0/8".parse().unwrap()];
    rules[1].sources = vec!["10.1.0.0/16".parse().unwrap(), "2001:db8::/112".parse().unwrap()];
    let table = Table::build(rules).table;
    let route = |source| Sample::new("GET", "", "/").from(source).route(&table).map(|(route, _)| route);
    assert_eq!([route("10.2.0.1"), route("10.1.0.1"), route("::ffff:10.1.0.1")], [Some(0), Some(1), Some(1)]);
    assert_eq!([route("2001:db8::7"), route("192.0.2.1")], [Some(1), Some(2)]);
}

#[test]
fn a_wrong_method_names_the_right_ones() {
    let mut rules = vec![rule(0, "/a"), rule(1, "/a/{x}"), rule(2, "/a/b"), rule(3, "/dav")];
    rules[0].methods = vec!["GET".into()];
    rules[1].methods = vec!["PUT".into(), "PATCH".into()];
    rules[2].methods = vec!["DELETE".into()];
    rules[2].headers = vec![field("x-really", ValueMatch::Present)];
    rules[3].methods = vec!["PROPFIND".into(), "GET".into()];
    let table = Table::build(rules).table;
    let allowed = |method: &str, path: &str| match Sample::new(method, "", path).found(&table) {
        RouteMatch::MethodNotAllowed(set) => Some(table.method_names(set).collect::<Vec<_>>()),
        RouteMatch::Route(_) | RouteMatch::None => None,
    };
    assert_eq!(allowed("POST", "/a/b"), Some(vec!["GET", "PUT", "PATCH"]));
    assert_eq!(allowed("HEAD", "/a"), Some(vec!["GET"]));
    assert_eq!(allowed("POST", "/dav/x"), Some(vec!["GET", "PROPFIND"]));
    assert_eq!(allowed("MOVE", "/dav"), Some(vec!["GET", "PROPFIND"]));
    assert_eq!(allowed("PROPFIND", "/dav"), None);
    assert_eq!(Sample::new("MOVE", "", "/elsewhere").found(&table), RouteMatch::None);
    assert_eq!(Sample::new("PROPFIND", "", "/dav").route(&table).map(|(route, _)| route), Some(3));
    assert_ne!(Sample::new("OPTIONS", "", "/a/7").found(&table), RouteMatch::MethodNotAllowed(MethodSet::ALL));
}

#[test]
fn parameters_come_in_the_order_of_the_route() {
    let mut rules = vec![rule(0, "/a/{x}/{y}"), rule(0, "/b/{y}")];
    for one in &mut rules {
        one.params = vec!["y".into(), "x".into()];
    }
    let table = Table::build(rules).table;
    assert_eq!(at(&table, "/a/1/2"), Some((0, vec!["2".into(), "1".into()])));
    assert_eq!(at(&table, "/b/3"), Some((0, vec!["3".into(), String::new()])));
}

#[test]
fn a_path_that_is_too_long_is_nobodys() {
    let table = table(&["/"]);
    assert!(at(&table, &"/a".repeat(30_000)).is_some());
    assert_eq!(at(&table, &"/a".repeat(40_000)), None);
}

#[test]
fn parameters_and_depth_have_no_cliff() {
    // Both a literal and a parameter at every level: without the bound, each level would double the work.
    let mut paths = Vec::new();
    for bits in 0..256_u32 {
        let path = (0..8).map(|bit| if bits >> bit & 1 == 1 { "/a".to_owned() } else { format!("/{{p{bit}}}") });
        paths.push(format!("{}/end{bits}", path.collect::<String>()));
    }
    let table = super::table(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(at(&table, "/a/a/a/a/a/a/a/a/end255").map(|(route, _)| route), Some(255));
    assert_eq!(at(&table, "/a/a/a/a/a/a/a/a/end0").map(|(route, params)| (route, params.len())), Some((0, 8)));
    assert_eq!(at(&table, "/a/a/a/a/a/a/a/a/end"), None);
}

#[test]
fn clones_answer_alike() {
    let table = table(&["~ /x[0-9]+", "/"]);
    let other = table.clone();
    let thread = std::thread::spawn(move || at(&other, "/x12").map(|(route, _)| route));
    assert_eq!(thread.join().unwrap(), Some(0));
    assert_eq!(at(&table, "/x").map(|(route, _)| route), Some(1));
}

#[test]
fn patterns_say_what_they_take_as_the_tree_does() {
    let paths = ["/", "/a", "/a/b", "/a/b.js", "/a/b/c", "/x", ""];
    for text in ["= /a/b", "/a", "/", "/a/{x}", "/a/{x}.js", "/{x}/{*rest}", "~ /a/[a-z]+"] {
        let one = super::table(&[text]);
        let own: PathPattern = super::pattern(text);
        for path in paths {
            assert_eq!(at(&one, path).is_some(), own.takes(path.as_bytes()), "{text} and {path}");
        }
    }
}

#[test]
fn any_bytes_may_come() {
    let table = table(&["/a/{x}", "/a/{*r}", "/{x}.js", "~ /.*b", "= /a"]);
    let mut rng = crate::base::Rng::new(3);
    let mut sample = Sample::new("GET", "any", "/");
    for _ in 0..20_000 {
        let len = rng.below(12);
        sample.set_path((0..len).map(|_| b"/a.jsb\x00\xff%"[rng.below(9) as usize]).collect());
        let _ = sample.found(&table);
    }
}
