// SPDX-License-Identifier: Apache-2.0
//! How deep and how full a JSON text is, before anything is built of it.
//!
//! It reads structure only; whether the text is JSON is decided by the parser that reads it afterwards.

use crate::wire::grpc::json::options::Options;
use crate::wire::grpc::json::refusal::Refusal;

/// An error where the text is larger, deeper or fuller than the options allow.
pub(crate) fn check(text: &[u8], options: &Options) -> Result<(), Refusal> {
    if text.len() > options.request_bytes_max {
        return Err(Refusal::too_much("the body is larger than allowed"));
    }
    let (mut depth, mut values) = (0_usize, 1_usize);
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => at += string(&text[at..]),
            b'{' | b'[' => {
                depth += 1;
                values += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > options.depth_max {
            return Err(Refusal::invalid("the body is nested deeper than allowed"));
        }
    }
    if values > options.values_max { Err(Refusal::too_much("the body holds more values than allowed")) } else { Ok(()) }
}

/// The length of what is left of a string, closing quote included.
fn string(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &text[at..]) {
        at += found + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        at = (at + 1).min(text.len());
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_values_and_size() {
        let options = Options { depth_max: 3, values_max: 8, request_bytes_max: 60, ..Options::default() };
        let verdict = |text: &str| check(text.as_bytes(), &options).map_err(|refusal| refusal.http_status());
        assert_eq!(verdict(r#"{"a":[{"b":"[[[[,,,,,,,,,,\"{{{{"}]}"#), Ok(()));
        assert_eq!(verdict(r#"{"a":[{"b":[1]}]}"#), Err(400));
        assert_eq!(verdict("[1,2,3,4,5,6]"), Ok(()));
        assert_eq!(verdict("[1,2,3,4,5,6,7,8]"), Err(413));
        assert_eq!(verdict(&"1".repeat(61)), Err(413));
        assert_eq!(verdict(r#""\""#), Ok(()));
        assert_eq!(verdict("\"\\"), Ok(()));
        assert_eq!(verdict("]]]]"), Ok(()));
    }
}
