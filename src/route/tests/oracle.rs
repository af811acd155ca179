// SPDX-License-Identifier: Apache-2.0
//! The tree against `matchit`, on what both know: literal paths, whole-segment parameters, tails.

use proptest::prelude::*;

use super::{Sample, rule};
use crate::route::{PathPattern, Rule, Table};

#[derive(Clone, Debug)]
enum Piece {
    Literal(&'static str),
    Param,
    Tail,
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let word = prop::sample::select(vec!["a", "ab", "abc", "b", "user", "users", "x"]);
    let piece = prop_oneof![3 => word.prop_map(Piece::Literal), 2 => Just(Piece::Param), 1 => Just(Piece::Tail)];
    prop::collection::vec(piece, 1..5)
}

/// The pattern, its parameters named by their depth, because `matchit` wants one name at one place.
fn written(pieces: &[Piece]) -> String {
    let mut text = String::new();
    for (depth, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Literal(word) => text += &format!("/{word}"),
            Piece::Param => text += &format!("/{{p{depth}}}"),
            Piece::Tail => {
                text += "/{*rest}";
                break;
            }
        }
    }
    text
}

fn path() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec!["a", "ab", "abc", "b", "user", "users", "x", "abcd", "1"]);
    prop::collection::vec(word, 1..6).prop_map(|words| format!("/{}", words.join("/")))
}

proptest! {
    #[test]
    fn agrees_with_matchit(
        patterns in prop::collection::vec(pieces(), 1..12),
        paths in prop::collection::vec(path(), 1..20),
    ) {
        let mut router = matchit::Router::new();
        let mut rules: Vec<Rule> = Vec::new();
        for text in patterns.iter().map(|pieces| written(pieces)) {
            let number = rules.len() as u32;
            // What it refuses (a second one of a kind) is not compared.
            if router.insert(text.clone(), number).is_ok() {
                let mut one = rule(number, "/");
                one.path = PathPattern::template(&text).unwrap();
                one.params = one.path.names().to_vec();
                rules.push(one);
            }
        }
        let table = Table::build(rules).table;
        for path in &paths {
            let ours = Sample::new("GET", "", path).route(&table);
            let theirs = router.at(path).ok().map(|found| {
                (*found.value, found.params.iter().map(|(_, value)| value.to_owned()).collect::<Vec<_>>())
            });
            prop_assert_eq!(ours, theirs, "{}", path);
        }
    }
}
