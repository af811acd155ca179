// SPDX-License-Identifier: Apache-2.0
//! Tests of `webhook`.

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::base::Tick;
use crate::policy::fixture::Fixture;

/// The example of GitHub's documentation.
const GITHUB: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
const TIME: &str = "1800000000";

fn plan(form: Form) -> Plan {
    Plan {
        form,
        secrets: Box::new([(*b"an older secret").into(), (*b"It's a Secret to Everybody").into()]),
        skew: Duration::from_secs(300),
        body_bytes_max: 100,
        consumer: None,
        consumer_fields: ConsumerFields::Sent,
    }
}

fn github() -> Plan {
    plan(Form::Body((*b"x-hub-signature-256").into()))
}

fn timed() -> Plan {
    plan(Form::Timed((*b"x-signature").into(), (*b"x-timestamp").into()))
}

fn digits(text: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(HMAC_SHA256, b"It's a Secret to Everybody"), text.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn verdict(plan: &Plan, fields: &[(&str, &str)], body: &str) -> Result<(), &'static str> {
    let mut fixture = fields.iter().fold(Fixture::new("POST", "/"), |made, (name, value)| made.field(name, value));
    fixture.body = Some(body.as_bytes().to_vec());
    let facts = fixture.facts();
    let mut effects = Effects::default();
    let mut decision =
        plan.decide(&mut (), Call { facts: &facts, effects: &mut effects, memo: &mut (), now: Tick::ZERO });
    if let Decision::Ask(_) = decision {
        let call = Call { facts: &facts, effects: &mut effects, memo: &mut (), now: Tick::ZERO };
        decision = plan.resume(&mut (), call, AskOutcome::Woken);
    }
    match decision {
        Decision::Pass => Ok(()),
        Decision::Respond(response) => {
            assert_eq!(response.status, 403);
            Err(response.reason)
        }
        Decision::Ask(_) => panic!("it asks once"),
    }
}

#[test]
fn github_is_verified() {
    let ask = |value: &str, body: &str| verdict(&github(), &[("X-Hub-Signature-256", value)], body);
    assert_eq!(ask(GITHUB, "Hello, World!"), Ok(()));
    assert_eq!(ask(GITHUB, "Hello, World"), Err("webhook_wrong"));
    assert_eq!(ask(&GITHUB.to_uppercase().replace("SHA", "sha"), "Hello, World!"), Ok(()));
    for value in ["", "sha256=", &GITHUB[7..], &GITHUB[..70], &format!("{GITHUB}0"), &GITHUB.replace("sha256", "sha1")]
    {
        assert_eq!(ask(value, "Hello, World!"), Err("webhook_malformed"), "{value}");
    }
    assert_eq!(verdict(&github(), &[], "Hello, World!"), Err("webhook_missing"));
    let twice = [("X-Hub-Signature-256", GITHUB), ("x-hub-signature-256", GITHUB)];
    assert_eq!(verdict(&github(), &twice, "Hello, World!"), Err("webhook_malformed"));
}

#[test]
fn timestamps_are_signed_and_near() {
    let value = format!("sha256={}", digits("1800000000.hi"));
    let ask = |time: &str, value: &str| verdict(&timed(), &[("X-Signature", value), ("X-Timestamp", time)], "hi");
    assert_eq!(ask(TIME, &value), Ok(()));
    assert_eq!(ask("1800000001", &value), Err("webhook_wrong"));
    for (time, reason) in [
        ("1799999699", "webhook_expired"),
        ("1800000301", "webhook_expired"),
        ("+1800000000", "webhook_malformed"),
        ("18000000000000", "webhook_malformed"),
        ("", "webhook_malformed"),
    ] {
        let value = format!("sha256={}", digits(&format!("{time}.hi")));
        assert_eq!(ask(time, &value), Err(reason), "{time}");
    }
    assert_eq!(verdict(&timed(), &[("X-Signature", &value)], "hi"), Err("webhook_missing"));
}

#[test]
fn stripe_is_verified() {
    let good = digits("1800000000.hi");
    let other = "0".repeat(64);
    let cases = [
        (format!("t={TIME},v1={good}"), Ok(())),
        (format!("t={TIME}, v1={other}, v1={good}, v0={other}"), Ok(())),
        (format!("t={TIME},v0={good}"), Err("webhook_malformed")),
        (format!("v1={good}"), Err("webhook_malformed")),
        (format!("t={TIME},t={TIME},v1={good}"), Err("webhook_malformed")),
        (format!("t=1800000400,v1={good}"), Err("webhook_expired")),
        (format!("t={TIME},v1={other}"), Err("webhook_wrong")),
        (format!("t={TIME},v1=x"), Err("webhook_malformed")),
        (format!("t={TIME},{}", format!("v1={other},").repeat(9)), Err("webhook_malformed")),
    ];
    for (value, expected) in cases {
        assert_eq!(verdict(&plan(Form::Stripe), &[("Stripe-Signature", &value)], "hi"), expected, "{value}");
    }
}

proptest! {
    #[test]
    fn only_the_signed_body_passes(body in "Hello, World!|Hello,World!|[a-z]{0,4}", flip in 0_usize..64) {
        prop_assert_eq!(verdict(&github(), &[("X-Hub-Signature-256", GITHUB)], &body).is_ok(), body == "Hello, World!");
        let mut other = GITHUB.as_bytes().to_vec();
        other[7 + flip] = if other[7 + flip] == b'0' { b'1' } else { b'0' };
        let other = String::from_utf8(other).unwrap();
        prop_assert!(verdict(&github(), &[("X-Hub-Signature-256", &other)], "Hello, World!").is_err());
    }

    #[test]
    fn no_field_makes_it_panic(value in ".{0,80}") {
        prop_assert!(verdict(&plan(Form::Stripe), &[("Stripe-Signature", &value)], "x").is_err());
        prop_assert!(verdict(&github(), &[("X-Hub-Signature-256", &value)], "x").is_err());
    }
}
