// SPDX-License-Identifier: Apache-2.0
//! The protocol of Redis (RESP2): commands out, replies in. Pure; strict about what comes.

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A word such as `OK`.
    Simple(Box<str>),
    /// Why a command was not done.
    Error(Box<str>),
    /// A number.
    Integer(i64),
    /// Bytes; `None` is nothing.
    Bulk(Option<Box<[u8]>>),
    /// Several; `None` is nothing.
    Array(Option<Vec<Reply>>),
}

/// A reply that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Appends a command of these parts.
pub(crate) fn write_command(parts: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        out.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

/// The first reply in `bytes` and its length; `None` where more of it has to come.
pub(crate) fn read_reply(bytes: &[u8]) -> Result<Option<(Reply, usize)>, Malformed> {
    read(bytes, DEPTH_MAX)
}

fn read(bytes: &[u8], depth: usize) -> Result<Option<(Reply, usize)>, Malformed> {
    let Some((kind, rest)) = bytes.split_first() else { return Ok(None) };
    if !b"+-:$*".contains(kind) {
        return Err(Malformed);
    }
    let Some(line) = line(rest)? else { return Ok(None) };
    let begins = 1 + line.len() + 2;
    let text = || std::str::from_utf8(line).map(Box::from).map_err(|_| Malformed);
    match kind {
        b'+' => Ok(Some((Reply::Simple(text()?), begins))),
        b'-' => Ok(Some((Reply::Error(text()?), begins))),
        b':' => Ok(Some((Reply::Integer(number(line)?), begins))),
        b'$' => match number(line)? {
            -1 => Ok(Some((Reply::Bulk(None), begins))),
            length => {
                let length = usize::try_from(length).ok().filter(|length| *length <= BULK_MAX).ok_or(Malformed)?;
                let Some(content) = bytes.get(begins..begins + length + 2) else { return Ok(None) };
                let content = content.strip_suffix(b"\r\n").ok_or(Malformed)?;
                Ok(Some((Reply::Bulk(Some(content.into())), begins + length + 2)))
            }
        },
        _ => match number(line)? {
            -1 => Ok(Some((Reply::Array(None), begins))),
            count => {
                let count = usize::try_from(count).ok().filter(|count| *count <= ARRAY_MAX).ok_or(Malformed)?;
                let depth = depth.checked_sub(1).ok_or(Malformed)?;
                let (mut list, mut at) = (Vec::new(), begins);
                for _ in 0..count {
                    let Some((reply, length)) = read(&bytes[at..], depth)? else { return Ok(None) };
                    list.push(reply);
                    at += length;
                }
                Ok(Some((Reply::Array(Some(list)), at)))
            }
        },
    }
}

/// What stands before the end of a line; `None` where that has to come.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    match memchr::memchr2(b'\r', b'\n', bytes) {
        Some(end) if end > LINE_MAX || bytes[end] == b'\n' => Err(Malformed),
        Some(end) => match bytes.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => Ok(Some(&bytes[..end])),
            Some(_) => Err(Malformed),
        },
        None if bytes.len() > LINE_MAX => Err(Malformed),
        None => Ok(None),
    }
}

fn number(text: &[u8]) -> Result<i64, Malformed> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
    text.parse().ok().filter(|_| plain).ok_or(Malformed)
}

/// Replies in replies.
const DEPTH_MAX: usize = 4;
/// Longest line.
const LINE_MAX: usize = 4_096;
/// Longest bytes of one reply.
const BULK_MAX: usize = 64 * 1_024;
/// Most replies in one.
const ARRAY_MAX: usize = 1_024;

/// What holds for any bytes: whatever is read does not depend on how it was cut, and is written back as it was.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn check_any_bytes(bytes: &[u8]) {
    let whole = read_reply(bytes);
    let Ok(Some((reply, length))) = &whole else { return };
    assert!(*length <= bytes.len());
    for cut in 0..*length {
        assert_eq!(read_reply(&bytes[..cut]), Ok(None), "a beginning is no reply and no fault");
    }
    let mut again = Vec::new();
    write_reply(reply, &mut again);
    assert_eq!(read_reply(&again), Ok(Some((reply.clone(), again.len()))));
}

#[cfg(any(test, feature = "fuzz"))]
fn write_reply(reply: &Reply, out: &mut Vec<u8>) {
    match reply {
        Reply::Simple(text) => out.extend_from_slice(format!("+{text}\r\n").as_bytes()),
        Reply::Error(text) => out.extend_from_slice(format!("-{text}\r\n").as_bytes()),
        Reply::Integer(number) => out.extend_from_slice(format!(":{number}\r\n").as_bytes()),
        Reply::Bulk(None) => out.extend_from_slice(b"$-1\r\n"),
        Reply::Bulk(Some(bytes)) => {
            out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
        Reply::Array(None) => out.extend_from_slice(b"*-1\r\n"),
        Reply::Array(Some(list)) => {
            out.extend_from_slice(format!("*{}\r\n", list.len()).as_bytes());
            list.iter().for_each(|reply| write_reply(reply, out));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

    use super::*;

    #[test]
    fn replies_are_read_as_they_are_and_nothing_else_is_one() {
        let bulk = |text: &str| Reply::Bulk(Some(text.as_bytes().into()));
        let cases: &[(&str, Result<Option<Reply>, Malformed>)] = &[
            ("+OK\r\n", Ok(Some(Reply::Simple("OK".into())))),
            ("-ERR no\r\n", Ok(Some(Reply::Error("ERR no".into())))),
            (":-7\r\n", Ok(Some(Reply::Integer(-7)))),
            ("$3\r\nab\r\n\r\n", Err(Malformed)),
            ("$4\r\na\r\nb\r\n", Ok(Some(bulk("a\r\nb")))),
            ("$-1\r\n", Ok(Some(Reply::Bulk(None)))),
            ("*2\r\n:1\r\n$1\r\nx\r\n", Ok(Some(Reply::Array(Some(vec![Reply::Integer(1), bulk("x")]))))),
            ("*0\r\n", Ok(Some(Reply::Array(Some(vec![]))))),
            ("*-1\r\n", Ok(Some(Reply::Array(None)))),
            ("", Ok(None)),
            (":1\r", Ok(None)),
            ("$9\r\nabc", Ok(None)),
            (":1\n", Err(Malformed)),
            (":1\rx", Err(Malformed)),
            (":+1\r\n", Err(Malformed)),
            (":\r\n", Err(Malformed)),
            (":9223372036854775808\r\n", Err(Malformed)),
            ("$-2\r\n", Err(Malformed)),
            ("$99999999\r\n", Err(Malformed)),
            ("*99999999\r\n", Err(Malformed)),
            ("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", Err(Malformed)),
            ("HTTP/1.1 400 Bad Request\r\n", Err(Malformed)),
        ];
        for (text, expected) in cases {
            let found = read_reply(text.as_bytes()).map(|found| found.map(|(reply, _)| reply));
            assert_eq!(found, *expected, "{text:?}");
        }
        assert_eq!(read_reply(&[b'+'; 9_000]), Err(Malformed), "a line that never ends");
    }

    fn reply() -> impl Strategy<Value = Reply> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Reply::Integer),
            "[ -~]{0,20}".prop_map(|text| Reply::Simple(text.into())),
            vec(any::<u8>(), 0..20).prop_map(|bytes| Reply::Bulk(Some(bytes.into()))),
            Just(Reply::Bulk(None)),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| vec(inner, 0..5).prop_map(|list| Reply::Array(Some(list))))
    }

    proptest! {
        #[test]
        fn nothing_depends_on_how_bytes_are_cut(bytes in vec(any::<u8>(), 0..200)) {
            check_any_bytes(&bytes);
        }

        #[test]
        fn a_reply_survives_being_written_and_read(reply in reply(), behind in vec(any::<u8>(), 0..9)) {
            let mut bytes = Vec::new();
            write_reply(&reply, &mut bytes);
            let length = bytes.len();
            bytes.extend_from_slice(&behind);
            assert_eq!(read_reply(&bytes), Ok(Some((reply, length))));
            check_any_bytes(&bytes);
        }

        #[test]
        fn a_command_is_an_array_of_its_parts(parts in vec(vec(any::<u8>(), 0..9), 1..6)) {
            let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let mut bytes = Vec::new();
            write_command(&slices, &mut bytes);
            let expected = parts.iter().map(|part| Reply::Bulk(Some(part.as_slice().into()))).collect();
            assert_eq!(read_reply(&bytes), Ok(Some((Reply::Array(Some(expected)), bytes.len()))));
        }
    }
}
