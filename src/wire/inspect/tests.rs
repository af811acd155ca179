// SPDX-License-Identifier: Apache-2.0
//! What passes, what does not, and that no cut changes a verdict.

use proptest::prelude::{any, prop, prop_assert_eq, proptest};
use proptest::sample::select;
use serde::de::IgnoredAny;

use super::*;

const WIDE: Bounds = Bounds {
    depth: 100,
    members: 1_000,
    items: 1_000,
    values: 10_000,
    name_bytes: 1_000,
    text_bytes: 10_000,
    number_bytes: 100,
};

/// At most two of each, and five bytes of each.
const NARROW: Bounds =
    Bounds { depth: 2, members: 2, items: 2, values: 6, name_bytes: 5, text_bytes: 5, number_bytes: 5 };

fn json(bounds: Bounds) -> Scanner {
    Scanner::Json(JsonScanner::new(bounds))
}

fn xml(bounds: Bounds) -> Scanner {
    Scanner::Xml(XmlScanner::new(bounds))
}

fn verdict(mut scanner: Scanner, portions: &[&[u8]]) -> Result<(), Offence> {
    portions.iter().try_for_each(|portion| scanner.push(portion))?;
    scanner.finish()
}

const GOOD_JSON: &[&str] = &[
    "{}",
    " [ ] \r\n\t",
    "0",
    "-0.5e+10",
    "1E5",
    "\"\"",
    "null",
    "[true,false,null]",
    "{\"a\":[1,{\"b\":{}}],\"a\":\"twice\"}",
    r#""\" \\ \/ \b \f \n \r \t \u00e9 \uD83D""#,
    "\"é € 😀 \u{7f}\"",
];

const BAD_JSON: &[&[u8]] = &[
    b"",
    b" ",
    b"{",
    b"[1",
    b"[1,]",
    b"{\"a\":1,}",
    b"{\"a\"}",
    b"{a:1}",
    b"{'a':1}",
    b"{\"a\":1}{",
    b"1 2",
    b"[1}",
    b"{]",
    b"01",
    b"-",
    b"+1",
    b"1.",
    b".5",
    b"1e",
    b"1e+",
    b"0x1",
    b"NaN",
    b"Infinity",
    b"tru",
    b"nulll",
    b"True",
    b"\"\n\"",
    b"\"\\x\"",
    b"\"\\u12g4\"",
    b"\"open",
    b"/* a */ 1",
    b"// a\n1",
    b"[1]//",
    b"\xEF\xBB\xBF{}",
    b"\"\xC0\xAF\"",
    b"\"\xED\xA0\x80\"",
    b"\"\xF5\x80\x80\x80\"",
    b"\"\xC3\"",
    b"{\x00}",
    b"\xFE\xFF\x00{",
    b"[1\x0C]",
];

#[test]
fn json_is_read_to_the_letter() {
    for text in GOOD_JSON {
        assert_eq!(verdict(json(WIDE), &[text.as_bytes()]), Ok(()), "{text}");
    }
    for text in BAD_JSON {
        assert_eq!(verdict(json(WIDE), &[text]), Err(Offence::Json), "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn bounds_of_json_hold_to_the_last_one_allowed() {
    for (text, over) in [
        ("[[1]]", None),
        ("[[[1]]]", Some(Bound::Depth)),
        ("[{\"a\":[]}]", Some(Bound::Depth)),
        ("{\"a\":1,\"b\":2}", None),
        ("{\"a\":1,\"b\":2,\"c\":3}", Some(Bound::Members)),
        ("[{\"a\":1,\"b\":2},{\"c\":3}]", None),
        ("[1,2]", None),
        ("[1,2,3]", Some(Bound::Items)),
        ("{\"a\":[1,2],\"b\":[1,2]}", Some(Bound::Values)),
        ("{\"abcde\":1}", None),
        ("{\"abcdef\":1}", Some(Bound::Name)),
        ("{\"\\u0061\":1}", Some(Bound::Name)),
        ("\"abcde\"", None),
        ("\"abcdef\"", Some(Bound::Text)),
        ("\"ééé\"", Some(Bound::Text)),
        ("\"a\\n\\n\"", None),
        ("12345", None),
        ("123456", Some(Bound::Number)),
        ("1e999999999", Some(Bound::Number)),
    ] {
        assert_eq!(verdict(json(NARROW), &[text.as_bytes()]).err(), over.map(Offence::Bound), "{text}");
    }
}

const GOOD_XML: &[&str] = &[
    "<a/>",
    "<a></a >",
    "\u{feff}<?xml version='1.0'?><a/>",
    "<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\" ?>\n<a b=\"1\" c = '2'/>\n",
    "<!-- a - b --><?style x?><a>t]] ] &amp;&#65;&#x1F600;<b/><![CDATA[ <x> & ]] ]]]></a><!---->",
    "<ns:a xmlns:ns='urn:x' é='1'><ns:b>é</ns:b></ns:a>",
    "<a b='>'>&lt;</a>",
];

const BAD_XML: &[&[u8]] = &[
    b"",
    b" ",
    b"text",
    b"<a>",
    b"<a></b>",
    b"<a></a></a>",
    b"<a/><b/>",
    b"<a/>text",
    b"<a b></a>",
    b"<a b=1/>",
    b"<a b='1'c='2'/>",
    b"<a b='1' b='2'/>",
    b"<a b='<'/>",
    b"<1/>",
    b"< a/>",
    b"<a/ >",
    b"</a>",
    b"<a>]]></a>",
    b"<a>&#0;</a>",
    b"<a>&#xD800;</a>",
    b"<a>&#;</a>",
    b"<!-- a -- b --><a/>",
    b"<!-- a --->",
    b"<![CDATA[x]]><a/>",
    b"<a><![cdata[x]]></a>",
    b" <?xml version='1.0'?><a/>",
    b"<a><?XML x?></a>",
    b"<?xml version='1.1'?><a/>",
    b"<?xml encoding='utf-8'?><a/>",
    b"<?xml version='1.0' encoding='utf-7'?><a/>",
    b"<?xml version='1.0' encoding='utf-16'?><a/>",
    b"<?xml version='1.0' encoding='ibm037'?><a/>",
    b"<?xml version='1.0' standalone='yes' encoding='utf-8'?><a/>",
    b"\xFF\xFE<\x00a\x00/\x00>\x00",
    b"<a>\x00</a>",
    b"<a>\xC0\xBC</a>",
    b"<a>\x1B</a>",
    b"\xEF\xBB\xBF\xEF\xBB\xBF<a/>",
];

const ENTITIES: &[&str] = &[
    "<!DOCTYPE a><a/>",
    "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
    "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
    "<a>&lol9;</a>",
    "<a b='&x;'/>",
    "<a>&AMP;</a>",
    "<a>& b</a>;",
    "<a>&#00000000000000000065;</a>",
];

#[test]
fn xml_is_read_to_the_letter_and_declares_nothing() {
    for text in GOOD_XML {
        assert_eq!(verdict(xml(WIDE), &[text.as_bytes()]), Ok(()), "{text}");
    }
    for text in BAD_XML {
        assert_eq!(verdict(xml(WIDE), &[text]), Err(Offence::Xml), "{}", String::from_utf8_lossy(text));
    }
    for text in ENTITIES {
        assert_eq!(verdict(xml(WIDE), &[text.as_bytes()]), Err(Offence::Entity), "{text}");
    }
    assert_eq!(verdict(xml(WIDE), &[b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xE9</a>"]), Ok(()));
}

#[test]
fn bounds_of_xml_hold_to_the_last_one_allowed() {
    for (text, over) in [
        ("<a><b/></a>", None),
        ("<a><b><c/></b></a>", Some(Bound::Depth)),
        ("<a b='' c=''/>", None),
        ("<a b='' c='' d=''/>", Some(Bound::Members)),
        ("<a><b/><b/></a>", None),
        ("<a><b/><b/><b/></a>", Some(Bound::Items)),
        ("<abcde/>", None),
        ("<abcdef/>", Some(Bound::Name)),
        ("<a abcdef=''/>", Some(Bound::Name)),
        ("<a><?abcdef x?></a>", Some(Bound::Name)),
        ("<a>abcde</a>", None),
        ("<a>abcdef</a>", Some(Bound::Text)),
        ("<a>&lt;&lt;&lt;&lt;&lt;&lt;</a>", Some(Bound::Text)),
        ("<a b='abcdef'/>", Some(Bound::Text)),
        ("<!--abcdef--><a/>", Some(Bound::Text)),
        ("<a><![CDATA[abcdef]]></a>", Some(Bound::Text)),
        ("<?x abcdef?><a/>", Some(Bound::Text)),
    ] {
        assert_eq!(verdict(xml(NARROW), &[text.as_bytes()]).err(), over.map(Offence::Bound), "{text}");
    }
    let many = format!("<a>{}</a>", "<b><c/></b>".repeat(2));
    let few = Bounds { values: 4, depth: 3, ..NARROW };
    assert_eq!(verdict(xml(few), &[many.as_bytes()]), Err(Offence::Bound(Bound::Values)));
}

#[test]
fn memory_is_bounded_by_depth_and_not_by_length() {
    let mut scanner = json(Bounds { depth: 64, ..WIDE });
    let deep = vec![b'['; 100_000];
    assert_eq!(scanner.push(&deep), Err(Offence::Bound(Bound::Depth)));
    let mut scanner = xml(Bounds { depth: 64, ..WIDE });
    let deep = b"<a>".repeat(100_000);
    assert_eq!(scanner.push(&deep), Err(Offence::Bound(Bound::Depth)));
}

/// Pieces that JSON is made of, and some that it is not.
const JSON_PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "\"a\"",
    "\"\\u00e9\"",
    "\"\\",
    "\"",
    "1",
    "0",
    "-",
    "1.5",
    "e5",
    "E+",
    "true",
    "null",
    "nul",
    "é",
    "\t",
];

/// The same of XML.
const XML_PIECES: &[&str] = &[
    "<",
    ">",
    "/",
    "</",
    "/>",
    "<a",
    "<a>",
    "</a>",
    "a",
    " b='",
    "'",
    "\"",
    "=",
    "&",
    "&amp;",
    ";",
    "<!--",
    "-->",
    "-",
    "<![CDATA[",
    "]]>",
    "]",
    "<?",
    "?>",
    "xml",
    "é",
    " ",
];

proptest! {
    #[test]
    fn json_passes_where_another_parser_takes_it(pieces in prop::collection::vec(select(JSON_PIECES), 0..12)) {
        let text = pieces.concat();
        let taken = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        prop_assert_eq!(verdict(json(WIDE), &[text.as_bytes()]).is_ok(), taken, "{}", text);
    }

    #[test]
    fn no_cut_changes_a_verdict(
        pieces in prop::collection::vec(prop::sample::select([JSON_PIECES, XML_PIECES].concat()), 0..20),
        noise in prop::collection::vec(any::<u8>(), 0..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut content = pieces.concat().into_bytes();
        content.extend_from_slice(&noise);
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(content.len() + 1)).collect();
        places.extend([0, content.len()]);
        places.sort_unstable();
        let portions: Vec<&[u8]> = places.windows(2).map(|pair| &content[pair[0]..pair[1]]).collect();
        for bounds in [WIDE, NARROW] {
            prop_assert_eq!(verdict(json(bounds), &portions), verdict(json(bounds), &[&content]));
            prop_assert_eq!(verdict(xml(bounds), &portions), verdict(xml(bounds), &[&content]));
        }
    }
}
