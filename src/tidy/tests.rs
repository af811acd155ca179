// SPDX-License-Identifier: Apache-2.0
//! The rules on the tree, and each rule on text that breaks it.

use super::*;
use crate::tidy::imports::{LAW, ROOMS};
use crate::tidy::shape::functions;
use crate::tidy::token::{Kind, tokens};

#[test]
fn the_tree_keeps_the_rules() {
    let sources = sources();
    assert!(sources.len() > 30, "the tree was not found");
    report(&sources.iter().flat_map(check).collect::<Vec<_>>());
}

#[test]
fn no_cycle_between_folders() {
    assert_eq!(imports::cycle(&sources()), None);
    // And the table itself allows none: each folder imports only from rows above it.
    for (row, (folder, allowed)) in LAW.iter().enumerate() {
        for target in *allowed {
            let target = target.split("::").next().unwrap();
            assert!(
                LAW[..row].iter().any(|(name, _)| *name == target),
                "{folder} imports {target}, which is not above it"
            );
        }
    }
}

#[test]
fn a_room_imports_only_from_rooms_above_it_in_the_table() {
    for (row, (room, allowed)) in ROOMS.iter().enumerate() {
        let above = |target: &&str| ROOMS[..row].iter().any(|(name, _)| name == target);
        assert!(allowed.iter().all(above), "{room} imports from a room that is not above it");
    }
}

#[test]
fn no_circle_of_files() {
    report(&circles::check(&sources(), circles::NOT_YET));
}

#[test]
fn no_text_names_a_machine_or_a_registry() {
    let mut findings = Vec::new();
    for (path, place) in files() {
        if let Ok(text) = fs::read_to_string(place) {
            words::check_text(&path, &text, &mut findings);
        }
    }
    report(&findings);
}

#[test]
fn recipes_name_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("CONTRIBUTING.md")).expect("it is there");
    assert!(text.contains("\n## Recipes\n"), "the recipes were not found");
    report(&recipes::check(root, "CONTRIBUTING.md", &text));
}

#[test]
fn a_recipe_with_a_name_that_is_gone_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = |recipe: &str| recipes::check(root, "x.md", &format!("## Recipes\n\n### A thing\n\n{recipe}\n")).len();
    assert_eq!(found("1. `src/tidy.rs`: see `collect` and\n   `report`; then `cargo test` and `it()`."), 0);
    assert_eq!(found("1. `src/tidy.rs`: see `collect`\n   and `never_there`."), 1);
    assert_eq!(found("1. `src/never.rs`: add it."), 1);
    assert_eq!(found("2. Add it where `never_there` is."), 0);
    assert_eq!(found(&"1. Add a line.\n".repeat(25)), 1);
}

/// The rules that `text` breaks as the file `path`, apart from the missing header of these snippets.
fn broken(path: &str, text: &str) -> Vec<&'static str> {
    let findings = check(&Source::new(path, text));
    findings.into_iter().map(|finding| finding.rule).filter(|rule| !matches!(*rule, "header" | "licence")).collect()
}

#[test]
fn tokens_are_told_from_strings_and_comments() {
    let text = r##"a // b
    /* c /* d */ e */ "f \" g" r#"h " i"# b"j" 'k' '\'' 'l: r#mod 1.5e3 x.0.y b'm' c"n""##;
    let words: Vec<String> = tokens(text).iter().filter_map(|token| token.word().map(str::to_owned)).collect();
    assert_eq!(words, ["a", "mod", "x", "y"]);
    let lines: Vec<usize> = tokens("a\n\"b\nc\"\nd").iter().map(|token| token.line).collect();
    assert_eq!(lines, [1, 2, 4]);
    assert_eq!(tokens("// x")[0].kind, Kind::Comment("// x".into()));
}

#[test]
fn imports_upwards_are_found_however_they_are_written() {
    assert_eq!(broken("src/wire/x.rs", "use crate::net::Net;"), ["imports"]);
    assert_eq!(broken("src/wire/x.rs", "use crate::{base::Tick, edge::conn};"), ["imports"]);
    assert_eq!(broken("src/wire/x.rs", "use crate::{\n base::{Tick, Wall},\n edge,\n};"), ["imports"]);
    assert_eq!(broken("src/wire/x.rs", "fn f() { crate::control::reload() }"), ["imports"]);
    assert_eq!(broken("src/wire/h1/x.rs", "use super::super::super::edge::conn;"), ["imports"]);
    assert_eq!(broken("src/wire/mod.rs", "use super::edge::conn;"), ["imports"]);
    assert_eq!(broken("src/config/x.rs", "use crate::net::Net;"), ["imports"]);
    assert_eq!(broken("src/edge/run.rs", "use crate::control::reload;"), ["imports"]);
    assert_eq!(broken("src/other/x.rs", "use crate::base::Tick;"), ["imports"]);
}

#[test]
fn imports_downwards_and_in_tests_are_fine() {
    let none: [&str; 0] = [];
    assert_eq!(broken("src/wire/x.rs", "use crate::base::Tick; use crate::wire::head;"), none);
    assert_eq!(broken("src/wire/h1/x.rs", "use super::super::head;"), none);
    assert_eq!(broken("src/config/x.rs", "use crate::net::tls::Material;"), none);
    assert_eq!(broken("src/wire/x.rs", "// crate::edge\nconst A: &str = \"crate::edge\";"), none);
    assert_eq!(broken("src/wire/x.rs", "#[cfg(test)]\nmod tests { use crate::edge::conn; }"), none);
    assert_eq!(broken("src/wire/x/tests.rs", "use crate::edge::conn;"), none);
}

#[test]
fn imports_of_rooms_are_found_however_they_are_written() {
    let file = "src/edge/shard/x.rs";
    assert_eq!(broken(file, "use crate::edge::client::live;"), ["rooms"]);
    assert_eq!(broken(file, "use crate::edge::{flow::watch, serve};"), ["rooms"]);
    assert_eq!(broken(file, "use crate::{base::Tick, edge::{flow, serve::path}};"), ["rooms"]);
    assert_eq!(broken(file, "use crate::edge::{serve, client};"), ["rooms", "rooms"]);
    assert_eq!(broken(file, "use super::super::client::live;"), ["rooms"]);
    assert_eq!(broken("src/edge/shard/mod.rs", "pub use super::serve::path;"), ["rooms"]);
    assert_eq!(broken("src/edge/adapt/grpc/x.rs", "fn f() { super::super::super::upstream::pool::f() }"), ["rooms"]);
    assert_eq!(broken("src/edge/client/x.rs", "use crate::edge::upstream::pool;"), ["rooms"]);
    assert_eq!(broken("src/edge/other/x.rs", "use crate::base::Tick;"), ["rooms"]);
    assert_eq!(broken("src/edge/x.rs", "use crate::base::Tick;"), ["rooms"]);
}

#[test]
fn imports_within_a_room_and_of_rooms_below_are_fine() {
    let none: [&str; 0] = [];
    let file = "src/edge/shard/x.rs";
    assert_eq!(broken(file, "use crate::edge::{flow::watch::Watch, shard::{log, record}};"), none);
    assert_eq!(broken(file, "use crate::edge::upstream::pool; use super::record; use super::super::adapt;"), none);
    assert_eq!(broken(file, "#[cfg(test)]\nmod tests { use crate::edge::client::live; }"), none);
    assert_eq!(broken("src/edge/run.rs", "use super::client::accept;"), none);
    assert_eq!(broken("src/edge/mod.rs", "pub mod client;"), none);
}

#[test]
fn a_cycle_is_named() {
    let pair = [Source::new("src/net/x.rs", "use crate::wire::x;"), Source::new("src/wire/x.rs", "use crate::net::x;")];
    assert_eq!(imports::cycle(&pair).unwrap(), ["net", "wire"]);
}

#[test]
fn what_is_too_long_is_found() {
    let long = "//! x\n".repeat(501);
    assert_eq!(broken("src/base/x.rs", &long), ["file-length"]);
    assert_eq!(broken("src/base/x/tests.rs", &long), [""; 0]);
    let tested = format!("//! x\n#[cfg(test)]\nmod tests {{\n{}}}", "\n".repeat(151));
    assert_eq!(broken("src/base/x.rs", &tested), ["file-length"]);
    let declared = format!("#[cfg(test)]\nmod tests;\nconst A: u8 = 1;\n{}", "\n".repeat(151));
    assert_eq!(broken("src/base/x.rs", &declared), [""; 0]);
    let body = format!("fn f() {{{}}}", "\n".repeat(70));
    assert_eq!(broken("src/base/x.rs", &body), ["function-length"]);
    assert_eq!(broken("src/base/x.rs", &format!("// {}", "x".repeat(118))), ["width"]);
    assert_eq!(check(&Source::new("src/base/x.rs", "const A: u8 = 1;"))[0].rule, "header");
}

#[test]
fn a_file_without_its_licence_is_found() {
    let rules = |text: &str| check(&Source::new("src/base/x.rs", text)).len();
    assert_eq!(rules("//! x\n"), 1);
    assert_eq!(rules(&format!("{}//! x\n", source::LICENCE)), 0);
    let hot = format!("{}//! Hot. x\nfn f() {{ a.to_string() }}", source::LICENCE);
    assert_eq!(check(&Source::new("src/base/x.rs", &hot))[0].rule, "hot");
}

#[test]
fn arguments_are_counted_and_bools_found() {
    let count = |text: &str| {
        let found = functions(&Source::new("src/base/x.rs", text));
        (found[0].arguments, found[0].has_bool, found[0].nesting)
    };
    assert_eq!(count("fn f<A: Fn(u8) -> u8>(&self, a: A, (b, c): (u8, u8), d: HashMap<u8, u8>) {}"), (3, false, 0));
    assert_eq!(count("fn f(a: impl Fn(u8, u8) -> bool, b: [u8; 2],) -> bool { true }"), (2, false, 0));
    assert_eq!(count("fn f(a: bool) {}"), (1, true, 0));
    assert_eq!(broken("src/base/x.rs", "fn f(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8) {}"), ["arguments"]);
    assert_eq!(broken("src/base/x.rs", "fn f(a: bool) {}"), ["bool"]);
}

#[test]
fn nesting_is_counted_by_control_flow() {
    let depth = |body: &str| functions(&Source::new("x.rs", &format!("fn f() {{ {body} }}")))[0].nesting;
    assert_eq!(depth("if a { b } else if c { d } else { e }"), 1);
    assert_eq!(depth("for a in b { while c { loop { match d { e if f => { g } _ => {} } } } }"), 4);
    assert_eq!(depth("impl A for B { } let c: for<'a> fn(&'a u8) = d; for e in f { }"), 1);
    assert_eq!(depth("let a = S { b: if c { d } else { e } }; let f = |g| { h };"), 1);
    assert_eq!(depth("if a.b(|c| { if d { e } }) { f }"), 1);
    assert_eq!(depth("if a { if b { if c { if d { if e { f } } } } }"), 5);
}

#[test]
fn the_machine_is_touched_where_it_may_be() {
    for text in
        ["use monoio::net;", "let a = Instant::now();", "struct A(Mutex<u8>);", "unsafe { b() }", "tokio::spawn(a)"]
    {
        assert_eq!(broken("src/edge/run.rs", text), ["machine"], "{text}");
    }
    let none: [&str; 0] = [];
    assert_eq!(broken("src/net/uring/stream.rs", "use monoio::net; unsafe { b() }"), none);
    assert_eq!(broken("src/control/x.rs", "use tokio::net; struct A(Mutex<u8>);"), none);
    assert_eq!(broken("src/edge/run.rs", "// monoio, Mutex and unsafe\nconst A: &str = \"unsafe\";"), none);
}

#[test]
fn unfinished_work_is_found_in_tests_too() {
    let text =
        "#[cfg(test)]\nmod tests {\n#[test]\n#[ignore]\nfn a() { todo!() }\nfn b() { dbg!(1); unimplemented!() }\n}";
    assert_eq!(broken("src/edge/run.rs", text), ["nowhere"; 4]);
    assert_eq!(broken("src/edge/run.rs", "use std::io::*;"), ["globs"]);
    let captures = "fn f<'a>(x: &'a u8) -> impl Fn() -> u8 + use<'a> { move || *x }";
    assert_eq!(broken("src/edge/run.rs", captures), [""; 0]);
}

#[test]
fn a_retired_word_is_found_and_prose_is_not() {
    assert_eq!(broken("src/edge/flow/x.rs", "struct Lane;"), ["lexicon"]);
    assert_eq!(broken("src/edge/flow/x.rs", "// Work in a scene.\nconst LANES: &str = \"lane\";"), [""; 0]);
}

#[test]
fn hot_files_do_not_allocate() {
    let hot = |line: &str| broken("src/edge/run.rs", &format!("//! Hot. The path.\n{line}"));
    for line in
        ["fn f() { format!(\"\") }", "fn f() { a.to_string() }", "fn f() { Box::new(a) }", "struct A(Box<dyn B>);"]
    {
        assert_eq!(hot(line), ["hot"], "{line}");
    }
    assert_eq!(hot("struct A { name: Arc<str> }\nfn f(a: &A) { a.name.clone() }"), ["hot"]);
    assert_eq!(hot("struct A { name: Rc<str> }\nfn f(a: &A) { a.name.clone() }"), [""; 0]);
    assert_eq!(hot("fn f() { Box::new(a) } // tidy(hot): once per connection"), [""; 0]);
    assert_eq!(hot("// tidy(hot): once per connection,\n// never again.\nfn f() { Box::new(a) }"), [""; 0]);
    assert_eq!(hot("fn f() { Box::new(a) } // tidy(hot): no"), ["hot"]);
    assert_eq!(hot("#[cfg(test)]\nmod tests { fn f() { format!(\"\") } }"), [""; 0]);
}

#[test]
fn machine_paths_and_registries_are_found_in_any_text() {
    let found = |line: &str| {
        let mut findings = Vec::new();
        words::check_text("x.md", line, &mut findings);
        findings.len()
    };
    assert_eq!(found(concat!("see /ho", "me/me/x")), 1);
    assert_eq!(found(concat!("https://static.crates", ".io/x")), 1);
    assert_eq!(found(concat!("https://example.org/ho", "me/ and a/wo", "rk/b")), 0);
}
