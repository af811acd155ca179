// SPDX-License-Identifier: Apache-2.0
//! What must hold for JSON and XML that are looked at in passing, whatever bytes come.
//!
//! The same bytes in any pieces get the same verdict, and what passes as JSON is JSON to another parser.

use crate::wire::inspect::{Bounds, JsonScanner, Offence, Scanner, XmlScanner};

const WIDE: Bounds = Bounds {
    depth: 64,
    members: 1_000,
    items: 1_000,
    values: 10_000,
    name_bytes: 1_000,
    text_bytes: 10_000,
    number_bytes: 100,
};

/// Small enough that inputs reach them.
const NARROW: Bounds =
    Bounds { depth: 3, members: 3, items: 3, values: 9, name_bytes: 6, text_bytes: 9, number_bytes: 6 };

/// Any bytes, as both.
pub fn inspect(bytes: &[u8]) {
    for bounds in [WIDE, NARROW] {
        for make in [json as fn(Bounds) -> Scanner, xml] {
            let whole = verdict(make(bounds), bytes, usize::MAX);
            for step in [1, 2, 3, 7, 64] {
                assert_eq!(verdict(make(bounds), bytes, step), whole, "in steps of {step}");
            }
        }
    }
    let passes = verdict(json(WIDE), bytes, usize::MAX).is_ok();
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    assert!(is_json || !passes, "what passes is JSON");
}

fn json(bounds: Bounds) -> Scanner {
    Scanner::Json(JsonScanner::new(bounds))
}

fn xml(bounds: Bounds) -> Scanner {
    Scanner::Xml(XmlScanner::new(bounds))
}

fn verdict(mut scanner: Scanner, bytes: &[u8], step: usize) -> Result<(), Offence> {
    bytes.chunks(step).try_for_each(|portion| scanner.push(portion))?;
    scanner.finish()
}
