// SPDX-License-Identifier: Apache-2.0
//! The examples of RFC 7541, what must be refused, and what our encoder writes, read by us and by another library.

use proptest::prelude::*;

use super::*;
use crate::base::limits::{FIELDS_MAX, HPACK_LIST_BYTES_MAX};
use crate::wire::field::Known;
use crate::wire::h2::section::{Pseudo, Section};

const LIST_MAX: usize = 16 * 1024;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// All fields of a section, pseudo-fields first.
fn fields(section: &Section) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pseudo = Pseudo::ALL.iter().filter_map(|(pseudo, name)| {
        let value = section.pseudo(*pseudo)?;
        Some((text(name), text(value.of(&section.bytes))))
    });
    let others = section.fields.list.iter();
    pseudo
        .chain(others.map(|field| (text(field.name.of(&section.bytes)), text(field.value.of(&section.bytes)))))
        .collect()
}

fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, HpackError> {
    let mut section = Section::default();
    decoder.decode(block, &mut section, LIST_MAX)?;
    assert!(!section.oversized);
    Ok(fields(&section))
}

fn check(decoder: &mut Decoder, block: &str, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    assert_eq!(decoded(decoder, &hex(block)).unwrap(), expected, "{block}");
}

#[test]
fn integers() {
    // Appendix C.1.
    for (number, bits, bytes) in [(10, 5, "0a"), (1337, 5, "1f9a0a"), (42, 8, "2a"), (31, 5, "1f00"), (30, 5, "1e")] {
        let mut out = Vec::new();
        integer::write(&mut out, 0, bits, number);
        assert_eq!(out, hex(bytes));
        let (first, mut rest) = out.split_first().unwrap();
        assert_eq!(integer::read(*first, bits, &mut rest), Ok(number));
        assert!(rest.is_empty());
    }
    let read = |bytes: &[u8]| integer::read(bytes[0], 5, &mut &bytes[1..]);
    assert_eq!(read(&[0x1F]), Err(HpackError::Truncated));
    assert_eq!(read(&[0x1F, 0x80]), Err(HpackError::Truncated));
    assert_eq!(read(&[0x1F, 0x80, 0x80, 0x80, 0x00]), Ok(31));
    assert_eq!(read(&[0x1F, 0x80, 0x80, 0x80, 0x80, 0x00]), Err(HpackError::Integer));
    assert_eq!(read(&[0x1F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]), Err(HpackError::Integer));
}

#[test]
fn examples_of_single_fields() {
    // Appendix C.2.
    let single = |block: &str, name: &str, value: &str| check(&mut Decoder::new(4096), block, &[(name, value)]);
    single("400a637573746f6d2d6b65790d637573746f6d2d686561646572", "custom-key", "custom-header");
    single("040c2f73616d706c652f70617468", ":path", "/sample/path");
    single("100870617373776f726406736563726574", "password", "secret");
    single("82", ":method", "GET");
}

#[test]
fn examples_of_requests() {
    // Appendix C.3 without and C.4 with the Huffman code.
    let plain = [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ];
    let coded = [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::new(4096);
        let (method, authority) = ((":method", "GET"), (":authority", "www.example.com"));
        check(&mut decoder, blocks[0], &[method, (":scheme", "http"), authority, (":path", "/")]);
        let cached = ("cache-control", "no-cache");
        check(&mut decoder, blocks[1], &[method, (":scheme", "http"), authority, (":path", "/"), cached]);
        let custom = ("custom-key", "custom-value");
        check(&mut decoder, blocks[2], &[method, (":scheme", "https"), authority, (":path", "/index.html"), custom]);
    }
}

#[test]
fn examples_of_responses() {
    // Appendix C.5 without and C.6 with the Huffman code; the table is of 256 bytes, which the first block says here.
    let plain = [
        "3fe101 4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54
         6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        "4803333037c1c0bf",
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153
         444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
    ];
    let coded = [
        "3fe101 488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff
         6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b
         3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::new(4096);
        let (private, location) = (("cache-control", "private"), ("location", "https://www.example.com"));
        let date = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
        check(&mut decoder, blocks[0], &[(":status", "302"), private, date, location]);
        check(&mut decoder, blocks[1], &[(":status", "307"), private, date, location]);
        let later = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
        let cookie = ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
        let coding = ("content-encoding", "gzip");
        check(&mut decoder, blocks[2], &[(":status", "200"), private, later, location, coding, cookie]);
    }
}

#[test]
fn what_is_no_block() {
    let refused = |block: &str| decoded(&mut Decoder::new(4096), &hex(block)).unwrap_err();
    assert_eq!(refused("80"), HpackError::Index);
    assert_eq!(refused("be"), HpackError::Index);
    assert_eq!(refused("7e00"), HpackError::Index);
    assert_eq!(refused("ffffffffffff"), HpackError::Integer);
    for block in ["40", "4001", "400161", "40016102", "0f", "10"] {
        assert_eq!(refused(block), HpackError::Truncated, "{block}");
    }
    assert_eq!(refused("000161 81ff"), HpackError::Huffman);
    // A change of size behind a field, and one above what is allowed.
    assert_eq!(refused("8220"), HpackError::TableSize);
    assert_eq!(refused("3fe21f"), HpackError::TableSize);
    assert_eq!(decoded(&mut Decoder::new(4096), &hex("3fe11f 20 82")).unwrap().len(), 1);
}

#[test]
fn a_smaller_table_must_be_confirmed() {
    let mut decoder = Decoder::new(100);
    decoded(&mut decoder, &hex("400a637573746f6d2d6b65790d637573746f6d2d686561646572")).unwrap();
    assert_eq!(decoded(&mut decoder, &hex("be")).unwrap().len(), 1);
    decoder.acknowledged();
    assert_eq!(decoded(&mut decoder.clone(), &hex("be")), Err(HpackError::TableSize));
    assert_eq!(decoded(&mut decoder.clone(), &hex("3f46be")), Err(HpackError::TableSize));
    // 100 bytes still hold the entry of 55.
    assert_eq!(decoded(&mut decoder, &hex("3f45be")).unwrap().len(), 1);
    assert_eq!(decoded(&mut decoder, &hex("20be")), Err(HpackError::Index));
    let mut larger = Decoder::new(8192);
    assert!(decoded(&mut larger, &hex("3fe13f")).unwrap().is_empty());
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new(4096);
    decoded(&mut decoder, &hex("3f41 400161 0162")).unwrap();
    assert_eq!(decoded(&mut decoder, &hex("be")).unwrap().len(), 1);
    let mut block = hex("400163 7f80");
    block.truncate(4);
    block.extend([0x01]);
    block.resize(block.len() + 128, b'x');
    block[3] = 0x7F;
    assert_eq!(decoded(&mut decoder, &block).unwrap().len(), 1);
    assert_eq!(decoded(&mut decoder, &hex("be")), Err(HpackError::Index));
}

#[test]
fn an_oversized_list_keeps_the_table_in_step() {
    let mut decoder = Decoder::new(4096);
    let mut section = Section::default();
    let block = hex("82 86 84 410161 400162 0163 400164 0165");
    decoder.decode(&block, &mut section, 60).unwrap();
    assert!(section.oversized);
    assert_eq!(section.fields.list.len(), 0);
    assert_eq!(section.size, [10, 11, 6, 11, 2, 2].iter().map(|len| len + 32).sum::<usize>());
    check(&mut decoder, "bebfc0", &[(":authority", "a"), ("d", "e"), ("b", "c")]);
    // Also above the number of fields.
    let many = [0xBE; FIELDS_MAX + 1];
    decoder.decode(&many, &mut section, LIST_MAX).unwrap();
    assert!(section.oversized && section.fields.list.len() == FIELDS_MAX);
    check(&mut decoder, "be", &[("d", "e")]);
}

#[test]
fn a_bomb_goes_off_early() {
    let mut decoder = Decoder::new(4096);
    let mut bomb = hex("400161 7fe01e");
    bomb.resize(bomb.len() + 4_063, b'x');
    let mut section = Section::default();
    decoder.decode(&bomb, &mut section, LIST_MAX).unwrap();
    let many = vec![0xBE; 16_000];
    assert_eq!(decoder.decode(&many, &mut section, LIST_MAX), Err(HpackError::Flood));
    assert!(section.size < HPACK_LIST_BYTES_MAX + 8_192);
    assert!(section.bytes.capacity() < 128 * 1024);
    assert!(HpackError::Flood.is_flood() && !HpackError::Index.is_flood());
}

/// What one message is made of: name, value, and how it came.
type Line = (String, Vec<u8>, bool);

fn line() -> impl Strategy<Value = Line> {
    let names = prop::sample::select(vec![
        "content-type",
        "accept",
        "cache-control",
        "x-a",
        "x-b",
        "x-long-name-of-a-field",
        "authorization",
        "cookie",
        "date",
        "etag",
        "accept-encoding",
        "via",
        "user-agent",
    ]);
    let values = prop_oneof![
        prop::sample::select(vec!["", "1", "gzip, deflate", "text/html", "a value that is not short at all"])
            .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..200),
    ];
    (names, values, prop::bool::weighted(0.1)).prop_map(|(name, value, never)| (name.to_owned(), value, never))
}

fn encode(encoder: &mut Encoder, lines: &[Line]) -> Vec<u8> {
    let mut block = Vec::new();
    encoder.begin(&mut block);
    for (name, value, never) in lines {
        let mark = if *never { Mark::NeverIndexed } else { Mark::Ordinary };
        encoder.field(&mut block, Known::of(name.as_bytes()), name.as_bytes(), value, mark);
    }
    block
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        messages in
            prop::collection::vec((prop::collection::vec(line(), 0..12), prop::option::of(0..5000_usize)), 1..20)
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
        let mut section = Section::default();
        for (lines, size) in &messages {
            if let Some(size) = size {
                encoder.set_table_max(*size);
            }
            let block = encode(&mut encoder, lines);
            decoder.decode(&block, &mut section, 48 * 1024).unwrap();
            prop_assert!(!section.oversized);
            // Crumbs of cookie that adjoin are joined.
            let mut expected: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
            for (name, value, _) in lines {
                match expected.last_mut() {
                    Some((last, joined)) if name == "cookie" && last == b"cookie" => {
                        if !joined.is_empty() && !value.is_empty() {
                            joined.extend_from_slice(b"; ");
                        }
                        joined.extend_from_slice(value);
                    }
                    _ => expected.push((name.clone().into_bytes(), value.clone())),
                }
            }
            let found: Vec<_> = section.fields.list.iter().map(|field| {
                (field.name.of(&section.bytes).to_vec(), field.value.of(&section.bytes).to_vec())
            }).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn garbage_never_panics(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..8)) {
        let mut decoder = Decoder::new(256);
        let mut section = Section::default();
        for block in &blocks {
            let _ = decoder.decode(block, &mut section, 500);
        }
    }
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn pairs() -> impl Strategy<Value = Pairs> {
    let line = line().prop_filter("no crumbs", |(name, _, _)| name != "cookie");
    prop::collection::vec(line.prop_map(|(name, value, _)| (name.into_bytes(), value)), 1..12)
}

fn ours(section: &Section) -> Pairs {
    let fields = section.fields.list.iter();
    fields.map(|field| (field.name.of(&section.bytes).to_vec(), field.value.of(&section.bytes).to_vec())).collect()
}

proptest! {
    #[test]
    fn another_library_reads_what_we_write(
        messages in prop::collection::vec((pairs(), prop::option::of(0..5000_usize)), 1..20)
    ) {
        let mut encoder = Encoder::new();
        let mut theirs = loona_hpack::Decoder::new();
        for (message, size) in &messages {
            if let Some(size) = size {
                encoder.set_table_max(*size);
            }
            let lines: Vec<Line> = message
                .iter()
                .map(|(name, value)| (String::from_utf8(name.clone()).unwrap(), value.clone(), false))
                .collect();
            let block = encode(&mut encoder, &lines);
            prop_assert_eq!(&theirs.decode(&block).unwrap(), message);
        }
    }

    #[test]
    fn we_read_what_another_library_writes(messages in prop::collection::vec(pairs(), 1..20)) {
        let mut theirs = loona_hpack::Encoder::new();
        let mut decoder = Decoder::new(4096);
        let mut section = Section::default();
        for message in &messages {
            let block = theirs.encode(message.iter().map(|(name, value)| (&name[..], &value[..])));
            decoder.decode(&block, &mut section, 48 * 1024).unwrap();
            prop_assert_eq!(&ours(&section), message);
        }
    }

    #[test]
    fn strings_are_decoded_alike(text in prop::collection::vec(any::<u8>(), 0..100)) {
        // One literal field with a coded value.
        let mut block = vec![0x00, 0x01, b'a', 0x80 | text.len() as u8];
        block.extend_from_slice(&text);
        let mut section = Section::default();
        let verdict = Decoder::new(4096).decode(&block, &mut section, LIST_MAX);
        match loona_hpack::Decoder::new().decode(&block) {
            Ok(fields) => {
                prop_assert_eq!(verdict, Ok(()));
                prop_assert_eq!(ours(&section), fields);
            }
            Err(_) => prop_assert_eq!(verdict, Err(HpackError::Huffman)),
        }
    }
}

#[test]
fn repeated_fields_take_a_byte() {
    let mut encoder = Encoder::new();
    let message = |encoder: &mut Encoder, etag: &str| {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        encoder.status(&mut block, 200);
        for (name, value) in [("content-type", "text/html"), ("x-own", "1"), ("date", "Mon"), ("etag", etag)] {
            encoder.field_in_any_case(&mut block, name.as_bytes(), value.as_bytes(), Mark::Ordinary);
        }
        block
    };
    let lens: Vec<_> = ["a", "b", "c"].map(|etag| message(&mut encoder, etag).len()).into();
    // The first time all are literals, the second what may repeat gets a place, the third all but one are there.
    assert!(lens[0] > lens[1] && lens[1] > lens[2], "{lens:?}");
    assert_eq!(lens[2], 4 + 4);
}

#[test]
fn secrets_are_never_indexed() {
    let mut encoder = Encoder::new();
    let secrets = [("authorization", "a"), ("x-api-key", "b"), ("set-cookie", "c"), ("cookie", "d"), ("x-marked", "e")];
    for _ in 0..3 {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        for (name, value) in secrets {
            let mark = if name == "x-marked" { Mark::NeverIndexed } else { Mark::Ordinary };
            encoder.field_in_any_case(&mut block, name.as_bytes(), value.as_bytes(), mark);
        }
        let mut section = Section::default();
        Decoder::new(4096).decode(&block, &mut section, LIST_MAX).unwrap();
        assert_eq!(section.fields.never_indexed, (0..5).collect());
        assert_eq!(fields(&section).len(), secrets.len());
    }
}

#[test]
fn names_are_brought_to_lower_case() {
    for len in [1, 8, 63, 64, 65, 200] {
        let name = "X-".repeat(len)[..len].to_owned();
        let mut block = Vec::new();
        Encoder::new().field_in_any_case(&mut block, name.as_bytes(), b"V", Mark::Ordinary);
        let found = decoded(&mut Decoder::new(4096), &block).unwrap();
        assert_eq!(found, [(name.to_lowercase(), "V".to_owned())]);
    }
}

#[test]
fn a_table_may_be_written_to_for_ever() {
    // Numbers of insertions wrap around; what is written stays right.
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    encoder.lookup_from(u32::MAX - 700);
    for round in 0..1_500 {
        let (names, values) = (["x-a", "server", "vary", "x-b"], [round, round / 2, round % 7, round / 100]);
        let mut block = Vec::new();
        encoder.begin(&mut block);
        for (name, value) in names.iter().zip(values) {
            encoder.field_in_any_case(&mut block, name.as_bytes(), value.to_string().as_bytes(), Mark::Ordinary);
        }
        let expected = names.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.to_string()));
        assert_eq!(decoded(&mut decoder, &block).unwrap(), expected.collect::<Vec<_>>());
    }
}

#[test]
fn a_changed_table_is_announced_once() {
    let mut encoder = Encoder::new();
    let begin = |encoder: &mut Encoder| {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        out
    };
    encoder.set_table_max(65_536);
    assert!(begin(&mut encoder).is_empty());
    encoder.set_table_max(100);
    encoder.set_table_max(0);
    encoder.set_table_max(200);
    assert_eq!(begin(&mut encoder), hex("203fa901"));
    assert!(begin(&mut encoder).is_empty());
    encoder.set_table_max(200);
    assert!(begin(&mut encoder).is_empty());
}
