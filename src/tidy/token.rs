// SPDX-License-Identifier: Apache-2.0
//! Rust text as tokens with line numbers: enough to tell code from strings and comments, and no more.
//!
//! It knows line and nested block comments, plain, raw, byte and C strings, characters and lifetimes, raw identifiers
//! and numbers. Everything else is a single character. It is meant for code that compiles.

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it is.
    pub kind: Kind,
    /// The line where it starts, from one.
    pub line: usize,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or keyword, without `r#`.
    Word(String),
    /// One character of punctuation.
    Mark(char),
    /// A string, character, lifetime or number: of no interest beyond being there.
    Literal,
    /// A comment, with its text.
    Comment(String),
}

impl Token {
    /// Is it this word?
    pub(crate) fn is_word(&self, text: &str) -> bool {
        matches!(&self.kind, Kind::Word(word) if word == text)
    }

    /// Is it this mark?
    pub(crate) fn is_mark(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }

    /// The word, if it is one.
    pub(crate) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            Kind::Mark(_) | Kind::Literal | Kind::Comment(_) => None,
        }
    }
}

/// The tokens of `text`.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut scanner = Scanner { chars: text.chars().collect(), at: 0, line: 1 };
    let mut found = Vec::new();
    while let Some(token) = scanner.next() {
        found.push(token);
    }
    found
}

struct Scanner {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Scanner {
    fn next(&mut self) -> Option<Token> {
        while self.peek(0)?.is_whitespace() {
            self.step();
        }
        let line = self.line;
        let first = self.peek(0)?;
        let kind = match (first, self.peek(1)) {
            ('/', Some('/')) => self.line_comment(),
            ('/', Some('*')) => self.block_comment(),
            ('"', _) => self.string(),
            ('\'', _) => self.quote(),
            _ if first.is_ascii_digit() => self.number(),
            _ if first == '_' || first.is_alphabetic() => self.word(),
            _ => {
                self.step();
                Kind::Mark(first)
            }
        };
        Some(Token { kind, line })
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn step(&mut self) {
        if self.peek(0) == Some('\n') {
            self.line += 1;
        }
        self.at += 1;
    }

    fn line_comment(&mut self) -> Kind {
        let start = self.at;
        while self.peek(0).is_some_and(|next| next != '\n') {
            self.step();
        }
        Kind::Comment(self.chars[start..self.at].iter().collect())
    }

    fn block_comment(&mut self) -> Kind {
        let start = self.at;
        let mut depth = 0;
        while let Some(next) = self.peek(0) {
            match (next, self.peek(1)) {
                ('/', Some('*')) => {
                    depth += 1;
                    self.step();
                }
                ('*', Some('/')) => {
                    depth -= 1;
                    self.step();
                }
                _ => {}
            }
            self.step();
            if depth == 0 {
                break;
            }
        }
        Kind::Comment(self.chars[start..self.at].iter().collect())
    }

    fn string(&mut self) -> Kind {
        self.step();
        while let Some(next) = self.peek(0) {
            self.step();
            match next {
                '\\' => self.step(),
                '"' => break,
                _ => {}
            }
        }
        Kind::Literal
    }

    /// A raw string from its first `#` or `"` on.
    fn raw_string(&mut self) -> Kind {
        let mut hashes = 0;
        while self.peek(0) == Some('#') {
            hashes += 1;
            self.step();
        }
        self.step();
        while let Some(next) = self.peek(0) {
            self.step();
            if next == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                self.at += hashes;
                break;
            }
        }
        Kind::Literal
    }

    /// A character, or a lifetime or label.
    fn quote(&mut self) -> Kind {
        self.step();
        if self.peek(0) == Some('\\') {
            self.step();
            self.step();
            while self.peek(0).is_some_and(|next| next != '\'') {
                self.step();
            }
            self.step();
        } else if self.peek(1) == Some('\'') {
            self.step();
            self.step();
        } else {
            while self.peek(0).is_some_and(|next| next == '_' || next.is_alphanumeric()) {
                self.step();
            }
        }
        Kind::Literal
    }

    fn number(&mut self) -> Kind {
        let more = |next: char| next == '_' || next.is_alphanumeric();
        while self.peek(0).is_some_and(more)
            || (self.peek(0) == Some('.') && self.peek(1).is_some_and(|next| next.is_ascii_digit()))
        {
            self.step();
        }
        Kind::Literal
    }

    fn word(&mut self) -> Kind {
        let start = self.at;
        while self.peek(0).is_some_and(|next| next == '_' || next.is_alphanumeric()) {
            self.step();
        }
        let word: String = self.chars[start..self.at].iter().collect();
        let raw = matches!(word.as_str(), "r" | "br" | "cr");
        match (word.as_str(), self.peek(0), self.peek(1)) {
            (_, Some('"'), _) if raw => self.raw_string(),
            (_, Some('#'), Some('"' | '#')) if raw => self.raw_string(),
            ("b" | "c", Some('"'), _) => self.string(),
            ("b", Some('\''), _) => self.quote(),
            ("r", Some('#'), Some(next)) if next == '_' || next.is_alphabetic() => {
                self.step();
                self.word()
            }
            _ => Kind::Word(word),
        }
    }
}
