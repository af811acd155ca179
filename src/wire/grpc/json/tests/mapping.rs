// SPDX-License-Identifier: Apache-2.0
//! The JSON mapping of protobuf ("ProtoJSON"), row by row: what a text is when it was a message in between, and which
//! texts are no message.

use super::{sample, sent};
use crate::wire::grpc::json::{Defaults, Enums, LargeIntegers, Lookup, Names, Options, Transcoder};
use crate::wire::grpc::json::{Unannotated, Unknown};
use crate::wire::grpc::{Code, End};

const FILES: &[(&str, &str)] = &[("mapping.proto", include_str!("mapping.proto"))];
const ECHO: &[u8] = b"/mapping.v1.Mapping/Echo";

fn transcoder(options: Options) -> Transcoder {
    let options = Options { unannotated: Unannotated::Post, ..options };
    Transcoder::from_descriptor_set(&sample::compiled("mapping.proto", FILES), options).unwrap()
}

/// A text as a request, and its message as a response.
fn echoed(transcoder: &Transcoder, text: &str) -> Result<String, String> {
    let Lookup::Found(route) = transcoder.find(b"POST", ECHO) else { panic!("no rule") };
    let (mut request, mut out) = (Vec::new(), Vec::new());
    let read = transcoder.request(&route, &Default::default(), text.as_bytes(), &mut request);
    read.map_err(|refusal| refusal.what)?;
    let response = transcoder.answer(&route, &request, &End::plain(Code::Ok, ""), &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(response.status == 200 || response.status == 500, "{text}");
    if response.status == 200 { Ok(text) } else { Err(text) }
}

/// Each member alone: as it is sent, and as it comes back.
fn assert_members(transcoder: &Transcoder, rows: &[(&str, &str)]) {
    for (sent, shown) in rows {
        let echoed = echoed(transcoder, &format!("{{{sent}}}"));
        assert_eq!(echoed.as_deref(), Ok(format!("{{{shown}}}").as_str()), "{sent}");
    }
}

fn assert_refused(transcoder: &Transcoder, rows: &[&str]) {
    for sent in rows {
        let echoed = echoed(transcoder, &format!("{{{sent}}}"));
        assert!(echoed.is_err(), "{sent} became {echoed:?}");
    }
}

#[test]
fn integers() {
    let transcoder = transcoder(Options::default());
    assert_members(
        &transcoder,
        &[
            (r#""n":2147483647"#, r#""n":2147483647"#),
            (r#""n":"-2147483648""#, r#""n":-2147483648"#),
            (r#""n":"2\u003147483647""#, r#""n":2147483647"#),
            (r#""n":1e5"#, r#""n":100000"#),
            (r#""n":"1e5""#, r#""n":100000"#),
            (r#""n":2147483647.0"#, r#""n":2147483647"#),
            (r#""n":0"#, ""),
            (r#""n":-0"#, ""),
            (r#""u":4294967295"#, r#""u":4294967295"#),
            (r#""u":4.294967295e9"#, r#""u":4294967295"#),
            (r#""large":"9223372036854775807""#, r#""large":"9223372036854775807""#),
            (r#""large":-9223372036854775808"#, r#""large":"-9223372036854775808""#),
            (r#""large":1"#, r#""large":"1""#),
            (r#""large":-1e18"#, r#""large":"-1000000000000000000""#),
            (r#""ularge":18446744073709551615"#, r#""ularge":"18446744073709551615""#),
        ],
    );
    assert_refused(
        &transcoder,
        &[
            r#""n":2147483648"#,
            r#""n":-2147483649"#,
            r#""n":"2147483648""#,
            r#""n":0.5"#,
            r#""n":"0.5""#,
            r#""n":"""#,
            r#""n":" 1""#,
            r#""n":"1 ""#,
            r#""n":"+1""#,
            r#""n":"0x1""#,
            r#""n":"12a""#,
            r#""n":01"#,
            r#""n":true"#,
            r#""n":[1]"#,
            r#""u":-1"#,
            r#""u":4294967296"#,
            r#""large":9223372036854775808"#,
            r#""large":9.223372036854775808e18"#,
            r#""large":-9223372036854775809"#,
            r#""large":"-9223372036854775809""#,
            r#""ularge":18446744073709551616"#,
            r#""ularge":"-1""#,
        ],
    );
}

#[test]
fn floating_point() {
    let transcoder = transcoder(Options::default());
    assert_members(
        &transcoder,
        &[
            (r#""d":1.5"#, r#""d":1.5"#),
            (r#""d":"1.5e3""#, r#""d":1500.0"#),
            (r#""d":1.7976931348623157e308"#, r#""d":1.7976931348623157e+308"#),
            (r#""d":5e-324"#, r#""d":5e-324"#),
            (r#""d":"NaN""#, r#""d":"NaN""#),
            (r#""d":"Infinity""#, r#""d":"Infinity""#),
            (r#""f":"-Infinity""#, r#""f":"-Infinity""#),
            (r#""f":3.4028235e38"#, r#""f":3.4028235e+38"#),
            (r#""f":"0.1""#, r#""f":0.1"#),
            (r#""d":0"#, ""),
        ],
    );
    assert_refused(
        &transcoder,
        &[
            r#""d":1e309"#,
            r#""d":"1e309""#,
            r#""d":NaN"#,
            r#""d":Infinity"#,
            r#""d":"nan""#,
            r#""d":"inf""#,
            r#""d":"infinity""#,
            r#""d":"""#,
            r#""d":" 1""#,
            r#""d":true"#,
            r#""f":3.5e38"#,
            r#""f":"-3.5e38""#,
        ],
    );
}

#[test]
fn truths_texts_bytes_and_enums() {
    let transcoder = transcoder(Options::default());
    assert_members(
        &transcoder,
        &[
            (r#""b":true"#, r#""b":true"#),
            (r#""b":false"#, ""),
            (r#""s":"a\ud83d\ude00\u0000""#, r#""s":"a😀\u0000""#),
            (r#""raw":"AQI=""#, r#""raw":"AQI=""#),
            (r#""raw":"AQI""#, r#""raw":"AQI=""#),
            (r#""raw":"-_""#, r#""raw":"+w==""#),
            (r#""raw":"-_8=""#, r#""raw":"+/8=""#),
            (r#""raw":"""#, ""),
            (r#""color":"RED""#, r#""color":"RED""#),
            (r#""color":1"#, r#""color":"RED""#),
            (r#""color":-1"#, r#""color":"CRIMSON""#),
            (r#""color":7"#, r#""color":7"#),
            (r#""color":"NONE""#, ""),
        ],
    );
    assert_refused(
        &transcoder,
        &[
            r#""b":"true""#,
            r#""b":1"#,
            r#""s":1"#,
            r#""s":"\ud83d""#,
            r#""raw":"A""#,
            r#""raw":"A*==""#,
            r#""raw":"+_==""#,
            r#""raw":[1]"#,
            r#""color":"red""#,
            r#""color":"BLUE""#,
            r#""color":0.5"#,
            r#""color":4294967296"#,
            r#""color":true"#,
        ],
    );
}

#[test]
fn times() {
    let transcoder = transcoder(Options::default());
    assert_members(
        &transcoder,
        &[
            (r#""time":"1970-01-01T00:00:00Z""#, r#""time":"1970-01-01T00:00:00Z""#),
            (r#""time":"0001-01-01T00:00:00Z""#, r#""time":"0001-01-01T00:00:00Z""#),
            (r#""time":"9999-12-31T23:59:59.999999999Z""#, r#""time":"9999-12-31T23:59:59.999999999Z""#),
            (r#""time":"2026-01-01T00:00:00.5Z""#, r#""time":"2026-01-01T00:00:00.500Z""#),
            (r#""time":"2026-01-01T00:00:00.000010Z""#, r#""time":"2026-01-01T00:00:00.000010Z""#),
            (r#""time":"2026-01-01T01:00:00+02:00""#, r#""time":"2025-12-31T23:00:00Z""#),
            (r#""span":"1.5s""#, r#""span":"1.500s""#),
            (r#""span":"-0.5s""#, r#""span":"-0.500s""#),
            (r#""span":"315576000000.999999999s""#, r#""span":"315576000000.999999999s""#),
            (r#""span":"-315576000000s""#, r#""span":"-315576000000s""#),
            (r#""span":"0s""#, r#""span":"0s""#),
        ],
    );
    assert_refused(
        &transcoder,
        &[
            r#""time":"0000-12-31T23:59:59Z""#,
            r#""time":"10000-01-01T00:00:00Z""#,
            r#""time":"0001-01-01T00:00:00+01:00""#,
            r#""time":"2026-01-01t00:00:00Z""#,
            r#""time":"2026-01-01T00:00:00z""#,
            r#""time":"2026-01-01 00:00:00Z""#,
            r#""time":"2026-01-01T00:00:00""#,
            r#""time":"2026-13-01T00:00:00Z""#,
            r#""time":0"#,
            r#""span":"1""#,
            r#""span":"s""#,
            r#""span":"315576000001s""#,
            r#""span":"-315576000001s""#,
            r#""span":1"#,
        ],
    );
}

#[test]
fn masks_and_any_json() {
    let transcoder = transcoder(Options::default());
    assert_members(
        &transcoder,
        &[
            (r#""mask":"fooBar,a.bC""#, r#""mask":"fooBar,a.bC""#),
            (r#""mask":"""#, r#""mask":"""#),
            (r#""structure":{"a":[1,{"b":null}],"c":"d"}"#, r#""structure":{"a":[1.0,{"b":null}],"c":"d"}"#),
            (r#""structure":{}"#, r#""structure":{}"#),
            (r#""value":null"#, r#""value":null"#),
            (r#""value":true"#, r#""value":true"#),
            (r#""value":1"#, r#""value":1.0"#),
            (r#""value":"a""#, r#""value":"a""#),
            (r#""value":[[]]"#, r#""value":[[]]"#),
            (r#""value":{"a":{}}"#, r#""value":{"a":{}}"#),
            (r#""list":[null,false]"#, r#""list":[null,false]"#),
            (r#""empty":{}"#, r#""empty":{}"#),
            (r#""nothing":null"#, ""),
            (r#""values":[null,1]"#, r#""values":[null,1.0]"#),
        ],
    );
    assert_refused(
        &transcoder,
        &[
            r#""mask":"foo_bar""#,
            r#""mask":["a"]"#,
            r#""structure":[]"#,
            r#""structure":{"a":1,"a":2}"#,
            r#""list":{}"#,
            r#""empty":{"a":1}"#,
            r#""empty":null,"empty":{}"#,
            r#""nothing":true"#,
            r#""nothing":1"#,
        ],
    );
}

#[test]
fn wrappers_and_presence() {
    let transcoder = transcoder(Options::default());
    assert_members(
        &transcoder,
        &[
            (r#""wrappedDouble":0"#, r#""wrappedDouble":0.0"#),
            (r#""wrappedDouble":"NaN""#, r#""wrappedDouble":"NaN""#),
            (r#""wrappedFloat":"1.5""#, r#""wrappedFloat":1.5"#),
            (r#""wrappedInt64":0"#, r#""wrappedInt64":"0""#),
            (r#""wrappedUint64":"5""#, r#""wrappedUint64":"5""#),
            (r#""wrappedInt32":"1e2""#, r#""wrappedInt32":100"#),
            (r#""wrappedUint32":7"#, r#""wrappedUint32":7"#),
            (r#""wrappedBool":false"#, r#""wrappedBool":false"#),
            (r#""wrappedString":"""#, r#""wrappedString":"""#),
            (r#""wrappedBytes":"-_8""#, r#""wrappedBytes":"+/8=""#),
            (r#""wrappedInt32":null"#, ""),
            (r#""maybe":0"#, r#""maybe":0"#),
            (r#""maybe":null"#, ""),
            (r#""left":"""#, r#""left":"""#),
            (r#""left":null,"right":0"#, r#""right":0"#),
            (r#""neither":null"#, r#""neither":null"#),
            (r#""neither":"NULL_VALUE""#, r#""neither":null"#),
            (r#""child":{}"#, r#""child":{}"#),
            (r#""child":null,"n":null,"numbers":null,"byString":null,"any":null"#, ""),
        ],
    );
    assert_refused(
        &transcoder,
        &[
            r#""left":"a","right":1"#,
            r#""neither":null,"right":1"#,
            r#""wrappedBool":{"value":true}"#,
            r#""wrappedInt32":{}"#,
            r#""numbers":[1,null]"#,
            r#""byString":{"a":null}"#,
            r#""child":[]"#,
        ],
    );
}

#[test]
fn names_lists_and_maps() {
    let transcoder = transcoder(Options::default());
    assert_members(
        &transcoder,
        &[
            (r#""snake_case_name":"a""#, r#""snakeCaseName":"a""#),
            (r#""snakeCaseName":"a""#, r#""snakeCaseName":"a""#),
            (r#""renamed":"a""#, r#""@other":"a""#),
            (r#""@other":"a""#, r#""@other":"a""#),
            (r#""numbers":[1,"2",3e0]"#, r#""numbers":[1,2,3]"#),
            (r#""numbers":[]"#, ""),
            (r#""colors":["RED",0]"#, r#""colors":["RED","NONE"]"#),
            (r#""byString":{"b":2,"":1}"#, r#""byString":{"":1,"b":2}"#),
            (r#""byBool":{"true":1,"false":2}"#, r#""byBool":{"false":2,"true":1}"#),
            (r#""byInt32":{"-2147483648":1}"#, r#""byInt32":{"-2147483648":1}"#),
            (r#""byInt64":{"9223372036854775807":1}"#, r#""byInt64":{"9223372036854775807":1}"#),
            (r#""byUint32":{"4294967295":1}"#, r#""byUint32":{"4294967295":1}"#),
            (r#""byUint64":{"18446744073709551615":0}"#, r#""byUint64":{"18446744073709551615":0}"#),
            (r#""messages":{"a":{"n":1}}"#, r#""messages":{"a":{"n":1}}"#),
            (r#""colorOf":{"a":"RED"}"#, r#""colorOf":{"a":"RED"}"#),
        ],
    );
    assert_refused(
        &transcoder,
        &[
            r#""SNAKECASENAME":"a""#,
            r#""snakeCaseName":"a","snake_case_name":"b""#,
            r#""n":1,"n":2"#,
            r#""n":1,"\u006e":1"#,
            r#""child":{"n":1,"n":1}"#,
            r#""unknown":1"#,
            r#""numbers":1"#,
            r#""numbers":{}"#,
            r#""byString":{"a":1,"a":2}"#,
            r#""byString":[]"#,
            r#""byBool":{"True":1}"#,
            r#""byInt32":{"a":1}"#,
            r#""byInt32":{"1":1,"1e0":1}"#,
            r#""byInt32":{"2147483648":1}"#,
            r#""byUint32":{"-1":1}"#,
            r#""n":1,"#,
        ],
    );
}

#[test]
fn every_any() {
    let transcoder = transcoder(Options::default());
    let same = [
        r#""any":{}"#,
        r#""any":{"@type":"type.googleapis.com/mapping.v1.All","n":1}"#,
        r#""any":{"@type":"type.googleapis.com/mapping.v1.All"}"#,
        r#""any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1.500s"}"#,
        r#""any":{"@type":"x/google.protobuf.Int64Value","value":"12345"}"#,
        r#""any":{"@type":"x/google.protobuf.Value","value":{"a":1.5}}"#,
        r#""any":{"@type":"x/google.protobuf.Empty","value":{}}"#,
        r#""any":{"@type":"x/google.protobuf.Any","value":{"@type":"x/mapping.v1.All","s":"a"}}"#,
        r#""any":{"@type":"x/google.protobuf.Any","value":{}}"#,
        r#""any":{"@type":"x/mapping.v1.All","any":{"@type":"x/mapping.v1.All","any":{}}}"#,
        r#""any":{"@type":"x/not.Known","value":"CAE="}"#,
        r#""any":{"@type":"x/not.Known","value":""}"#,
    ];
    assert_members(&transcoder, &same.map(|text| (text, text)));
    assert_members(
        &transcoder,
        &[
            (r#""any":{"n":1,"@type":"x/mapping.v1.All"}"#, r#""any":{"@type":"x/mapping.v1.All","n":1}"#),
            (r#""any":{"@type":"x/not.Known","value":"-_8"}"#, r#""any":{"@type":"x/not.Known","value":"+/8="}"#),
        ],
    );
    assert_refused(
        &transcoder,
        &[
            r#""any":{"n":1}"#,
            r#""any":{"value":""}"#,
            r#""any":{"@type":"","value":""}"#,
            r#""any":{"@type":"mapping.v1.All"}"#,
            r#""any":{"@type":"x/","value":""}"#,
            r#""any":{"@type":1}"#,
            r#""any":{"@type":"x/mapping.v1.All","@type":"x/mapping.v1.All"}"#,
            r#""any":{"@type":"x/mapping.v1.All","unknown":1}"#,
            r#""any":{"@type":"x/google.protobuf.Duration"}"#,
            r#""any":{"@type":"x/google.protobuf.Duration","value":"1s","n":1}"#,
            r#""any":{"@type":"x/not.Known"}"#,
            r#""any":{"@type":"x/not.Known","value":{}}"#,
            r#""any":{"@type":"x/not.Known","value":"*"}"#,
            r#""any":{"@type":"x/not.Known","value":"","n":1}"#,
            r#""any":[]"#,
        ],
    );
}

#[test]
fn what_is_not_known_may_be_ignored() {
    let transcoder = transcoder(Options { unknown_fields: Unknown::Ignore, ..Options::default() });
    assert_members(
        &transcoder,
        &[
            (r#""unknown":{"a":[1]},"n":1"#, r#""n":1"#),
            (r#""color":"BLUE""#, ""),
            (r#""colors":["RED","BLUE"]"#, r#""colors":["RED"]"#),
            (r#""colorOf":{"a":"BLUE","b":"RED"}"#, r#""colorOf":{"b":"RED"}"#),
            (r#""empty":{"a":1}"#, r#""empty":{}"#),
            (
                r#""any":{"@type":"x/google.protobuf.Duration","value":"1s","n":1}"#,
                r#""any":{"@type":"x/google.protobuf.Duration","value":"1s"}"#,
            ),
        ],
    );
    assert_refused(&transcoder, &[r#""unknown":1,"unknown":2"#, r#""color":true"#]);
}

#[test]
fn other_spellings_of_what_is_written() {
    let options = Options {
        names: Names::Proto,
        enums: Enums::Numbers,
        large_integers: LargeIntegers::Numbers,
        ..Options::default()
    };
    assert_members(
        &transcoder(options),
        &[
            (r#""snakeCaseName":"a","@other":"b""#, r#""snake_case_name":"a","renamed":"b""#),
            (r#""color":"RED""#, r#""color":1"#),
            (r#""large":"5","wrappedInt64":"6""#, r#""large":5,"wrapped_int64":6"#),
        ],
    );
    let printed = transcoder(Options { defaults: Defaults::Print, ..Options::default() });
    let text = echoed(&printed, "{}").unwrap();
    for member in [r#""n":0"#, r#""color":"NONE""#, r#""numbers":[]"#, r#""byBool":{}"#, r#""nothing":null"#] {
        assert!(text.contains(member), "{member} in {text}");
    }
    for absent in ["maybe", "time", "wrappedInt32", "left", "child", "any"] {
        assert!(!text.contains(&format!("\"{absent}\"")), "{absent} in {text}");
    }
}

#[test]
fn whole_bodies() {
    let transcoder = transcoder(Options::default());
    for text in ["", " \n"] {
        assert_eq!(echoed(&transcoder, text).unwrap(), "{}", "{text}");
    }
    for text in ["null", "[]", "1", "\"\"", "{}{}", "{}x", "{'n':1}", "{\"n\":1,}", "\u{feff}{}"] {
        assert!(echoed(&transcoder, text).is_err(), "{text}");
    }
}

#[test]
fn a_query_takes_more_spellings() {
    let transcoder = sample::transcoder(Options::default());
    let query = |text: &str| sent(&transcoder, &format!("GET /v1/everything?{text}"), "").map(|(_, json)| json);
    for text in ["true", "TRUE", "True", "t", "T", "1"] {
        assert_eq!(query(&format!("a_bool={text}")).unwrap(), r#"{"aBool":true}"#, "{text}");
        assert_eq!(query(&format!("bool_wrapper={text}")).unwrap(), r#"{"boolWrapper":true}"#, "{text}");
    }
    for text in ["false", "FALSE", "f", "0"] {
        assert_eq!(query(&format!("bool_wrapper={text}")).unwrap(), r#"{"boolWrapper":false}"#, "{text}");
    }
    for text in ["", "2", "yes", "tru", "%20true"] {
        assert!(query(&format!("a_bool={text}")).is_err(), "{text}");
    }
    let mask = r#"{"mask":"aBool,child.aBool,kind"}"#;
    for text in
        ["mask=a_bool,child.a_bool,kind", "mask=aBool&mask=child.aBool&mask=kind", "mask=aBool,&mask=child.a_bool,kind"]
    {
        assert_eq!(query(text).unwrap(), mask, "{text}");
    }
}
