// SPDX-License-Identifier: Apache-2.0
//! Parses an expression by recursive descent. Depth and size are capped, so no text can exhaust the stack, neither here
//! nor in what walks the tree later.

use crate::base::limits::{EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX};
use crate::cel::syntax::{Binary, Expr, Fault, Optional, Syntax};
use crate::cel::token::{Token, TokenKind, tokens};

/// Parses `text`.
pub(super) fn parse(text: &str) -> Result<Expr, Fault> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(Fault::new(0, 1, format!("an expression has at most {EXPRESSION_BYTES_MAX} bytes")));
    }
    let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0 };
    let whole = parser.expression()?;
    match parser.peek().kind {
        TokenKind::End => Ok(whole),
        _ => Err(parser.unexpected("the expression ends before this")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    /// The last token is `End`, and is never passed.
    next: usize,
    depth: usize,
}

/// Words that are no names (the language definition, "reserved").
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        if token.kind != TokenKind::End {
            self.next += 1;
        }
        token
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek().kind, TokenKind::Symbol(found) if found == symbol)
    }

    /// Takes `symbol` if it comes next.
    fn takes(&mut self, symbol: &str) -> Option<Token> {
        self.is(symbol).then(|| self.take())
    }

    fn expect(&mut self, symbol: &str) -> Result<Token, Fault> {
        self.takes(symbol).ok_or_else(|| self.unexpected(&format!("`{symbol}` is missing")))
    }

    fn unexpected(&self, title: &str) -> Fault {
        let token = self.peek();
        let title =
            if token.kind == TokenKind::End { format!("{title}: the text ends here") } else { title.to_owned() };
        Fault::new(token.at, token.len.max(1), title)
    }

    fn expression(&mut self) -> Result<Expr, Fault> {
        self.depth += 1;
        if self.depth > EXPRESSION_DEPTH_MAX {
            return Err(self.unexpected("the expression is nested too deeply"));
        }
        let condition = self.either()?;
        let whole = match self.takes("?") {
            None => condition,
            Some(mark) => {
                let then = self.either()?;
                self.expect(":")?;
                let other = self.expression()?;
                let height = condition.height.max(then.height).max(other.height);
                made((mark.at, 1), height, Syntax::Conditional(Box::new([condition, then, other])))?
            }
        };
        self.depth -= 1;
        Ok(whole)
    }

    fn either(&mut self) -> Result<Expr, Fault> {
        self.chain("||", Parser::both, Syntax::Any)
    }

    fn both(&mut self) -> Result<Expr, Fault> {
        self.chain("&&", Parser::relation, Syntax::All)
    }

    fn chain(
        &mut self,
        symbol: &str,
        side: fn(&mut Parser) -> Result<Expr, Fault>,
        make: fn(Vec<Expr>) -> Syntax,
    ) -> Result<Expr, Fault> {
        let first = side(self)?;
        let Token { at, .. } = *self.peek();
        if !self.is(symbol) {
            return Ok(first);
        }
        let mut sides = vec![first];
        while self.takes(symbol).is_some() {
            sides.push(side(self)?);
        }
        let height = sides.iter().map(|side| side.height).max().unwrap_or(0);
        made((at, 2), height, make(sides))
    }

    fn relation(&mut self) -> Result<Expr, Fault> {
        self.left(Parser::sum, |token| match token {
            TokenKind::Symbol("<") => Some(Binary::Less),
            TokenKind::Symbol("<=") => Some(Binary::LessOrEqual),
            TokenKind::Symbol(">") => Some(Binary::Greater),
            TokenKind::Symbol(">=") => Some(Binary::GreaterOrEqual),
            TokenKind::Symbol("==") => Some(Binary::Equal),
            TokenKind::Symbol("!=") => Some(Binary::NotEqual),
            TokenKind::Word(word) if word == "in" => Some(Binary::In),
            _ => None,
        })
    }

    fn sum(&mut self) -> Result<Expr, Fault> {
        self.left(Parser::product, |token| match token {
            TokenKind::Symbol("+") => Some(Binary::Add),
            TokenKind::Symbol("-") => Some(Binary::Subtract),
            _ => None,
        })
    }

    fn product(&mut self) -> Result<Expr, Fault> {
        self.left(Parser::unary, |token| match token {
            TokenKind::Symbol("*") => Some(Binary::Multiply),
            TokenKind::Symbol("/") => Some(Binary::Divide),
            TokenKind::Symbol("%") => Some(Binary::Remainder),
            _ => None,
        })
    }

    /// Sides of operators that bind to the left.
    fn left(
        &mut self,
        side: fn(&mut Parser) -> Result<Expr, Fault>,
        operator: fn(&TokenKind) -> Option<Binary>,
    ) -> Result<Expr, Fault> {
        let mut whole = side(self)?;
        while let Some(binary) = operator(&self.peek().kind) {
            let Token { at, len, .. } = self.take();
            let right = side(self)?;
            let height = whole.height.max(right.height);
            whole = made((at, len), height, Syntax::Binary(binary, Box::new([whole, right])))?;
        }
        Ok(whole)
    }

    fn unary(&mut self) -> Result<Expr, Fault> {
        // A chain of signs is as deep as it is long.
        if let Some(mark) = self.takes("!") {
            self.depth += 1;
            if self.depth > EXPRESSION_DEPTH_MAX {
                return Err(self.unexpected("the expression is nested too deeply"));
            }
            let operand = self.unary()?;
            self.depth -= 1;
            return made((mark.at, 1), operand.height, Syntax::Not(Box::new(operand)));
        }
        let Some(mark) = self.takes("-") else { return self.member() };
        let number = match &self.peek().kind {
            TokenKind::Int(number) => 0_i64.checked_sub_unsigned(*number).map(Syntax::Int),
            TokenKind::Double(number) => Some(Syntax::Double(-number)),
            _ => {
                self.depth += 1;
                if self.depth > EXPRESSION_DEPTH_MAX {
                    return Err(self.unexpected("the expression is nested too deeply"));
                }
                let operand = self.unary()?;
                self.depth -= 1;
                return made((mark.at, 1), operand.height, Syntax::Negate(Box::new(operand)));
            }
        };
        let token = self.take();
        let len = token.at + token.len - mark.at;
        let Some(number) = number else { return Err(Fault::new(mark.at, len, "this number is too small for an int")) };
        let literal = made((mark.at, len), 0, number)?;
        self.members(literal)
    }

    fn member(&mut self) -> Result<Expr, Fault> {
        let primary = self.primary()?;
        self.members(primary)
    }

    fn members(&mut self, mut whole: Expr) -> Result<Expr, Fault> {
        loop {
            if self.takes(".").is_some() {
                let optional = if self.takes("?").is_some() { Optional::Yes } else { Optional::No };
                let token = self.take();
                let TokenKind::Word(name) = token.kind else {
                    return Err(Fault::new(token.at, token.len.max(1), "a name is missing behind the dot"));
                };
                let place = (token.at, token.len);
                whole = if self.is("(") && optional == Optional::No {
                    let arguments = self.arguments()?;
                    let height = arguments.iter().map(|one| one.height).fold(whole.height, u16::max);
                    made(place, height, Syntax::Call { target: Some(Box::new(whole)), name, arguments })?
                } else {
                    made(place, whole.height, Syntax::Select { operand: Box::new(whole), name, optional })?
                };
            } else if let Some(open) = self.takes("[") {
                let optional = if self.takes("?").is_some() { Optional::Yes } else { Optional::No };
                let key = Box::new(self.expression()?);
                self.expect("]")?;
                let height = whole.height.max(key.height);
                whole = made((open.at, 1), height, Syntax::Index { operand: Box::new(whole), key, optional })?;
            } else {
                return Ok(whole);
            }
        }
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, Fault> {
        self.expect("(")?;
        self.list(")")
    }

    /// Expressions with commas between them, up to `end`.
    fn list(&mut self, end: &str) -> Result<Vec<Expr>, Fault> {
        let mut list = Vec::new();
        while self.takes(end).is_none() {
            list.push(self.expression()?);
            if self.takes(",").is_none() {
                self.expect(end)?;
                break;
            }
        }
        Ok(list)
    }

    fn primary(&mut self) -> Result<Expr, Fault> {
        let token = self.take();
        let place = (token.at, token.len.max(1));
        let literal = |syntax| made(place, 0, syntax);
        match token.kind {
            TokenKind::Int(number) => match i64::try_from(number) {
                Ok(number) => literal(Syntax::Int(number)),
                Err(_) => Err(Fault::new(token.at, token.len, "this number is too large for an int")
                    .help("`u` behind it makes a uint")),
            },
            TokenKind::Uint(number) => literal(Syntax::Uint(number)),
            TokenKind::Double(number) => literal(Syntax::Double(number)),
            TokenKind::Text(text) => literal(Syntax::Text(text)),
            TokenKind::Bytes(bytes) => literal(Syntax::Bytes(bytes)),
            TokenKind::Word(word) => self.word(place, word),
            TokenKind::Symbol("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            TokenKind::Symbol("[") => {
                let list = self.list("]")?;
                let height = list.iter().map(|one| one.height).max().unwrap_or(0);
                made(place, height, Syntax::List(list))
            }
            TokenKind::Symbol("{") => self.map(place),
            TokenKind::Symbol(symbol) => {
                Err(Fault::new(token.at, token.len, format!("`{symbol}` does not begin a value")))
            }
            TokenKind::End => Err(Fault::new(token.at, 1, "a value is missing: the text ends here")),
        }
    }

    fn word(&mut self, place: (usize, usize), word: String) -> Result<Expr, Fault> {
        match word.as_str() {
            "true" => return made(place, 0, Syntax::Bool(true)),
            "false" => return made(place, 0, Syntax::Bool(false)),
            "null" => return made(place, 0, Syntax::Null),
            _ => {}
        }
        if RESERVED.contains(&word.as_str()) {
            return Err(Fault::new(place.0, place.1, format!("`{word}` is a word of the language and no name")));
        }
        if self.is("(") {
            let arguments = self.arguments()?;
            let height = arguments.iter().map(|one| one.height).max().unwrap_or(0);
            return made(place, height, Syntax::Call { target: None, name: word, arguments });
        }
        made(place, 0, Syntax::Name(word))
    }

    fn map(&mut self, place: (usize, usize)) -> Result<Expr, Fault> {
        let (mut entries, mut height) = (Vec::new(), 0);
        while self.takes("}").is_none() {
            let key = self.expression()?;
            self.expect(":")?;
            let value = self.expression()?;
            height = key.height.max(value.height).max(height);
            entries.push((key, value));
            if self.takes(",").is_none() {
                self.expect("}")?;
                break;
            }
        }
        made(place, height, Syntax::Map(entries))
    }
}

/// A part above others of which the highest has the height `below`.
fn made((at, len): (usize, usize), below: u16, syntax: Syntax) -> Result<Expr, Fault> {
    let height = below + 1;
    if usize::from(height) > EXPRESSION_DEPTH_MAX {
        return Err(
            Fault::new(at, len, "the expression is nested too deeply").help("`in [...]` takes many values at once")
        );
    }
    Ok(Expr { at, len, height, syntax })
}
