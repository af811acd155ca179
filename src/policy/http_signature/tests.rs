// SPDX-License-Identifier: Apache-2.0
//! Tests of `http_signature`, with the requests and keys of RFC 9421 appendix B.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA512,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::{prop_assert, proptest};

use super::*;
use crate::base::{Scheme, Span};
use crate::policy::fixture::{Fixture, added};
use crate::wire::signature::Algorithm;

/// The body of a public key in PEM, without what stands in front of the key itself.
fn inner(pem: &str, from: usize) -> Vec<u8> {
    STANDARD.decode(pem).unwrap()[from..].to_vec()
}

/// `test-key-rsa-pss`: its RSAPublicKey stands behind 24 bytes.
const RSA_PSS: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA\
    r4tmm3r20Wd/PbqvP1s2+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbP\
    fvMs8ct+Lh1GH45x28Rw3Ry53mm+oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHqgDsznjPF\
    mTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5WUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZY\
    oA485mqcO0GVAdVw9lq4aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI2wIDAQAB";
const ED25519_KEY: &str = "MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";
const SHARED: &str = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
const CREATED: u64 = 1_618_884_473;
const DIGEST: &str =
    "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";

fn plan() -> Plan {
    let key = |id: &str, verifier| Key { id: id.into(), verifier, consumer: None };
    let mut keys = vec![
        key("test-key-rsa-pss", Verifier::public(Algorithm::RsaPssSha512, &inner(RSA_PSS, 24)).unwrap()),
        key("test-key-ed25519", Verifier::public(Algorithm::Ed25519, &inner(ED25519_KEY, 12)).unwrap()),
        key("test-shared-secret", Verifier::secret(&STANDARD.decode(SHARED).unwrap())),
    ];
    keys.sort_by(|one, other| one.id.cmp(&other.id));
    Plan {
        name: "signed".into(),
        keys: keys.into(),
        stored: Stored::Ignored,
        label: None,
        tag: None,
        required: Box::default(),
        age_max: Duration::from_secs(300),
        leeway: Duration::from_secs(30),
        nonce: NonceRule::Ignored,
        body_bytes_max: None,
        credential: Hiding::Removed,
        consumer_fields: ConsumerFields::Sent,
        anonymous: None,
        challenge: (*b"Signature realm=\"api\"").into(),
    }
}

/// The request of appendix B.2.
fn request() -> Fixture {
    let mut fixture = Fixture::new("POST", "/foo?param=Value&Pet=dog")
        .field("Host", "example.com")
        .field("Date", "Tue, 20 Apr 2021 02:07:55 GMT")
        .field("Content-Type", "application/json")
        .field("Content-Digest", DIGEST)
        .field("Content-Length", "18");
    let start = fixture.bytes.len();
    fixture.bytes.extend_from_slice(b"Example.com:443");
    fixture.head.authority = Span::new(start, fixture.bytes.len());
    fixture.head.body = BodyLength::Exact(18);
    fixture.body = Some(b"{\"hello\": \"world\"}".to_vec());
    fixture.wall = Wall((CREATED + 10) * 1_000_000);
    fixture
}

fn signed(fixture: Fixture, label: &str, input: &str, signature: &str) -> Fixture {
    let input = format!("{label}={input}");
    fixture.field("Signature-Input", &input).field("Signature", &format!("{label}=:{signature}:"))
}

/// What comes of a request, where every nonce is this fresh.
fn asked(plan: &Plan, fixture: &Fixture, freshness: Freshness, effects: &mut Effects) -> Result<(), &'static str> {
    let (facts, mut memo, mut state) = (fixture.facts(), Memo::default(), State::default());
    let now = Tick::ZERO;
    let mut decision = plan.decide(&mut state, Call { facts: &facts, effects, memo: &mut memo, now });
    for _ in 0..2 {
        if let Decision::Ask(Ask::Control { key, .. }) = decision {
            let (asked, _) = state.next_question().unwrap();
            assert_eq!(asked, key);
            state.receive(key, Answer::Nonce(freshness), now);
        }
        if let Decision::Ask(_) = decision {
            let call = Call { facts: &facts, effects, memo: &mut memo, now };
            decision = plan.resume(&mut state, call, AskOutcome::Woken);
        }
    }
    match decision {
        Decision::Pass => Ok(()),
        Decision::Respond(response) => {
            assert_eq!(response.status, 401);
            assert_eq!(added(&effects.to_client), [("WWW-Authenticate", "Signature realm=\"api\"")]);
            Err(response.reason)
        }
        Decision::Ask(_) => panic!("it asks twice at most"),
    }
}

fn verdict(plan: &Plan, fixture: &Fixture) -> Result<(), &'static str> {
    asked(plan, fixture, Freshness::Fresh, &mut Effects::default())
}

/// Label, input and signature of the examples of appendix B.2 that are requests with one signature.
const EXAMPLES: &[(&str, &str, &str)] = &[
    (
        "sig-b21",
        "();created=1618884473;keyid=\"test-key-rsa-pss\";nonce=\"b3k2pp5k7z-50gnwp.yemd\"",
        "d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7\
         ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZ\
         sfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Ny\
         t8C8ssinQ98Xw9Q==",
    ),
    (
        "sig-b25",
        "(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"",
        "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
    ),
    (
        "sig-b26",
        "(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");created=1618884473;\
         keyid=\"test-key-ed25519\"",
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
    ),
];

#[test]
fn the_examples_of_the_rfc_are_verified() {
    for (label, input, signature) in EXAMPLES {
        assert_eq!(verdict(&plan(), &signed(request(), label, input, signature)), Ok(()), "{label}");
        let mut broken = STANDARD.decode(signature).unwrap();
        broken[7] ^= 1;
        let broken = STANDARD.encode(broken);
        assert_eq!(verdict(&plan(), &signed(request(), label, input, &broken)), Err("signature_wrong"), "{label}");
    }
}

/// A signature with the shared secret over what `input` covers.
fn sign(fixture: &Fixture, input: &str) -> String {
    let dictionary = structured::dictionary(format!("s={input}").as_bytes()).expect("a dictionary");
    let Member::Inner(covered) = &dictionary[0].1 else { panic!("a list") };
    let mut base = Vec::new();
    let message = Signed { request: fixture.request(), scheme: Scheme::Https };
    message.append_base(covered, &mut base).unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &STANDARD.decode(SHARED).unwrap());
    STANDARD.encode(aws_lc_rs::hmac::sign(&key, &base))
}

fn own(fixture: Fixture, input: &str) -> Fixture {
    let signature = sign(&fixture, input);
    signed(fixture, "s", input, &signature)
}

const KEY: &str = "created=1618884473;keyid=\"test-shared-secret\"";

#[test]
fn components_are_those_of_the_request() {
    let fixture = request()
        .field("X-List", "a")
        .field("X-List", " b")
        .field("X-Dict", "a=1,  b=2;x=1;y=2,   c=(a   b)")
        .field("Priority", "u=1 ,i");
    const CASES: &[(&str, &str)] = &[
        ("\"@method\"", "POST"),
        ("\"@target-uri\"", "https://example.com/foo?param=Value&Pet=dog"),
        ("\"@authority\"", "example.com"),
        ("\"@scheme\"", "https"),
        ("\"@request-target\"", "/foo?param=Value&Pet=dog"),
        ("\"@path\"", "/foo"),
        ("\"@query\"", "?param=Value&Pet=dog"),
        ("\"@query-param\";name=\"Pet\"", "dog"),
        ("\"x-list\"", "a,  b"),
        ("\"x-list\";bs", ":YQ==:, :IGI=:"),
        ("\"x-dict\";key=\"b\"", "2;x=1;y=2"),
        ("\"x-dict\";key=\"c\"", "(a b)"),
        ("\"priority\";sf", "u=1, i"),
    ];
    for (component, value) in CASES {
        let dictionary = structured::dictionary(format!("s=({component})").as_bytes()).unwrap();
        let Member::Inner(covered) = &dictionary[0].1 else { panic!("a list") };
        let mut base = Vec::new();
        let message = Signed { request: fixture.request(), scheme: Scheme::Https };
        message.append_base(covered, &mut base).unwrap_or_else(|error| panic!("{component}: {error:?}"));
        let expected = format!("{component}: {value}\n\"@signature-params\": ({component})");
        assert_eq!(String::from_utf8(base).unwrap(), expected);
    }
    // RFC 9421 section 2.2.8.
    let query =
        Fixture::get("/p?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=x");
    for (name, value) in [
        ("var", "this%20is%20a%20big%0Amultiline%20value"),
        ("bar", "with%20plus%20whitespace"),
        ("fa%C3%A7ade%22%3A%20", "x"),
    ] {
        let list = format!("s=(\"@query-param\";name=\"{name}\")");
        let dictionary = structured::dictionary(list.as_bytes()).unwrap();
        let Member::Inner(covered) = &dictionary[0].1 else { panic!("a list") };
        let mut base = Vec::new();
        Signed { request: query.request(), scheme: Scheme::Http }.append_base(covered, &mut base).unwrap();
        assert!(String::from_utf8(base).unwrap().contains(&format!(": {value}\n")), "{name}");
    }
}

/// What a signature says, and why it is refused. It is made of another input, so that it is never right.
const REFUSED: &[(&str, &str)] = &[
    ("(\"@method\");keyid=\"test-shared-secret\"", "signature_expired"),
    ("(\"@method\");created=\"1618884473\";keyid=\"test-shared-secret\"", "signature_malformed"),
    ("(\"@method\");created=1618884100;keyid=\"test-shared-secret\"", "signature_expired"),
    ("(\"@method\");created=1618884600;keyid=\"test-shared-secret\"", "signature_expired"),
    ("(\"@method\");created=-1;keyid=\"test-shared-secret\"", "signature_malformed"),
    ("(\"@method\");created=1618884473;expires=1618884400;keyid=\"test-shared-secret\"", "signature_expired"),
    ("(\"@method\");created=1618884473", "signature_key_unknown"),
    ("(\"@method\");created=1618884473;keyid=\"other\"", "signature_key_unknown"),
    ("(\"@method\");created=1618884473;keyid=test-shared-secret", "signature_malformed"),
    ("(\"@method\");created=1618884473;keyid=\"test-shared-secret\";alg=\"ed25519\"", "signature_algorithm"),
    ("(\"@method\");created=1618884473;keyid=\"test-shared-secret\";alg=\"none\"", "signature_algorithm"),
    ("(\"@method\");created=1618884473;keyid=\"test-key-ed25519\";alg=\"hmac-sha256\"", "signature_algorithm"),
    ("(\"@method\" \"@method\");created=1618884473;keyid=\"test-shared-secret\"", "signature_malformed"),
    ("(\"Date\");created=1618884473;keyid=\"test-shared-secret\"", "signature_malformed"),
    ("(date);created=1618884473;keyid=\"test-shared-secret\"", "signature_malformed"),
    ("(\"x-none\");created=1618884473;keyid=\"test-shared-secret\"", "signature_wrong"),
    ("(\"@status\");created=1618884473;keyid=\"test-shared-secret\"", "signature_unsupported"),
    ("(\"@other\");created=1618884473;keyid=\"test-shared-secret\"", "signature_unsupported"),
    ("(\"@method\";req);created=1618884473;keyid=\"test-shared-secret\"", "signature_unsupported"),
    ("(\"date\";tr);created=1618884473;keyid=\"test-shared-secret\"", "signature_unsupported"),
    ("(\"date\";sf);created=1618884473;keyid=\"test-shared-secret\"", "signature_unsupported"),
    ("(\"date\";bs;sf);created=1618884473;keyid=\"test-shared-secret\"", "signature_unsupported"),
    ("(\"@query-param\");created=1618884473;keyid=\"test-shared-secret\"", "signature_unsupported"),
    ("(\"@query-param\";name=\"none\");created=1618884473;keyid=\"test-shared-secret\"", "signature_wrong"),
    ("\"@method\";created=1618884473;keyid=\"test-shared-secret\"", "signature_malformed"),
    ("(\"@method\");created=1618884473;keyid=\"test-shared-secret\"", "signature_wrong"),
];

#[test]
fn what_is_wrong_is_refused_exactly() {
    let signature = sign(&request(), &format!("(\"@method\" \"@path\");{KEY}"));
    for (input, reason) in REFUSED {
        assert_eq!(verdict(&plan(), &signed(request(), "s", input, &signature)), Err(*reason), "{input}");
    }
    assert_eq!(verdict(&plan(), &request()), Err("signature_missing"));
    let alone = request().field("Signature", &format!("s=:{signature}:"));
    assert_eq!(verdict(&plan(), &alone), Err("signature_malformed"));
    let input = format!("(\"@method\" \"@path\");{KEY}");
    assert_eq!(verdict(&plan(), &signed(request(), "s", &input, &signature)), Ok(()));
    let two = signed(signed(request(), "s", &input, &signature), "t", &input, &signature);
    assert_eq!(verdict(&plan(), &two), Err("signature_ambiguous"));
    let labelled = Plan { label: Some("t".into()), ..plan() };
    assert_eq!(verdict(&labelled, &two), Ok(()));
    assert_eq!(verdict(&labelled, &signed(request(), "s", &input, &signature)), Err("signature_malformed"));
    let garbage = request().field("Signature-Input", "s=(").field("Signature", "s=::");
    assert_eq!(verdict(&plan(), &garbage), Err("signature_malformed"));
    let tagged = Plan { tag: Some("app".into()), ..plan() };
    assert_eq!(verdict(&tagged, &two), Err("signature_malformed"));
    assert_eq!(verdict(&tagged, &own(request(), &format!("();{KEY};tag=\"app\""))), Ok(()));
}

#[test]
fn what_must_be_covered_is() {
    let plan = Plan { required: Box::new(["@method".into(), "@query".into()]), body_bytes_max: Some(100), ..plan() };
    let ask = |input: &str| verdict(&plan, &own(request(), &format!("({input});{KEY}")));
    assert_eq!(ask("\"@method\" \"@query\""), Err("signature_uncovered"), "the body is not");
    assert_eq!(ask("\"@method\" \"content-digest\""), Err("signature_uncovered"));
    assert_eq!(ask("\"@method\" \"@query\" \"content-digest\""), Ok(()));
    assert_eq!(ask("\"@method\" \"@query\" \"content-digest\";bs"), Err("signature_uncovered"));
    let mut other = own(request(), &format!("(\"@method\" \"@query\" \"content-digest\");{KEY}"));
    other.body = Some(b"{\"hello\": \"World\"}".to_vec());
    assert_eq!(verdict(&plan, &other), Err("signature_content"));
    let mut bare = Fixture::get("/?a");
    bare.wall = Wall(CREATED * 1_000_000);
    assert_eq!(verdict(&plan, &own(bare, &format!("(\"@method\" \"@query\");{KEY}"))), Ok(()));
}

#[test]
fn a_body_that_was_taken_away_is_missed() {
    let plan = Plan { body_bytes_max: Some(1_000), required: Box::default(), ..plan() };
    let input = format!("(\"@method\" \"content-digest\");{KEY}");
    let empty = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    let bare = |digest: &str| {
        let mut fixture = Fixture::new("POST", "/foo").field("Content-Digest", digest);
        fixture.wall = request().wall;
        own(fixture, &input)
    };
    assert_eq!(verdict(&plan, &bare(DIGEST)), Err("signature_content"));
    assert_eq!(verdict(&plan, &bare(empty)), Ok(()));
}

#[test]
fn digests_are_compared_by_good_algorithms_alone() {
    use crate::wire::signature::digest::compare;
    let body = b"{\"hello\": \"world\"}";
    const CASES: &[(&str, Agreement)] = &[
        (DIGEST, Agreement::Agrees),
        ("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", Agreement::Agrees),
        ("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, md5=:YQ==:", Agreement::Agrees),
        ("md5=:Sd/dVLAcvNLSq16eXua5uQ==:", Agreement::Unreadable),
        ("sha-256=:YQ==:", Agreement::Differs),
        ("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, sha-512=:YQ==:", Agreement::Differs),
        ("sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=", Agreement::Unreadable),
        ("sha-256=\"X\"", Agreement::Unreadable),
        ("", Agreement::Unreadable),
    ];
    for (field, expected) in CASES {
        assert_eq!(compare(field.as_bytes(), body), *expected, "{field}");
    }
}

#[test]
fn a_nonce_is_good_once() {
    let plan = Plan { nonce: NonceRule::Required, ..plan() };
    let fixture = own(request(), &format!("();{KEY};nonce=\"n-1\""));
    let mut effects = Effects::default();
    assert_eq!(asked(&plan, &fixture, Freshness::Fresh, &mut effects), Ok(()));
    assert_eq!(asked(&plan, &fixture, Freshness::Seen, &mut Effects::default()), Err("signature_replayed"));
    assert_eq!(verdict(&plan, &own(request(), &format!("();{KEY}"))), Err("signature_replayed"));
    assert_ne!(plan.nonce_of("a", "bc"), plan.nonce_of("ab", "c"));
    let left = fixture.left(&effects.to_upstream);
    assert!(!left.iter().any(|(name, _)| name.starts_with("Signature")), "it stays here");
}

#[test]
fn every_algorithm_verifies_what_another_signed() {
    let random = SystemRandom::new();
    let fixture = request();
    let rsa = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let point = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let edwards = Ed25519KeyPair::generate().unwrap();
    let by_rsa = |padding, base: &[u8]| {
        let mut out = vec![0; rsa.public_modulus_len()];
        rsa.sign(padding, &random, base, &mut out).unwrap();
        out
    };
    type Signs<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let cases: [(Algorithm, &[u8], Signs<'_>); 4] = [
        (Algorithm::RsaPssSha512, rsa.public_key().as_ref(), &|base| by_rsa(&RSA_PSS_SHA512, base)),
        (Algorithm::RsaV15Sha256, rsa.public_key().as_ref(), &|base| by_rsa(&RSA_PKCS1_SHA256, base)),
        (Algorithm::EcdsaP256Sha256, point.public_key().as_ref(), &|base| {
            point.sign(&random, base).unwrap().as_ref().to_vec()
        }),
        (Algorithm::Ed25519, edwards.public_key().as_ref(), &|base| edwards.sign(base).as_ref().to_vec()),
    ];
    for (algorithm, public, signs) in cases {
        let verifier = Verifier::public(algorithm, public).unwrap();
        let plan = Plan { keys: Box::new([Key { id: "k".into(), verifier, consumer: None }]), ..plan() };
        let input = format!("(\"@method\");created={CREATED};keyid=\"k\";alg=\"{}\"", algorithm.name());
        let base = format!("\"@method\": POST\n\"@signature-params\": {input}");
        let good = STANDARD.encode(signs(base.as_bytes()));
        assert_eq!(verdict(&plan, &signed(fixture_of(&fixture), "s", &input, &good)), Ok(()), "{algorithm:?}");
        let bad = STANDARD.encode(signs(base.replace("POST", "GET").as_bytes()));
        let refused = verdict(&plan, &signed(fixture_of(&fixture), "s", &input, &bad));
        assert_eq!(refused, Err("signature_wrong"), "{algorithm:?}");
    }
    assert!(Verifier::public(Algorithm::HmacSha256, b"x").is_none());
    assert!(Verifier::public(Algorithm::Ed25519, &[1; 31]).is_none());
}

fn fixture_of(_: &Fixture) -> Fixture {
    request()
}

proptest! {
    #[test]
    fn a_signature_of_another_request_never_passes(at in 0_usize..5, method in "GET|PUT|post", path in "/[a-z]{1,4}") {
        let input = format!("(\"@method\" \"@path\" \"@query\" \"@authority\" \"date\");{KEY}");
        let good = own(request(), &input);
        prop_assert!(verdict(&plan(), &good).is_ok());
        let signature = sign(&request(), &input);
        let other = match at {
            0 => Fixture::new(&method, "/foo?param=Value&Pet=dog"),
            1 => Fixture::new("POST", &format!("{path}?param=Value&Pet=dog")),
            2 => Fixture::new("POST", "/foo?param=Value&Pet=Dog"),
            3 => Fixture::new("POST", "/foo"),
            _ => Fixture::new("POST", "/foo?param=Value&Pet=dog"),
        };
        let date = if at == 4 { "Tue, 20 Apr 2021 02:07:56 GMT" } else { "Tue, 20 Apr 2021 02:07:55 GMT" };
        let mut other = other.field("Date", date);
        let start = other.bytes.len();
        other.bytes.extend_from_slice(b"example.com");
        other.head.authority = Span::new(start, other.bytes.len());
        other.wall = Wall(CREATED * 1_000_000);
        prop_assert!(verdict(&plan(), &signed(other, "s", &input, &signature)).is_err());
    }

    #[test]
    fn no_fields_make_it_panic(input in ".{0,40}", signature in ".{0,20}") {
        let fixture = request().field("Signature-Input", &input).field("Signature", &signature);
        prop_assert!(verdict(&plan(), &fixture).is_err());
    }
}
