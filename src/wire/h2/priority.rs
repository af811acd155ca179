// SPDX-License-Identifier: Apache-2.0
//! Priorities of streams (RFC 9218): the value of the `priority` field and of PRIORITY_UPDATE.

/// What a peer wishes for one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// 0 is the most urgent, 7 the least.
    pub urgency: u8,
    /// It is of use in parts.
    pub incremental: bool,
}

impl Default for Priority {
    /// RFC 9218 section 4.
    fn default() -> Priority {
        Priority { urgency: 3, incremental: false }
    }
}

impl Priority {
    /// Reads a `priority` field or the value of a PRIORITY_UPDATE: a dictionary of RFC 8941. What is unknown or out of
    /// range is ignored, as RFC 9218 section 4 asks.
    pub fn parse(value: &[u8]) -> Priority {
        Priority::default().updated(value)
    }

    /// What becomes of it by a value that speaks after it: what that does not name stays (RFC 9218 section 8).
    pub fn updated(self, value: &[u8]) -> Priority {
        let mut priority = self;
        for member in members(value) {
            let name_and_value = member.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            match name_and_value {
                [b'u', b'=', digit @ b'0'..=b'7'] => priority.urgency = digit - b'0',
                b"i" | b"i=?1" => priority.incremental = true,
                b"i=?0" => priority.incremental = false,
                _ => {}
            }
        }
        priority
    }
}

/// The members of a dictionary, cut at commas outside of strings.
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    value.split(move |byte| {
        let was_escaped = escaped;
        escaped = quoted && *byte == b'\\' && !was_escaped;
        if *byte == b'"' && !was_escaped {
            quoted = !quoted;
        }
        *byte == b',' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(urgency: u8, incremental: bool) -> Priority {
        Priority { urgency, incremental }
    }

    /// RFC 9218 section 4 and RFC 8941 section 3.2.
    #[test]
    fn values() {
        for (value, expected) in [
            (&b""[..], of(3, false)),
            (b"u=0", of(0, false)),
            (b"u=7, i", of(7, true)),
            (b"i=?1,u=1", of(1, true)),
            (b"i, i=?0", of(3, false)),
            (b"u=5;x=1, i;y", of(5, true)),
            (b"u=8", of(3, false)),
            (b"u=-1", of(3, false)),
            (b"u=33", of(3, false)),
            (b"u", of(3, false)),
            (b"x=\"u=1, i\", u=2", of(2, false)),
            (b"x=\"\\\", u=1\", u=4", of(4, false)),
            (b"\xff\x00,,,=", of(3, false)),
        ] {
            assert_eq!(Priority::parse(value), expected, "{}", value.escape_ascii());
        }
        for (value, expected) in
            [(&b""[..], of(1, true)), (b"u=6", of(6, true)), (b"i=?0", of(1, false)), (b"u=3, i=?0", of(3, false))]
        {
            assert_eq!(of(1, true).updated(value), expected, "{}", value.escape_ascii());
        }
    }
}
