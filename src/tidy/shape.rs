// SPDX-License-Identifier: Apache-2.0
//! How long and how deep: files, lines, functions, arguments, nesting; and that each file says what it is and
//! under which licence.

use super::source::{Finding, LICENCE, Source};
use super::token::Token;

/// Lines of a file before its tests.
pub(crate) const FILE_LINES_MAX: usize = 500;
/// Lines of a file of tests.
pub(crate) const TEST_LINES_MAX: usize = 800;
/// Lines of a function, signature and braces included.
pub(crate) const FUNCTION_LINES_MAX: usize = 70;
/// Characters of a line.
pub(crate) const WIDTH_MAX: usize = 120;
/// Arguments of a function, besides `self`.
pub(crate) const ARGUMENTS_MAX: usize = 6;
/// `if`, `for`, `while`, `loop` and `match` inside one another.
pub(crate) const NESTING_MAX: usize = 4;

/// What breaks a rule of shape in one file.
pub(crate) fn check(source: &Source, findings: &mut Vec<Finding>) {
    check_file(source, findings);
    for function in functions(source) {
        check_function(source, &function, findings);
    }
}

fn check_file(source: &Source, findings: &mut Vec<Finding>) {
    if !source.content().starts_with("//! ") {
        let what = "the file does not open with `//!`: say what it is, what it is not, and its invariant";
        findings.push(source.finding(1, "header", what));
    }
    if !source.text.starts_with(LICENCE) {
        let what = format!("the file does not open with its licence, `{}`", LICENCE.trim_end());
        findings.push(source.finding(1, "licence", what));
    }
    // The licence line does not count.
    let licence = source.text.lines().count() - source.content().lines().count();
    let lines = source.content().lines().count();
    let (counted, most) = match source.tests_from {
        1 => (lines, TEST_LINES_MAX),
        from => (lines.min(from.saturating_sub(1 + licence)), FILE_LINES_MAX),
    };
    if counted > most {
        let what = format!("{counted} lines (before tests), {most} are allowed: it holds more than one noun, split it");
        findings.push(source.finding(counted, "file-length", what));
    }
    if source.tests_from != 1 && lines - counted > 150 {
        let what = format!("{} lines of tests in the file: move them to their own `tests.rs`", lines - counted);
        findings.push(source.finding(source.tests_from, "file-length", what));
    }
    for (number, line) in source.text.lines().enumerate() {
        let width = line.chars().count();
        if width > WIDTH_MAX {
            let what = format!("{width} characters, {WIDTH_MAX} are allowed: break the line");
            findings.push(source.finding(number + 1, "width", what));
        }
    }
}

fn check_function(source: &Source, function: &Function, findings: &mut Vec<Finding>) {
    let name = &function.name;
    let lines = function.last_line - function.line + 1;
    if lines > FUNCTION_LINES_MAX {
        let what =
            format!("`{name}` has {lines} lines, {FUNCTION_LINES_MAX} are allowed: cut where a piece has a name");
        findings.push(source.finding(function.line, "function-length", what));
    }
    if function.arguments > ARGUMENTS_MAX {
        let count = function.arguments;
        let what = format!("`{name}` takes {count} arguments, {ARGUMENTS_MAX} are allowed: some of them are one thing");
        findings.push(source.finding(function.line, "arguments", what));
    }
    if function.has_bool && !source.is_test(function.line) {
        let what = format!("`{name}` takes a bool: use an enum that says what is meant, or two functions");
        findings.push(source.finding(function.line, "bool", what));
    }
    if function.nesting > NESTING_MAX {
        let depth = function.nesting;
        let what =
            format!("`{name}` nests {depth} deep, {NESTING_MAX} are allowed: return early, or give a piece a name");
        findings.push(source.finding(function.line, "nesting", what));
    }
}

/// A function with a body.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its name.
    pub name: String,
    /// Where `fn` stands.
    pub line: usize,
    /// Where its body ends.
    pub last_line: usize,
    /// Besides `self`.
    pub arguments: usize,
    /// One of them is a plain `bool`.
    pub has_bool: bool,
    /// Deepest nesting of control flow.
    pub nesting: usize,
}

/// All functions with a body, also those inside others.
pub(crate) fn functions(source: &Source) -> Vec<Function> {
    let code = &source.code;
    let named = |at: &usize| code[*at].is_word("fn") && code.get(at + 1).is_some_and(|next| next.word().is_some());
    (0..code.len()).filter(named).filter_map(|at| function(code, at)).collect()
}

fn function(code: &[Token], at: usize) -> Option<Function> {
    let name = code.get(at + 1)?.word()?.to_owned();
    let mut open = at + 2;
    if code.get(open)?.is_mark('<') {
        open = closing(code, open)? + 1;
    }
    let close = closing(code, open)?;
    let (arguments, has_bool) = arguments(&code[open + 1..close]);
    let body = (close..code.len()).find(|at| code[*at].is_mark('{') || code[*at].is_mark(';'))?;
    if code[body].is_mark(';') {
        return None;
    }
    let end = closing(code, body)?;
    let nesting = nesting(&code[body + 1..end]);
    Some(Function { name, line: code[at].line, last_line: code[end].line, arguments, has_bool, nesting })
}

/// Where the bracket that opens at `at` is closed.
fn closing(code: &[Token], at: usize) -> Option<usize> {
    let pair = [('(', ')'), ('{', '}'), ('<', '>'), ('[', ']')].into_iter().find(|pair| code[at].is_mark(pair.0))?;
    let mut depth = 0_usize;
    for place in at..code.len() {
        let arrow = pair.1 == '>' && place > 0 && (code[place - 1].is_mark('-') || code[place - 1].is_mark('='));
        if code[place].is_mark(pair.0) {
            depth += 1;
        } else if code[place].is_mark(pair.1) && !arrow {
            depth -= 1;
        }
        if depth == 0 {
            return Some(place);
        }
    }
    None
}

/// How many arguments besides `self`, and whether one is a plain `bool`.
fn arguments(code: &[Token]) -> (usize, bool) {
    let mut depth = 0_i32;
    let mut pieces: Vec<&[Token]> = Vec::new();
    let mut start = 0;
    for (at, token) in code.iter().enumerate() {
        let arrow = at > 0 && code[at - 1].is_mark('-');
        match token {
            _ if "([{<".chars().any(|mark| token.is_mark(mark)) => depth += 1,
            _ if token.is_mark('>') && arrow => {}
            _ if ")]}>".chars().any(|mark| token.is_mark(mark)) => depth -= 1,
            _ if token.is_mark(',') && depth == 0 => {
                pieces.push(&code[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&code[start..]);
    let own = |piece: &&[Token]| !piece.is_empty() && !piece.iter().any(|token| token.is_word("self"));
    let plain_bool = |piece: &[Token]| {
        let [.., colon, last] = piece else { return false };
        colon.is_mark(':') && last.is_word("bool")
    };
    let pieces: Vec<&[Token]> = pieces.into_iter().filter(own).collect();
    (pieces.len(), pieces.iter().any(|piece| plain_bool(piece)))
}

/// Deepest nesting of blocks that belong to `if`, `for`, `while`, `loop` or `match`.
fn nesting(code: &[Token]) -> usize {
    let mut blocks = Vec::new();
    let mut brackets = 0_i32;
    // The bracket depth at which a keyword waits for its block.
    let mut waiting: Vec<i32> = Vec::new();
    let mut deepest = 0;
    for (at, token) in code.iter().enumerate() {
        match token.word() {
            // `else if` is one decision, and the `for` of `for<'a>` or `impl X for Y` is none.
            Some("if" | "while" | "loop" | "match") if !waiting.contains(&brackets) => waiting.push(brackets),
            Some("for") if is_loop(&code[at..]) => waiting.push(brackets),
            _ => {}
        }
        if token.is_mark('(') || token.is_mark('[') {
            brackets += 1;
        } else if token.is_mark(')') || token.is_mark(']') {
            brackets -= 1;
        } else if token.is_mark('{') {
            let control = waiting.last() == Some(&brackets);
            if control {
                waiting.pop();
            }
            blocks.push(control);
            deepest = deepest.max(blocks.iter().filter(|control| **control).count());
        } else if token.is_mark('}') {
            blocks.pop();
        } else if token.is_mark('=') && code.get(at + 1).is_some_and(|next| next.is_mark('>')) {
            // The `if` before it was a guard of a match arm.
            waiting.retain(|depth| *depth != brackets);
        }
    }
    deepest
}

/// A `for` that has its `in` before its block.
fn is_loop(code: &[Token]) -> bool {
    code.iter().take_while(|token| !token.is_mark('{')).any(|token| token.is_word("in"))
}
