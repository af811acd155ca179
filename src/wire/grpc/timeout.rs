// SPDX-License-Identifier: Apache-2.0
//! Hot. `grpc-timeout`: at most eight digits and a unit, read exactly and written as finely as eight digits allow.

use std::time::Duration;

use crate::base::ascii::push_decimal;

/// The largest number that a timeout may hold.
const NUMBER_MAX: u128 = 99_999_999;

/// Each unit with its nanoseconds, finest first.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60 * 1_000_000_000),
    (b'H', 3_600 * 1_000_000_000),
];

/// Why a `grpc-timeout` cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeoutError {
    /// Nothing, or nothing before the unit.
    NoDigits,
    /// More than eight digits.
    TooManyDigits,
    /// Something that is not a digit before the unit.
    NotADigit,
    /// The last character is none of `H`, `M`, `S`, `m`, `u` and `n`.
    Unit,
}

impl TimeoutError {
    /// What is wrong, for people.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            TimeoutError::NoDigits => "grpc-timeout has no digits",
            TimeoutError::TooManyDigits => "grpc-timeout has more than eight digits",
            TimeoutError::NotADigit => "grpc-timeout holds something that is not a digit",
            TimeoutError::Unit => "grpc-timeout does not end in one of H, M, S, m, u and n",
        }
    }
}

/// The field's name.
pub(crate) const TIMEOUT: &[u8] = b"grpc-timeout";

/// Reads a `grpc-timeout`.
pub(crate) fn parse(value: &[u8]) -> Result<Duration, TimeoutError> {
    let (unit, digits) = value.split_last().ok_or(TimeoutError::NoDigits)?;
    let (_, nanos) = UNITS.iter().find(|(letter, _)| letter == unit).ok_or(TimeoutError::Unit)?;
    if digits.is_empty() {
        return Err(TimeoutError::NoDigits);
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(TimeoutError::NotADigit);
    }
    if digits.len() > 8 {
        return Err(TimeoutError::TooManyDigits);
    }
    let number = digits.iter().fold(0, |sum: u64, digit| sum * 10 + u64::from(digit - b'0'));
    let nanos = u128::from(number) * nanos;
    Ok(Duration::new((nanos / 1_000_000_000) as u64, (nanos % 1_000_000_000) as u32))
}

/// Appends a timeout in the finest unit that holds it, rounded up, so that nobody gives up before we do. What is
/// longer than eight digits of hours is that.
pub(crate) fn write(timeout: Duration, out: &mut Vec<u8>) {
    let nanos = timeout.as_nanos();
    let fits = UNITS.iter().find(|(_, unit)| nanos.div_ceil(*unit) <= NUMBER_MAX);
    let (letter, number) = fits.map_or((b'H', NUMBER_MAX), |(letter, unit)| (*letter, nanos.div_ceil(*unit)));
    push_decimal(out, number as u64);
    out.push(letter);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(timeout: Duration) -> String {
        let mut out = Vec::new();
        write(timeout, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn read() {
        assert_eq!(parse(b"1S"), Ok(Duration::from_secs(1)));
        assert_eq!(parse(b"0n"), Ok(Duration::ZERO));
        assert_eq!(parse(b"00000150m"), Ok(Duration::from_millis(150)));
        assert_eq!(parse(b"99999999H"), Ok(Duration::from_secs(99_999_999 * 3_600)));
        assert_eq!(parse(b"7u"), Ok(Duration::from_micros(7)));
        assert_eq!(parse(b"2M"), Ok(Duration::from_secs(120)));
        assert_eq!(parse(b""), Err(TimeoutError::NoDigits));
        assert_eq!(parse(b"S"), Err(TimeoutError::NoDigits));
        assert_eq!(parse(b"100000000n"), Err(TimeoutError::TooManyDigits));
        assert_eq!(parse(b"5"), Err(TimeoutError::Unit));
        assert_eq!(parse(b"5s"), Err(TimeoutError::Unit));
        for wrong in [&b"-5S"[..], b"+5S", b" 5S", b"5.0S", b"5 S"] {
            assert_eq!(parse(wrong), Err(TimeoutError::NotADigit));
        }
    }

    #[test]
    fn written_as_finely_as_it_fits() {
        assert_eq!(written(Duration::ZERO), "0n");
        assert_eq!(written(Duration::from_millis(99)), "99000000n");
        assert_eq!(written(Duration::from_nanos(100_000_001)), "100001u");
        assert_eq!(written(Duration::from_secs(3_600)), "3600000m");
        assert_eq!(written(Duration::MAX), "99999999H");
    }

    proptest! {
        #[test]
        fn never_shortened(nanos in any::<u64>()) {
            let timeout = Duration::from_nanos(nanos);
            let again = parse(written(timeout).as_bytes()).unwrap();
            prop_assert!(again >= timeout);
            prop_assert!(again.as_nanos() - timeout.as_nanos() <= timeout.as_nanos() / 10_000);
        }

        #[test]
        fn garbage(value in proptest::collection::vec(any::<u8>(), 0..12)) {
            let _ = parse(&value);
        }
    }
}
