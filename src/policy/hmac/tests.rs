// SPDX-License-Identifier: Apache-2.0
//! Tests of `hmac`.

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::base::Tick;
use crate::policy::fixture::{Fixture, added};

const SECRET: &[u8] = b"a secret of at least 32 bytes ...";
const DATE_SENT: &str = "Fri, 15 Jan 2027 08:00:00 GMT";

fn plan() -> Plan {
    Plan {
        secrets: Box::new([Secret { name: "alice".into(), secret: SECRET.into(), consumer: None }]),
        stored: Stored::Ignored,
        algorithms: Box::new([Algorithm::Sha256, Algorithm::Sha512]),
        required: Box::default(),
        skew: Duration::from_secs(300),
        body_bytes_max: None,
        credential: Hiding::Removed,
        consumer_fields: ConsumerFields::Sent,
        anonymous: None,
        challenge: (*b"hmac realm=\"api\"").into(),
    }
}

fn request(method: &str, target: &str) -> Fixture {
    Fixture::new(method, target).field("Date", DATE_SENT).field("X-A", "1")
}

/// The base64 of an HMAC of a text.
fn tag(algorithm: Algorithm, text: &str) -> String {
    STANDARD.encode(hmac::sign(&hmac::Key::new(algorithm.hash(), SECRET), text.as_bytes()))
}

fn header(algorithm: &str, signed: &str, tag: &str) -> String {
    format!("hmac username=\"alice\", algorithm=\"{algorithm}\", headers=\"{signed}\", signature=\"{tag}\"")
}

fn asked(plan: &Plan, fixture: &Fixture, effects: &mut Effects) -> Result<(), &'static str> {
    let (facts, mut memo) = (fixture.facts(), Memo::default());
    let mut decision = plan.decide(&mut (), Call { facts: &facts, effects, memo: &mut memo, now: Tick::ZERO });
    if let Decision::Ask(Ask::Body { .. }) = decision {
        let call = Call { facts: &facts, effects, memo: &mut memo, now: Tick::ZERO };
        decision = plan.resume(&mut (), call, AskOutcome::Woken);
    }
    match decision {
        Decision::Pass => Ok(()),
        Decision::Respond(response) => {
            assert_eq!(response.status, 401);
            assert_eq!(added(&effects.to_client), [("WWW-Authenticate", "hmac realm=\"api\"")]);
            Err(response.reason)
        }
        Decision::Ask(_) => panic!("it asks once"),
    }
}

fn verdict(plan: &Plan, fixture: &Fixture) -> Result<(), &'static str> {
    asked(plan, fixture, &mut Effects::default())
}

fn text() -> String {
    format!("date: {DATE_SENT}\n@request-target: post /a?b=c\nx-a: 1")
}

const SIGNED: &str = "date @request-target x-a";

#[test]
fn what_kong_takes_is_taken() {
    let (plan, text) = (plan(), text());
    for (algorithm, name) in [(Algorithm::Sha256, "hmac-sha256"), (Algorithm::Sha512, "hmac-sha512")] {
        let fixture = request("POST", "/a?b=c").field("Authorization", &header(name, SIGNED, &tag(algorithm, &text)));
        let mut effects = Effects::default();
        assert_eq!(asked(&plan, &fixture, &mut effects), Ok(()), "{name}");
        assert!(!fixture.left(&effects.to_upstream).iter().any(|(name, _)| name == "Authorization"));
    }
    let line = format!("GET /a?b=c HTTP/1.1\nx-date: {DATE_SENT}");
    let field = header("hmac-sha256", "request-line X-Date", &tag(Algorithm::Sha256, &line));
    let fixture = Fixture::get("/a?b=c").field("X-Date", DATE_SENT).field("Authorization", &field);
    assert_eq!(verdict(&plan, &fixture), Ok(()));
    let spaced = field.replace("hmac ", "HMAC  ").replace(", ", " , ");
    let fixture = Fixture::get("/a?b=c").field("X-Date", DATE_SENT).field("Authorization", &spaced);
    assert_eq!(verdict(&plan, &fixture), Ok(()));
}

/// What stands in `Authorization`, where `TAG` is a good signature of the text above; and what comes of it.
const CASES: &[(&str, Result<(), &str>)] = &[
    (
        "hmac username=\"alice\", algorithm=\"hmac-sha256\", headers=\"date @request-target x-a\", signature=\"TAG\"",
        Ok(()),
    ),
    ("Basic YTpi", Err("hmac_missing")),
    ("hmac", Err("hmac_missing")),
    ("hmac ", Err("hmac_malformed")),
    ("hmac username=\"alice\"", Err("hmac_malformed")),
    (
        "hmac username=\"bob\", algorithm=\"hmac-sha256\", headers=\"date @request-target x-a\", signature=\"TAG\"",
        Err("hmac_wrong"),
    ),
    (
        "hmac username=\"alice\", username=\"alice\", algorithm=\"hmac-sha256\", headers=\"date @request-target x-a\", \
         signature=\"TAG\"",
        Err("hmac_malformed"),
    ),
    (
        "hmac username=\"alice\", algorithm=\"hmac-sha1\", headers=\"date @request-target x-a\", signature=\"TAG\"",
        Err("hmac_algorithm"),
    ),
    (
        "hmac username=\"alice\", algorithm=\"none\", headers=\"date @request-target x-a\", signature=\"TAG\"",
        Err("hmac_algorithm"),
    ),
    (
        "hmac username=\"alice\", algorithm=\"hmac-sha512\", headers=\"date @request-target x-a\", signature=\"TAG\"",
        Err("hmac_wrong"),
    ),
    (
        "hmac username=\"alice\", algorithm=\"hmac-sha256\", headers=\"date x-a\", signature=\"TAG\"",
        Err("hmac_uncovered"),
    ),
    (
        "hmac username=\"alice\", algorithm=\"hmac-sha256\", headers=\"@request-target x-a\", signature=\"TAG\"",
        Err("hmac_date"),
    ),
    ("hmac username=\"alice\", algorithm=\"hmac-sha256\", headers=\"\", signature=\"TAG\"", Err("hmac_malformed")),
    (
        "hmac username=\"alice\", algorithm=\"hmac-sha256\", headers=\"date date @request-target\", signature=\"TAG\"",
        Err("hmac_malformed"),
    ),
    (
        "hmac username=\"alice\", algorithm=\"hmac-sha256\", headers=\"date @request-target x-none\", \
         signature=\"TAG\"",
        Err("hmac_wrong"),
    ),
    (
        "hmac username=\"alice\", algorithm=\"hmac-sha256\", headers=\"x-a date @request-target\", signature=\"TAG\"",
        Err("hmac_wrong"),
    ),
    (
        "hmac username=\"alice\", algorithm=\"hmac-sha256\", headers=\"date @request-target x-a\", signature=\"!\"",
        Err("hmac_malformed"),
    ),
    (
        "hmac username=\"alice\", algorithm=\"hmac-sha256\", headers=\"date @request-target x-a\", signature=\"TAG\" x",
        Err("hmac_malformed"),
    ),
    (
        "hmac username=\"alice\", algorithm=\"hmac-sha256\", headers=\"date @request-target x-a\", signature=\"TAG\", \
         extra=\"1\"",
        Err("hmac_malformed"),
    ),
];

#[test]
fn everything_else_is_refused() {
    let (plan, good) = (plan(), tag(Algorithm::Sha256, &text()));
    for (field, expected) in CASES {
        let fixture = request("POST", "/a?b=c").field("Authorization", &field.replace("TAG", &good));
        assert_eq!(verdict(&plan, &fixture), *expected, "{field}");
    }
    let field = header("hmac-sha256", SIGNED, &good);
    assert_eq!(verdict(&plan, &request("POST", "/a?b=c")), Err("hmac_missing"));
    let twice = request("POST", "/a?b=c").field("Authorization", &field).field("Authorization", &field);
    assert_eq!(verdict(&plan, &twice), Err("hmac_ambiguous"));
    let two_lines = request("POST", "/a?b=c").field("x-a", "1").field("Authorization", &field);
    assert_eq!(verdict(&plan, &two_lines), Err("hmac_ambiguous"));
    let newer = request("POST", "/a?b=c").field("X-Date", DATE_SENT).field("Authorization", &field);
    assert_eq!(verdict(&plan, &newer), Err("hmac_date"), "what judges must be signed");
    for seconds in [-301_i64, 301] {
        let mut late = request("POST", "/a?b=c").field("Authorization", &field);
        late.wall = Wall(late.wall.0.wrapping_add_signed(seconds * 1_000_000));
        assert_eq!(verdict(&plan, &late), Err("hmac_date"));
    }
    let required = Plan { required: Box::new(["x-b".into()]), ..plan };
    let fixture = request("POST", "/a?b=c").field("Authorization", &field);
    assert_eq!(verdict(&required, &fixture), Err("hmac_uncovered"));
}

#[test]
fn bodies_have_the_digest_that_was_signed() {
    let plan = Plan { body_bytes_max: Some(100), ..plan() };
    let digest = format!("SHA-256={}", STANDARD.encode(Sha256::digest(b"hello")));
    let signed_digest = format!("{}\ndigest: {digest}", text());
    let with = |signed: &str, text: &str, body: &[u8]| {
        let field = header("hmac-sha256", signed, &tag(Algorithm::Sha256, text));
        let mut fixture = request("POST", "/a?b=c").field("Digest", &digest).field("Authorization", &field);
        fixture.head.body = BodyLength::Chunked;
        fixture.body = Some(body.to_vec());
        verdict(&plan, &fixture)
    };
    let signed = format!("{SIGNED} digest");
    assert_eq!(with(&signed, &signed_digest, b"hello"), Ok(()));
    assert_eq!(with(&signed, &signed_digest, b"hellO"), Err("hmac_content"));
    assert_eq!(with(SIGNED, &text(), b"hello"), Err("hmac_uncovered"));
    // Without its body it is another request.
    let empty = format!("SHA-256={}", STANDARD.encode(Sha256::digest(b"")));
    for (digest, expected) in [(&digest, Err("hmac_content")), (&empty, Ok(()))] {
        let signed_digest = format!("{}\ndigest: {digest}", text());
        let field = header("hmac-sha256", &signed, &tag(Algorithm::Sha256, &signed_digest));
        let fixture = request("POST", "/a?b=c").field("Digest", digest).field("Authorization", &field);
        assert_eq!(verdict(&plan, &fixture), expected, "{digest}");
    }
}

proptest! {
    #[test]
    fn a_signature_of_another_request_never_passes(
        method in "POST|PUT|post",
        target in "/[ab](\\?[bc]=[cd])?",
        a in "[12]",
    ) {
        let field = header("hmac-sha256", SIGNED, &tag(Algorithm::Sha256, &text()));
        let fixture = Fixture::new(&method, &target).field("Date", DATE_SENT).field("X-A", &a);
        let same = method.eq_ignore_ascii_case("post") && target == "/a?b=c" && a == "1";
        prop_assert_eq!(verdict(&plan(), &fixture.field("Authorization", &field)).is_ok(), same);
    }

    #[test]
    fn no_field_makes_it_panic(value in "(hmac )?.{0,60}") {
        prop_assert!(verdict(&plan(), &request("POST", "/a").field("Authorization", &value)).is_err());
    }
}
