// SPDX-License-Identifier: Apache-2.0
//! Cuts an expression into tokens (the language definition of CEL, section "Syntax").

use crate::cel::syntax::Fault;

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub at: usize,
    pub len: usize,
    pub kind: TokenKind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    /// Digits without sign.
    Int(u64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// A name or a word of the language.
    Word(String),
    /// One of `SYMBOLS`.
    Symbol(&'static str),
    End,
}

/// The longer ones first.
const SYMBOLS: [&str; 25] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "?", ":", "+", "-", "*", "/", "%", "(", ")", "[", "]", "{", "}",
    ".", ",", "=",
];

/// All tokens of `text`; the last one is `End`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut lexer = Lexer { text, at: 0 };
    let mut list = Vec::new();
    loop {
        lexer.skip();
        let at = lexer.at;
        let kind = lexer.next()?;
        let end = kind == TokenKind::End;
        list.push(Token { at, len: lexer.at - at, kind });
        if end {
            return Ok(list);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Skips white space and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let start = rest.trim_start_matches(['\t', '\n', '\x0c', '\r', ' ']);
            self.at += rest.len() - start.len();
            if !start.starts_with("//") {
                return;
            }
            self.at += start.find('\n').unwrap_or(start.len());
        }
    }

    fn next(&mut self) -> Result<TokenKind, Fault> {
        let rest = self.rest();
        let Some(first) = rest.bytes().next() else { return Ok(TokenKind::End) };
        let second = rest.as_bytes().get(1).copied().unwrap_or(0);
        if first.is_ascii_digit() || (first == b'.' && second.is_ascii_digit()) {
            return self.number();
        }
        if let Some(text) = self.text_literal()? {
            return Ok(text);
        }
        if first.is_ascii_alphabetic() || first == b'_' {
            let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let end = rest.bytes().position(|byte| !word(byte)).unwrap_or(rest.len());
            self.at += end;
            return Ok(TokenKind::Word(rest[..end].to_owned()));
        }
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            if *symbol == "=" {
                return Err(Fault::new(self.at, 1, "`=` is no operator").help("`==` compares"));
            }
            self.at += symbol.len();
            return Ok(TokenKind::Symbol(symbol));
        }
        let letter = rest.chars().next().unwrap_or(' ');
        let fault = Fault::new(self.at, letter.len_utf8(), format!("`{}` does not belong here", letter.escape_debug()));
        Err(match letter {
            '&' => fault.help("`&&` is \"and\""),
            '|' => fault.help("`||` is \"or\""),
            _ => fault,
        })
    }

    fn number(&mut self) -> Result<TokenKind, Fault> {
        let (start, rest) = (self.at, self.rest());
        let digits = |from: usize, good: fn(&u8) -> bool| {
            from + rest.as_bytes()[from..].iter().take_while(|byte| good(byte)).count()
        };
        let (mut end, value);
        if rest.starts_with("0x") || rest.starts_with("0X") {
            end = digits(2, u8::is_ascii_hexdigit);
            value = u64::from_str_radix(&rest[2..end], 16).ok();
        } else {
            end = digits(0, u8::is_ascii_digit);
            let double = self.double_end(end);
            if let Some(end) = double {
                self.at += end;
                let number = rest[..end].parse().map_err(|_| Fault::new(start, end, "this is no number"))?;
                return self.ended(start, TokenKind::Double(number));
            }
            value = rest[..end].parse().ok();
        }
        let Some(value) = value else {
            return Err(Fault::new(start, end, "this number is too large, or has no digits"));
        };
        let unsigned = matches!(rest.as_bytes().get(end), Some(b'u' | b'U'));
        end += usize::from(unsigned);
        self.at += end;
        self.ended(start, if unsigned { TokenKind::Uint(value) } else { TokenKind::Int(value) })
    }

    /// Where a number with a fraction or an exponent ends, if the one whose first digits end at `end` is one.
    fn double_end(&self, end: usize) -> Option<usize> {
        let bytes = self.rest().as_bytes();
        let digits =
            |from: usize| from + bytes[from.min(bytes.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut at = end;
        if bytes.get(at) == Some(&b'.') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
            at = digits(at + 1);
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            if bytes.get(at + 1 + sign).is_some_and(u8::is_ascii_digit) {
                at = digits(at + 1 + sign);
            }
        }
        (at > end).then_some(at)
    }

    /// A number does not run into a word.
    fn ended(&self, start: usize, kind: TokenKind) -> Result<TokenKind, Fault> {
        match self.rest().bytes().next() {
            Some(byte) if byte.is_ascii_alphanumeric() || byte == b'_' => {
                Err(Fault::new(start, self.at + 1 - start, "a name does not begin with a digit"))
            }
            _ => Ok(kind),
        }
    }

    /// A text or bytes, if one begins here: quoted once or three times, with the prefixes `r` and `b`.
    fn text_literal(&mut self) -> Result<Option<TokenKind>, Fault> {
        let (start, rest) = (self.at, self.rest());
        let quote = rest.find(['"', '\'']).unwrap_or(rest.len());
        let (raw, bytes) = match rest[..quote].to_ascii_lowercase().as_str() {
            "" => (Raw::No, Bytes::No),
            "r" => (Raw::Yes, Bytes::No),
            "b" => (Raw::No, Bytes::Yes),
            "br" | "rb" => (Raw::Yes, Bytes::Yes),
            _ => return Ok(None),
        };
        let Some(mark) = rest.get(quote..=quote).filter(|mark| !mark.is_empty()) else { return Ok(None) };
        let triple = mark.repeat(3);
        let mark = if rest[quote..].starts_with(&triple) { triple.as_str() } else { mark };
        let mut content = Content { at: start + quote + mark.len(), out: Vec::new(), raw, bytes };
        loop {
            let left = &self.text[content.at..];
            if left.starts_with(mark) {
                self.at = content.at + mark.len();
                break;
            }
            if left.is_empty() || (mark.len() == 1 && left.starts_with(['\n', '\r'])) {
                return Err(Fault::new(start, 1, "this text has no end").help("the same quotation mark ends it"));
            }
            content.take(left)?;
        }
        if bytes == Bytes::Yes {
            return Ok(Some(TokenKind::Bytes(content.out)));
        }
        let text = String::from_utf8(content.out).map_err(|_| Fault::new(start, 1, "this text is not UTF-8"))?;
        Ok(Some(TokenKind::Text(text)))
    }
}

/// Are backslashes plain characters?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Raw {
    Yes,
    No,
}

/// Are they bytes rather than text?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bytes {
    Yes,
    No,
}

/// The inside of a text literal that is being read.
struct Content {
    at: usize,
    out: Vec<u8>,
    raw: Raw,
    bytes: Bytes,
}

impl Content {
    /// Takes the next character or escape of `left`, which begins at `at`.
    fn take(&mut self, left: &str) -> Result<(), Fault> {
        let Some(letter) = left.chars().next() else { return Ok(()) };
        if letter != '\\' || self.raw == Raw::Yes {
            self.out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            self.at += letter.len_utf8();
            return Ok(());
        }
        let wrong =
            |title: &str| Fault::new(self.at, 2, title).help("`\\\\` is a backslash; r\"…\" takes them as they are");
        let Some(second) = left.chars().nth(1) else { return Err(wrong("an escape without a character")) };
        let plain = match second {
            'a' => Some(7),
            'b' => Some(8),
            'f' => Some(12),
            'n' => Some(b'\n'),
            'r' => Some(b'\r'),
            't' => Some(b'\t'),
            'v' => Some(11),
            '\\' | '?' | '"' | '\'' | '`' => Some(second as u8),
            _ => None,
        };
        if let Some(byte) = plain {
            self.out.push(byte);
            self.at += 2;
            return Ok(());
        }
        let (skipped, digits, radix) = match second {
            'x' | 'X' => (2, 2, 16),
            'u' => (2, 4, 16),
            'U' => (2, 8, 16),
            '0'..='3' => (1, 3, 8),
            _ => return Err(wrong("an escape that CEL does not have")),
        };
        let number = left.get(skipped..skipped + digits).filter(|text| !text.starts_with('+'));
        let number = number.and_then(|text| u32::from_str_radix(text, radix).ok());
        let Some(number) = number else { return Err(wrong("this escape needs more digits")) };
        match (self.bytes, second) {
            (Bytes::Yes, 'u' | 'U') => return Err(wrong("bytes have no code points")),
            (Bytes::Yes, _) => self.out.push(number as u8),
            (Bytes::No, _) => {
                let letter = char::from_u32(number).ok_or_else(|| wrong("this is no code point"))?;
                self.out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        self.at += skipped + digits;
        Ok(())
    }
}
