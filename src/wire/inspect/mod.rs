// SPDX-License-Identifier: Apache-2.0
//! Hot. JSON and XML that are looked at in passing: are they well formed, and no deeper, longer or more than allowed?
//!
//! A scanner takes content in portions, cut anywhere, and comes to the same verdict as for the whole. It makes no tree:
//! what it keeps is a few words for each level of nesting, and `Bounds::depth` bounds those. It is strict, because a
//! reader behind it may not be: what it passes has one meaning for every parser that keeps to RFC 8259 or XML 1.0.
//! After an offence a scanner has no further use.

mod bounds;
mod json;
mod utf8;
mod xml;
mod xml_text;

#[cfg(test)]
mod tests;

pub(crate) use bounds::{Bound, Bounds, Offence};
pub(crate) use json::JsonScanner;
pub(crate) use xml::XmlScanner;

/// A scanner for one of the two.
#[derive(Debug)]
pub enum Scanner {
    /// For JSON.
    Json(JsonScanner),
    /// For XML.
    Xml(XmlScanner),
}

impl Scanner {
    /// Looks at the next portion.
    ///
    /// # Errors
    /// What is wrong with it; the portion is not to be passed on.
    pub(crate) fn push(&mut self, content: &[u8]) -> Result<(), Offence> {
        match self {
            Scanner::Json(scanner) => scanner.push(content),
            Scanner::Xml(scanner) => scanner.push(content),
        }
    }

    /// The content ends here.
    ///
    /// # Errors
    /// It is not complete.
    pub(crate) fn finish(&mut self) -> Result<(), Offence> {
        match self {
            Scanner::Json(scanner) => scanner.finish(),
            Scanner::Xml(scanner) => scanner.finish(),
        }
    }
}
