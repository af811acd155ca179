// SPDX-License-Identifier: Apache-2.0
//! Circles in made-up trees: found however they are written, and not found where there is none.

use super::*;

/// The files of the knots that these files make, by their first finding: what it says behind its path.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    found_but(files, &[])
}

fn found_but(files: &[(&str, &str)], not_yet: &[&str]) -> Vec<String> {
    let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
    check(&sources, not_yet).into_iter().map(|finding| format!("{}: {}", finding.path, finding.what)).collect()
}

/// Does `text` as `src/f/x.rs` make a circle with `src/f/y.rs`, which uses `x::X` and defines `Y`?
fn ties(text: &str) -> bool {
    let page = "//! Page.\nmod x;\nmod y;\npub use x::X;\npub use y::Y;\n";
    let below = "use crate::f::x::X;\npub struct Y(X);\n";
    let lib = "pub mod f;\n";
    let files = [("src/lib.rs", lib), ("src/f/mod.rs", page), ("src/f/x.rs", text), ("src/f/y.rs", below)];
    let found = found(&files);
    assert!(found.len() < 2, "{found:?}");
    found.first().is_some_and(|what| what.starts_with("src/f/x.rs: 2 files") || what.starts_with("src/f/y.rs: 2 files"))
}

#[test]
fn two_files_that_need_each_other_are_found_however_that_is_written() {
    for text in [
        "use crate::f::y::Y;\npub struct X(Y);",
        "use crate::f::Y;\npub struct X(Y);",
        "use super::y::Y;\npub struct X(Y);",
        "use super::Y;\npub struct X(Y);",
        "use super::{Y as Other};\npub struct X(Other);",
        "use crate::{f::{self}};\npub struct X(f::Y);",
        "use super::y;\npub struct X(y::Y);",
        "use crate::f;\npub struct X(f::Y);",
        "use crate::{f::{y}};\npub struct X(y::Y);",
        "pub struct X;\nfn a() { super::y::Y::new() }",
        "pub struct X(pub crate::f::Y);",
        "pub struct X;\nmod inner { use super::super::Y; pub struct Z(Y); }",
        "pub struct X;\nfn a(b: u8) { let c = b as crate::f::y::Y; }",
        "pub use crate::f::y::Y;\npub struct X(Y);",
        "pub struct X;\npub(crate) use super::y::Y as Mine;\nimpl Mine {}",
    ] {
        assert!(ties(text), "{text}");
    }
}

#[test]
fn what_only_looks_like_a_need_makes_no_circle() {
    for text in [
        "pub struct X;",
        "pub use crate::f::y::Y;\npub struct X;",
        "/// See `crate::f::y::Y`.\npub struct X;\nconst A: &str = \"crate::f::y::Y\";",
        "pub struct X;\n#[cfg(test)]\nmod tests { use super::super::y::Y; }",
        "pub struct X;\n#[cfg(test)]\nuse super::{y::Y};\nfn a() {}",
        "pub struct X;\n#[cfg(test)]\nimpl X { fn a() { super::Y::new() } }\nfn b() {}",
        "use std::y::Y;\npub struct X(Y);",
        "use other::f::{y::Y};\npub struct X(Y);",
        "use super::y;\npub struct X(::y::Y);",
    ] {
        assert!(!ties(text), "{text}");
    }
}

#[test]
fn a_circle_round_about_is_told_step_by_step() {
    let files = [
        ("src/f/mod.rs", "mod a;\nmod b;\nmod c;\nmod d;"),
        ("src/f/a.rs", "\nuse super::b::B;\npub struct A(B);"),
        ("src/f/b.rs", "use super::c::C;\npub struct B(C);"),
        ("src/f/c.rs", "use super::a::A;\nuse super::d::D;\npub struct C(A, D);"),
        ("src/f/d.rs", "pub struct D;"),
    ];
    let expected = "src/f/a.rs: 3 files need each other in a circle, for example src/f/a.rs:2 → src/f/b.rs, \
                    src/f/b.rs:1 → src/f/c.rs, src/f/c.rs:1 → src/f/a.rs: move what both need into a file below both";
    assert_eq!(found(&files), [expected]);
}

#[test]
fn a_front_page_that_hands_names_on_is_in_no_circle() {
    let y = ("src/f/y.rs", "pub struct Y;");
    let x = ("src/f/x.rs", "use super::Y;\npub struct X(Y);");
    assert_eq!(found(&[("src/f/mod.rs", "mod x;\nmod y;\npub use x::X;\npub use y::Y;"), x, y]), [""; 0]);
    // The `mod` line of a file whose item has the same name is no use of that item.
    let same = ("src/f/x.rs", "use super::Caps;\npub fn x(a: Caps) {}");
    assert_eq!(found(&[("src/f/mod.rs", "mod x;\npub use x::x;\npub struct Caps;"), same]), [""; 0]);
    // What it defines is used below it: no circle, as long as it uses nothing from there.
    let below = ("src/f/x.rs", "use super::Caps;\npub struct X(Caps);");
    assert_eq!(found(&[("src/f/mod.rs", "mod x;\npub use x::X;\npub struct Caps;"), below]), [""; 0]);
    let both = found(&[("src/f/mod.rs", "mod x;\npub use x::X;\npub struct Caps;\nfn a(x: X) {}"), below]);
    assert!(both.len() == 1 && both[0].starts_with("src/f/mod.rs: 2 files"), "{both:?}");
    // A file with a folder of its own is a front page, too.
    let both = found(&[("src/f.rs", "mod x;\nuse x::X;\npub struct Caps(X);"), below]);
    assert!(both.len() == 1 && both[0].starts_with("src/f.rs: 2 files"), "{both:?}");
}

#[test]
fn names_are_followed_through_several_pages() {
    let files = [
        ("src/f/mod.rs", "mod a;\npub mod g;\npub use g::B as Deep;"),
        ("src/f/g/mod.rs", "mod b;\npub use b::B;"),
        ("src/f/g/b.rs", "use crate::f::a::A;\npub struct B(A);"),
        ("src/f/a.rs", "use super::Deep;\npub struct A(Deep);"),
    ];
    let found = found(&files);
    assert!(found.len() == 1 && found[0].contains("src/f/a.rs:1 → src/f/g/b.rs"), "{found:?}");
}

#[test]
fn names_that_lead_to_themselves_end() {
    assert_eq!(found(&[("src/f/mod.rs", "use a::b;\nuse b::a;\nfn c() { a::d(); b::d() }")]), [""; 0]);
    let pages = [
        ("src/f/mod.rs", "pub mod g;\npub use g::A;\nfn b(c: A) {}"),
        ("src/f/g/mod.rs", "pub use super::A;\nfn b(c: A) {}"),
    ];
    assert_eq!(found(&pages), [""; 0]);
}

#[test]
fn folders_that_are_not_yet_under_the_law_are_listed_until_they_are() {
    let tied = [
        ("src/f/a.rs", "use super::b::B;\npub struct A(B);"),
        ("src/f/b.rs", "use super::a::A;\npub struct B(A);"),
        ("src/g/a.rs", "pub struct A;"),
    ];
    assert_eq!(found_but(&tied, &["f"]), [""; 0]);
    assert_eq!(found_but(&tied, &[]).len(), 1);
    let over = found_but(&tied, &["f", "g"]);
    assert_eq!(over, ["src/tidy/circles.rs: `g` has no circle of files (any more): take it out of `NOT_YET`"]);
}
