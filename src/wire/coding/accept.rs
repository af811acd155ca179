// SPDX-License-Identifier: Apache-2.0
//! Hot. Reads `Accept-Encoding` (RFC 9110 section 12.5.3): which of the codings on offer the client prefers.

use crate::base::ascii::is_token;
use crate::wire::coding::ContentCoding;

/// The weight where none is given. Weights are in thousandths (RFC 9110 section 12.4.2); 0 is a refusal.
const WEIGHT_FULL: u16 = 1000;

/// The coding among `offered` with the highest weight in the values of all `Accept-Encoding` lines; of equal ones the
/// first that is offered. `None` where the response is best left as it is: without the field, where no coding on offer
/// is welcome, and where the client gives `identity` a higher weight than any of them.
///
/// A client that refuses `identity` and every coding on offer gets the response as it is, too, as the RFC advises. A
/// coding with a weight that cannot be read counts as refused, an element without a token as a name is passed over,
/// and of a coding that is named twice the first weight holds.
pub(crate) fn preferred<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    offered: impl Iterator<Item = ContentCoding>,
) -> Option<ContentCoding> {
    let mut listed = Listed::default();
    for element in values.flat_map(|value| value.split(|byte| *byte == b',')) {
        listed.add(element.trim_ascii());
    }
    let mut best = None;
    let mut highest = 0;
    for coding in offered {
        let weight = listed.codings[coding as usize].or(listed.any).unwrap_or(0);
        if weight > highest {
            (best, highest) = (Some(coding), weight);
        }
    }
    let identity = listed.identity.or(listed.any).unwrap_or(0);
    best.filter(|_| highest >= identity)
}

/// What the elements of the field say.
#[derive(Default)]
struct Listed {
    codings: [Option<u16>; ContentCoding::ALL.len()],
    identity: Option<u16>,
    /// Of `*`: every coding that is not listed, `identity` among them.
    any: Option<u16>,
}

impl Listed {
    fn add(&mut self, element: &[u8]) {
        let (name, parameter) = match memchr::memchr(b';', element) {
            Some(at) => (element[..at].trim_ascii_end(), Some(element[at + 1..].trim_ascii_start())),
            None => (element, None),
        };
        let slot = match name {
            b"*" => &mut self.any,
            name if name.eq_ignore_ascii_case(b"identity") => &mut self.identity,
            name if is_token(name) => match ContentCoding::named(name) {
                Some(coding) => &mut self.codings[coding as usize],
                None => return,
            },
            _ => return,
        };
        slot.get_or_insert(parameter.map_or(WEIGHT_FULL, |parameter| weight(parameter).unwrap_or(0)));
    }
}

/// Reads `q=0.5`: at most three digits behind the point, at most one.
fn weight(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', whole @ (b'0' | b'1'), rest @ ..] = parameter else { return None };
    let digits = match rest {
        [] => rest,
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let mut fraction = 0;
    for at in 0..3 {
        let digit = digits.get(at).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        fraction = fraction * 10 + u16::from(digit - b'0');
    }
    match whole {
        b'0' => Some(fraction),
        _ => (fraction == 0).then_some(WEIGHT_FULL),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[&str]) -> Option<ContentCoding> {
        preferred(values.iter().map(|value| value.as_bytes()), ContentCoding::ALL.into_iter())
    }

    #[test]
    fn a_welcome_coding_is_chosen() {
        for value in [
            "gzip",
            "GZip",
            "x-gzip",
            "deflate, gzip;q=1.0, br",
            "gzip ; q=0.001",
            "gzip;Q=0.5",
            "*",
            "*;q=0.1",
            "identity;q=0.5, gzip;q=0.5",
            "identity;q=0, gzip",
            ",, gzip ,",
            "br;q=1, gzip;q=0.2",
            "gzip, *;q=0",
            "identity;q=0, *;q=0.3",
            "gzip;q=0.8, gzip;q=0",
            "gzip;q=1.000",
            "gzip;q=1.",
        ] {
            assert_eq!(of(&[value]), Some(ContentCoding::Gzip), "{value}");
        }
        assert_eq!(of(&["br", "deflate", "gzip"]), Some(ContentCoding::Gzip));
    }

    #[test]
    fn a_response_stays_as_it_is_where_that_is_preferred_or_nothing_else_is_welcome() {
        for value in [
            "",
            "br, deflate",
            "gzip;q=0",
            "gzip;q=0.000",
            "gzip;q=0.",
            "x-gzip;q=0, *",
            "*;q=0",
            "identity",
            "identity;q=0",
            "identity;q=1, gzip;q=0.5",
            "gzip;q=0.5, *",
            "gzipped",
            "g zip",
            "gzip;q",
            "gzip;q=",
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.1234",
            "gzip;q=0.5;x=y",
            "gzip;level=9",
            "gzip;q=-1",
            "gzip;q=.5",
            "gzip;q=1e0",
            "gzip;q = 1",
            "*, gzip;q=no",
        ] {
            assert_eq!(of(&[value]), None, "{value}");
        }
        assert_eq!(of(&[]), None);
    }

    proptest! {
        #[test]
        fn lines_are_one_list(elements in prop::collection::vec("[a-z*;=0-9. ]{0,9}|gzip;q=0\\.[0-9]|identity", 0..6)) {
            let elements: Vec<&str> = elements.iter().map(String::as_str).collect();
            prop_assert_eq!(of(&elements), of(&[&elements.join(", ")]));
        }

        #[test]
        fn garbage_is_read_without_harm(value in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = preferred([&value[..]].into_iter(), ContentCoding::ALL.into_iter());
        }
    }
}
