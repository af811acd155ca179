// SPDX-License-Identifier: Apache-2.0
//! Every path that a file's code names, and every name that its `use` declarations bring in. Tests do not count.
//!
//! It reads tokens, not meaning: a path is words joined by `::`, read from its first word. What a path stands for is
//! the business of `circles`.

use super::source::Source;
use super::token::Token;

/// A path as it is written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The module that it is written in: the file's own, or one with braces inside the file.
    pub module: Vec<String>,
    /// Its words.
    pub words: Vec<String>,
    /// The line of its last word.
    pub line: usize,
}

/// One name that a `use` declaration brings into a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// What the file calls it; `_` where it has no name.
    pub name: String,
    /// What it stands for.
    pub path: Named,
    /// `pub use`, however far it is seen.
    pub public: bool,
}

/// What one file names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// By `use` declarations.
    pub imports: Vec<Import>,
    /// By paths of at least two words in the rest of its code.
    pub paths: Vec<Named>,
    /// Words outside of `use` declarations.
    pub words: Vec<String>,
}

/// The path of the module that a file of `src` is: none for other files and for the program's own `main.rs`.
pub(crate) fn module(path: &str) -> Option<Vec<String>> {
    let inside = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let mut words: Vec<String> = inside.split('/').map(str::to_owned).collect();
    match words.last().map(String::as_str) {
        Some("main") if words.len() == 1 => return None,
        Some("lib") if words.len() == 1 => words.clear(),
        Some("mod") => {
            words.pop();
        }
        Some(_) | None => {}
    }
    Some(words)
}

/// What the file of module `module` names outside of its tests.
pub(crate) fn names(source: &Source, module: &[String]) -> Names {
    // The rules themselves count as tests elsewhere; here only their own tests do.
    let ruled = source.path.starts_with("src/tidy") && !source.path.ends_with("/tests.rs");
    let code = without_tests(if ruled { &source.code } else { source.product() });
    let mut reader = Reader { code: &code, module: module.to_vec(), blocks: Vec::new(), found: Names::default() };
    let mut at = 0;
    while at < code.len() {
        at = reader.next(at);
    }
    reader.found
}

/// The code without what stands behind `#[cfg(test)]`.
fn without_tests(code: &[Token]) -> Vec<Token> {
    let mut kept = Vec::with_capacity(code.len());
    let mut at = 0;
    while at < code.len() {
        if is_test_attribute(&code[at..]) {
            at = item_end(code, at + 7);
        } else {
            kept.push(code[at].clone());
            at += 1;
        }
    }
    kept
}

fn is_test_attribute(code: &[Token]) -> bool {
    let mark = |at: usize, mark: char| code.get(at).is_some_and(|token| token.is_mark(mark));
    let word = |at: usize, word: &str| code.get(at).is_some_and(|token| token.is_word(word));
    mark(0, '#') && mark(1, '[') && word(2, "cfg") && mark(3, '(') && word(4, "test") && mark(5, ')') && mark(6, ']')
}

/// Where the item that starts at `at` is over: behind its `;`, or behind the block that closes it.
fn item_end(code: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    // The braces of a `use` are no block.
    let block_ends = !code[at..].iter().take(5).any(|token| token.is_word("use"));
    for (place, token) in code.iter().enumerate().skip(at) {
        if "([{".chars().any(|mark| token.is_mark(mark)) {
            depth += 1;
        } else if ")]}".chars().any(|mark| token.is_mark(mark)) {
            depth = depth.saturating_sub(1);
            if depth == 0 && block_ends && token.is_mark('}') {
                return place + 1;
            }
        } else if depth == 0 && token.is_mark(';') {
            return place + 1;
        }
    }
    code.len()
}

struct Reader<'a> {
    code: &'a [Token],
    module: Vec<String>,
    /// For each open brace: does it hold a module?
    blocks: Vec<bool>,
    found: Names,
}

impl Reader<'_> {
    /// Reads what stands at `at`, and says where to go on.
    fn next(&mut self, at: usize) -> usize {
        let token = &self.code[at];
        if token.is_word("use") && !self.is_mark(at + 1, '<') {
            let public = self.is_public(at);
            return self.tree(at + 1, &[], public);
        }
        if token.is_word("mod") && self.is_mark(at + 2, '{') {
            self.module.extend(self.word(at + 1));
            self.blocks.push(true);
            return at + 3;
        }
        if token.is_word("mod") && self.is_mark(at + 2, ';') {
            return at + 3;
        }
        if token.is_mark('{') {
            self.blocks.push(false);
        } else if token.is_mark('}') && self.blocks.pop() == Some(true) {
            self.module.pop();
        }
        let Some(word) = token.word() else { return at + 1 };
        self.found.words.push(word.to_owned());
        // `::name` is another crate's, and `<A>::name` an item of a type.
        if at >= 2 && self.are_colons(at - 2) { at + 1 } else { self.path(at) }
    }

    /// A path that starts at `at`, if two words at least are joined.
    fn path(&mut self, at: usize) -> usize {
        let mut words = vec![self.word(at).expect("it starts at a word")];
        let mut end = at + 1;
        while self.are_colons(end) && self.word(end + 2).is_some() {
            words.extend(self.word(end + 2));
            end += 3;
        }
        self.found.words.extend_from_slice(&words[1..]);
        if words.len() > 1 {
            let line = self.code[end - 1].line;
            self.found.paths.push(Named { module: self.module.clone(), words, line });
        }
        end
    }

    /// One tree of a `use` declaration: the words of `before`, and what stands at `at`.
    fn tree(&mut self, mut at: usize, before: &[String], public: bool) -> usize {
        let mut words = before.to_vec();
        while let Some(word) = self.word(at) {
            words.push(word);
            at += 1;
            if !self.are_colons(at) {
                break;
            }
            at += 2;
        }
        if self.is_mark(at, '{') {
            at += 1;
            while at < self.code.len() && !self.is_mark(at, '}') {
                at = self.tree(at, &words, public);
            }
            at += 1;
        } else {
            at = self.leaf(at, words, public);
        }
        // Behind the `,` or the `;`; in front of the `}` of the group.
        if self.is_mark(at, '}') { at } else { at + 1 }
    }

    /// The end of a tree: a name, perhaps another one (`as`), or everything (`*`).
    fn leaf(&mut self, mut at: usize, mut words: Vec<String>, public: bool) -> usize {
        if words.len() > 1 && words.last().is_some_and(|last| last == "self") {
            words.pop();
        }
        let line = self.code.get(at.saturating_sub(1)).map_or(1, |token| token.line);
        let mut name = words.last().cloned().unwrap_or_default();
        if self.code.get(at).is_some_and(|token| token.is_word("as")) {
            name = self.word(at + 1).unwrap_or_default();
            at += 2;
        } else if self.is_mark(at, '*') {
            name = "*".to_owned();
            at += 1;
        }
        self.found.imports.push(Import { name, path: Named { module: self.module.clone(), words, line }, public });
        at
    }

    /// Does a `pub`, `pub(crate)` or `pub(in …)` stand before the `use` at `at`?
    fn is_public(&self, at: usize) -> bool {
        let before = self.code[..at].iter().rev().take_while(|token| !";}]".chars().any(|mark| token.is_mark(mark)));
        before.into_iter().any(|token| token.is_word("pub"))
    }

    fn word(&self, at: usize) -> Option<String> {
        self.code.get(at).and_then(Token::word).map(str::to_owned)
    }

    fn is_mark(&self, at: usize, mark: char) -> bool {
        self.code.get(at).is_some_and(|token| token.is_mark(mark))
    }

    fn are_colons(&self, at: usize) -> bool {
        self.is_mark(at, ':') && self.is_mark(at + 1, ':')
    }
}
