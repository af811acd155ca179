// SPDX-License-Identifier: Apache-2.0
//! The operations sections of the man page: `docs/operations.md`, written in roff.
//!
//! It knows the Markdown that this document uses: sections, paragraphs, lists, tables, code. A table becomes a list of
//! terms: the first column is the term, the others explain it.

use std::fmt::Write;

/// The document.
const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// What code stands between.
const FENCE: &str = "```";

/// The sections of the document, as the end of a man page.
pub(super) fn sections() -> String {
    let start = OPERATIONS.find("\n## ").map_or(0, |at| at + 1);
    roff(&OPERATIONS[start..])
}

fn roff(markdown: &str) -> String {
    let mut out = String::new();
    let mut block = Block::Paragraph(String::new());
    let mut rows = 0;
    for line in markdown.lines() {
        if let Block::Code = block {
            if line.starts_with(FENCE) {
                out.push_str(".EE\n");
                block = Block::Paragraph(String::new());
            } else {
                let _ = writeln!(out, "{}", escaped(line));
            }
            continue;
        }
        match kind(line) {
            Line::Fence => {
                block.end(&mut out);
                out.push_str(".PP\n.EX\n");
                block = Block::Code;
            }
            Line::Empty | Line::Comment => {
                block.end(&mut out);
                block = Block::Paragraph(String::new());
                rows = 0;
            }
            Line::Heading(text) => {
                block.end(&mut out);
                let _ = writeln!(out, ".SH {}", escaped(&text.to_uppercase()));
                block = Block::Paragraph(String::new());
            }
            Line::Row(cells) => {
                rows += 1;
                // The first row names the columns, the second one is a rule.
                if rows > 2 {
                    term(&cells, &mut out);
                }
            }
            Line::Item(mark, text) => {
                block.end(&mut out);
                block = Block::Item(mark.to_owned(), text.to_owned());
            }
            Line::Text(text) => block.add(text),
        }
    }
    block.end(&mut out);
    out
}

/// One line of the document.
enum Line<'a> {
    Fence,
    Empty,
    Comment,
    Heading(&'a str),
    Row(Vec<&'a str>),
    /// Its mark and its text.
    Item(&'a str, &'a str),
    Text(&'a str),
}

fn kind(line: &str) -> Line<'_> {
    if line.starts_with(FENCE) {
        return Line::Fence;
    }
    if line.trim().is_empty() {
        return Line::Empty;
    }
    if line.starts_with("<!--") {
        return Line::Comment;
    }
    if let Some(heading) = line.strip_prefix("## ") {
        return Line::Heading(heading);
    }
    if let Some(row) = line.strip_prefix("| ").and_then(|row| row.strip_suffix(" |")) {
        return Line::Row(row.split(" | ").collect());
    }
    if line.starts_with("|--") {
        return Line::Row(Vec::new());
    }
    if let Some(text) = line.strip_prefix("- ") {
        return Line::Item("\\(bu", text);
    }
    match line.split_once(". ") {
        Some((number, text)) if number.bytes().all(|byte| byte.is_ascii_digit()) => Line::Item(number, text),
        _ => Line::Text(line.trim()),
    }
}

/// Lines that belong together.
enum Block {
    Paragraph(String),
    /// Its mark and its text.
    Item(String, String),
    Code,
}

impl Block {
    fn add(&mut self, line: &str) {
        match self {
            Block::Paragraph(text) | Block::Item(_, text) => {
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(line);
            }
            Block::Code => {}
        }
    }

    fn end(&self, out: &mut String) {
        let _ = match self {
            Block::Paragraph(text) if text.is_empty() => Ok(()),
            Block::Paragraph(text) => writeln!(out, ".PP\n{}", inline(text)),
            Block::Item(mark, text) => writeln!(out, ".IP {mark} 3\n{}", inline(text)),
            Block::Code => Ok(()),
        };
    }
}

fn term(cells: &[&str], out: &mut String) {
    let Some((first, rest)) = cells.split_first() else { return };
    let rest: Vec<String> = rest.iter().filter(|cell| !cell.is_empty()).map(|cell| inline(cell)).collect();
    let _ = writeln!(out, ".TP\n{}\n{}", inline(first), rest.join("; "));
}

/// Text with code in bold, and links as their texts.
fn inline(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        plain.push_str(before);
        match link.split_once("](").and_then(|(name, target)| Some((name, target.split_once(')')?.1))) {
            Some((name, behind)) if !name.contains(['[', '`']) => {
                plain.push_str(name);
                rest = behind;
            }
            _ => {
                plain.push('[');
                rest = link;
            }
        }
    }
    plain.push_str(rest);
    let parts = plain.split('`').enumerate();
    let marked = parts.map(|(at, part)| if at % 2 == 0 { escaped(part) } else { format!("\\fB{}\\fR", escaped(part)) });
    let line: String = marked.collect();
    // A dot or an apostrophe at its beginning would make the line a request of roff.
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

fn escaped(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::JSON_FIELDS;

    #[test]
    fn markdown_becomes_roff() {
        let text = "## Of two\n\nA `-c` and\n[a link](#x).\n\n- one\n  two\n- three\n\n1. first\n\n\
                    | a | b |\n|---|---|\n| `X` | why |\n\n```sh\n.run \\ -x\n```\n\n<!-- not shown -->\n";
        let expected = ".SH OF TWO\n.PP\nA \\fB\\-c\\fR and a link.\n\
                        .IP \\(bu 3\none two\n.IP \\(bu 3\nthree\n.IP 1 3\nfirst\n\
                        .TP\n\\fBX\\fR\nwhy\n.PP\n.EX\n\\&.run \\e \\-x\n.EE\n";
        assert_eq!(roff(text), expected);
    }

    #[test]
    fn the_document_lists_every_member_of_a_log_line() {
        let (_, section) = OPERATIONS.split_once("\n## Access log\n").expect("a section");
        let (section, _) = section.split_once("\n## ").expect("another one");
        let rows: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect();
        for member in JSON_FIELDS.split(' ') {
            assert!(rows.iter().any(|row| row.contains(&format!("`{member}`"))), "{member}");
        }
    }

    #[test]
    fn every_section_of_the_document_is_there() {
        let page = sections();
        let headings: Vec<&str> = OPERATIONS.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert!(headings.len() > 10);
        for heading in headings {
            assert!(page.contains(&format!(".SH {}\n", heading.to_uppercase())), "{heading}");
        }
        assert!(page.contains("turnpike_requests_total") && page.contains("TurnpikeBreakerOpen"));
        assert!(!page.contains("<!--") && !page.contains("```") && !page.contains("](#"));
    }
}
