// SPDX-License-Identifier: Apache-2.0
//! Path templates of `google.api.http`: literals, `*`, `**`, `{field=segments}` and a `:verb`.
//!
//! ```text
//! Template = "/" Segments [ ":" verb ]        Segments = Segment { "/" Segment }
//! Segment  = "*" | "**" | literal | "{" field { "." field } [ "=" Segments ] "}"
//! ```
//!
//! `**` takes any number of segments and stands once; what follows it is matched from the path's end. A literal is
//! empty only at the end: `/` is the root, and `/v1/` the path with that slash.

use crate::base::ascii::alphanumeric_and;
use crate::base::limits::PATH_TEMPLATE_BYTES_MAX;

/// What a literal may hold: `pchar` of RFC 3986 section 3.3, without `*`, which would be mistaken.
const LITERAL: [bool; 256] = alphanumeric_and(b"-._~!$&'()+,;=:@%");

/// A segment of a template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Segment {
    /// This text.
    Literal(String),
    /// Any one segment that is not empty.
    One,
    /// Any number of segments.
    Rest,
}

/// A part of the path that goes to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Names of the field and of those it is in, outermost first.
    pub fields: Vec<String>,
    /// The first of its segments.
    pub start: usize,
    /// One past the last.
    pub end: usize,
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    /// Its segments, variables dissolved.
    pub segments: Vec<Segment>,
    /// What stands behind the last `:`.
    pub verb: Option<String>,
    /// Its variables, in order.
    pub variables: Vec<Variable>,
}

/// Why a template cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateError {
    /// The byte where it stops making sense.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl Template {
    /// Reads a template.
    pub(crate) fn parse(text: &str) -> Result<Template, TemplateError> {
        if text.len() > PATH_TEMPLATE_BYTES_MAX {
            return Err(TemplateError { at: PATH_TEMPLATE_BYTES_MAX, what: "the template is too long" });
        }
        let (path, verb) = split_verb(text);
        let mut parser = Parser { text: path, at: 0, segments: Vec::new(), variables: Vec::new() };
        parser.template()?;
        if verb.is_some_and(|verb| !is_literal(verb)) {
            return Err(TemplateError {
                at: path.len() + 1,
                what: "the verb is empty or holds a character that it must not",
            });
        }
        Ok(Template { segments: parser.segments, verb: verb.map(str::to_owned), variables: parser.variables })
    }

    /// Where `**` stands.
    pub(crate) fn rest(&self) -> Option<usize> {
        self.segments.iter().position(|segment| *segment == Segment::Rest)
    }

    /// Does a variable hold what may be several segments? Then `%2F` in it is not the same as `/`.
    pub(crate) fn is_multiple(&self, variable: &Variable) -> bool {
        let segments = &self.segments[variable.start..variable.end];
        segments.len() > 1 || segments.contains(&Segment::Rest)
    }
}

/// The template before its verb, and the verb.
fn split_verb(text: &str) -> (&str, Option<&str>) {
    let border = text.rfind(['/', '}']).unwrap_or(0);
    match text.rfind(':') {
        Some(colon) if colon > border => (&text[..colon], Some(&text[colon + 1..])),
        Some(_) | None => (text, None),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    segments: Vec<Segment>,
    variables: Vec<Variable>,
}

impl<'a> Parser<'a> {
    fn template(&mut self) -> Result<(), TemplateError> {
        if !self.took('/') {
            return self.fault("a template starts with `/`");
        }
        loop {
            if self.took('{') {
                self.variable()?;
            } else {
                self.segment()?;
            }
            if self.at == self.text.len() {
                return Ok(());
            }
            if !self.took('/') {
                return self.fault("a segment ends with `/` or with the template");
            }
        }
    }

    fn variable(&mut self) -> Result<(), TemplateError> {
        let start = self.segments.len();
        let mut fields = vec![self.name()?];
        while self.took('.') {
            fields.push(self.name()?);
        }
        if self.variables.iter().any(|variable| variable.fields == fields) {
            return self.fault("a field stands twice in the template");
        }
        if self.took('=') {
            self.segment()?;
            while self.took('/') {
                self.segment()?;
            }
        } else {
            self.segments.push(Segment::One);
        }
        if !self.took('}') {
            return self.fault("a variable ends with `}` and holds no other variable");
        }
        self.variables.push(Variable { fields, start, end: self.segments.len() });
        Ok(())
    }

    fn segment(&mut self) -> Result<(), TemplateError> {
        if self.rest().starts_with("**") {
            if self.segments.contains(&Segment::Rest) {
                return self.fault("`**` may stand once");
            }
            self.at += 2;
            self.segments.push(Segment::Rest);
            return Ok(());
        }
        if self.took('*') {
            self.segments.push(Segment::One);
            return Ok(());
        }
        let text = self.take_while(|byte| LITERAL[usize::from(byte)]);
        if text.is_empty() && !self.rest().is_empty() {
            return self.fault("a segment is `*`, `**`, a variable or a text");
        }
        self.segments.push(Segment::Literal(text.to_owned()));
        Ok(())
    }

    fn name(&mut self) -> Result<String, TemplateError> {
        let text = self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if text.is_empty() || text.starts_with(|first: char| first.is_ascii_digit()) {
            return self.fault("a variable starts with the name of a field");
        }
        Ok(text.to_owned())
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn took(&mut self, mark: char) -> bool {
        let found = self.rest().starts_with(mark);
        self.at += usize::from(found);
        found
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.bytes().position(|byte| !wanted(byte)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn fault<T>(&self, what: &'static str) -> Result<T, TemplateError> {
        Err(TemplateError { at: self.at, what })
    }
}

/// For any text: it is refused inside itself, or has segments that its variables cover in order.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn check(text: &str) {
    match Template::parse(text) {
        Err(error) => assert!(error.at <= text.len() + 1),
        Ok(template) => {
            assert!(!template.segments.is_empty());
            let mut covered = 0;
            for variable in &template.variables {
                assert!(covered <= variable.start && variable.start < variable.end);
                covered = variable.end;
            }
            assert!(covered <= template.segments.len());
        }
    }
}

fn is_literal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| LITERAL[usize::from(byte)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn literal(text: &str) -> Segment {
        Segment::Literal(text.to_owned())
    }

    #[test]
    fn templates() {
        let parsed = Template::parse("/v1/{shelf.name=shelves/*}/books/{id}:publish").unwrap();
        let segments = [literal("v1"), literal("shelves"), Segment::One, literal("books"), Segment::One];
        assert_eq!(parsed.segments, segments);
        assert_eq!(parsed.verb.as_deref(), Some("publish"));
        assert_eq!(parsed.variables[0].fields, ["shelf", "name"]);
        assert_eq!((parsed.variables[0].start, parsed.variables[0].end), (1, 3));
        assert_eq!((parsed.variables[1].start, parsed.variables[1].end), (4, 5));
        assert!(parsed.is_multiple(&parsed.variables[0]) && !parsed.is_multiple(&parsed.variables[1]));
        let parsed = Template::parse("/v1/{path=**}/tail").unwrap();
        assert_eq!((parsed.rest(), parsed.segments.len()), (Some(1), 3));
        assert!(parsed.is_multiple(&parsed.variables[0]));
        let parsed = Template::parse("/a:b/x:c:d").unwrap();
        assert_eq!((parsed.segments, parsed.verb.as_deref()), (vec![literal("a:b"), literal("x:c")], Some("d")));
        assert_eq!(Template::parse("/").unwrap().segments, [literal("")]);
        assert_eq!(Template::parse("/v1/{a}/").unwrap().segments, [literal("v1"), Segment::One, literal("")]);
    }

    #[test]
    fn what_is_refused() {
        for (text, at) in [
            ("", 0),
            ("a", 0),
            ("//a", 1),
            ("/a//", 3),
            ("/a b", 2),
            ("/a?b", 2),
            ("/{", 2),
            ("/{}", 2),
            ("/{1a}", 4),
            ("/{a", 3),
            ("/{a=}", 4),
            ("/{a=b/}", 6),
            ("/{a=b/", 6),
            ("/{a=*", 5),
            ("/{a={b}}", 4),
            ("/{a}b", 4),
            ("/b{a}", 2),
            ("/***", 3),
            ("/**/**", 4),
            ("/{a}/{a}", 7),
            ("/a:", 3),
            ("/{a}:b/c", 4),
            ("/{a=x:}", 6),
        ] {
            match Template::parse(text) {
                Err(error) => assert_eq!(error.at, at, "{text}"),
                Ok(template) => assert_eq!(text, "/{a=x:}", "{template:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn garbage(text in "[/a*{}=.:]{0,24}") {
            check(&text);
        }
    }
}
