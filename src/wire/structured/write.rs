// SPDX-License-Identifier: Apache-2.0
//! Writes structured fields canonically (RFC 9651 section 4.1). What was read, or is made of what may stand in a field,
//! can always be written.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Bare, InnerList, Item, Member, Parameters};

impl Bare {
    /// Appends it.
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        // Writing to a `Vec` cannot fail.
        let mut number = |value: &dyn std::fmt::Display| drop(write!(out, "{value}"));
        match self {
            Bare::Integer(value) => number(value),
            Bare::Decimal(thousandths) => {
                let (whole, part) = (thousandths.unsigned_abs() / 1_000, thousandths.unsigned_abs() % 1_000);
                let sign = if *thousandths < 0 { "-" } else { "" };
                let digits = format!("{part:03}");
                let shown = digits.trim_end_matches('0');
                number(&format_args!("{sign}{whole}.{}", if shown.is_empty() { "0" } else { shown }));
            }
            Bare::String(text) => {
                out.push(b'"');
                for byte in text.bytes() {
                    if matches!(byte, b'"' | b'\\') {
                        out.push(b'\\');
                    }
                    out.push(byte);
                }
                out.push(b'"');
            }
            Bare::Token(word) => out.extend_from_slice(word.as_bytes()),
            Bare::Bytes(bytes) => {
                out.push(b':');
                out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
                out.push(b':');
            }
            Bare::Boolean(truth) => out.extend_from_slice(if *truth { b"?1" } else { b"?0" }),
            Bare::Date(seconds) => number(&format_args!("@{seconds}")),
            Bare::Display(text) => {
                out.extend_from_slice(b"%\"");
                for byte in text.bytes() {
                    match byte {
                        b'%' | b'"' | 0..=0x1f | 0x7f.. => drop(write!(out, "%{byte:02x}")),
                        _ => out.push(byte),
                    }
                }
                out.push(b'"');
            }
        }
    }
}

/// Appends parameters, each with its semicolon.
pub(crate) fn append_parameters(parameters: &Parameters, out: &mut Vec<u8>) {
    for (name, value) in parameters {
        out.push(b';');
        out.extend_from_slice(name.as_bytes());
        if *value != Bare::Boolean(true) {
            out.push(b'=');
            value.append(out);
        }
    }
}

impl Item {
    /// Appends it with its parameters.
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        self.value.append(out);
        append_parameters(&self.parameters, out);
    }
}

impl InnerList {
    /// Appends it with its parameters.
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        out.push(b'(');
        for (at, item) in self.items.iter().enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            item.append(out);
        }
        out.push(b')');
        append_parameters(&self.parameters, out);
    }
}

impl Member {
    /// Appends it with its parameters.
    pub(crate) fn append(&self, out: &mut Vec<u8>) {
        match self {
            Member::Item(item) => item.append(out),
            Member::Inner(list) => list.append(out),
        }
    }
}

/// Appends a dictionary.
pub(crate) fn append_dictionary(dictionary: &[(String, Member)], out: &mut Vec<u8>) {
    for (at, (name, member)) in dictionary.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(name.as_bytes());
        match member {
            Member::Item(Item { value: Bare::Boolean(true), parameters }) => append_parameters(parameters, out),
            Member::Item(_) | Member::Inner(_) => {
                out.push(b'=');
                member.append(out);
            }
        }
    }
}
