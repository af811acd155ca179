// SPDX-License-Identifier: Apache-2.0
//! Hot. Bodies of requests in JSON and XML: well formed, and no deeper, longer or more than allowed, so that no parser
//! behind the gateway is made to work or to remember more than it should.
//!
//! Here only the head is read. The edge passes the body through the scanner that `scanner` makes (`wire/inspect`).
//! A body with a content coding is refused, because nobody has looked into it.

use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::wire::coding::MediaRanges;
use crate::wire::field::Known;
use crate::wire::head::{BodyLength, Request};
use crate::wire::inspect::{Bounds, JsonScanner, Scanner, XmlScanner};
use crate::wire::status::reason;
use crate::wire::template::Lookup;

/// What bodies may be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Bodies of these types are JSON.
    pub json: MediaRanges,
    /// Bodies of these types are XML.
    pub xml: MediaRanges,
    /// What they may be.
    pub bounds: Bounds,
    /// So much of a body is read and looked at before the upstream gets any of it.
    pub held_bytes: usize,
}

/// What a body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Neither, or there is none.
    #[default]
    Other,
    /// JSON.
    Json,
    /// XML.
    Xml,
}

impl Kind for Plan {
    type State = ();
    type Memo = Form;

    /// Behind all that could refuse the request by its head.
    fn phase(&self) -> Phase {
        Phase::Admit
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, Form>) -> Decision<'_> {
        let request = call.facts.request;
        if request.head.body == BodyLength::None {
            return Decision::Pass;
        }
        let mut types = request.head.fields.values(request.bytes, Known::ContentType);
        let form = self.form(types.next().unwrap_or_default());
        // Of several types, the upstream may take any.
        if types.any(|other| self.form(other) != form) {
            return refuse("body_bounds_type", "The body has more than one type.");
        }
        if form != Form::Other && is_coded(request) {
            call.effects.to_client.add(b"Accept-Encoding", b"identity");
            return refuse("body_bounds_coding", "The body must be sent without a content coding.");
        }
        *call.memo = form;
        Decision::Pass
    }

    fn needs_route(&self) -> Option<&'static str> {
        Some("`body_bounds`")
    }

    fn scans(&self) -> Option<usize> {
        Some(self.held_bytes)
    }

    fn scanner(&self, form: &Form) -> Option<Scanner> {
        match form {
            Form::Other => None,
            Form::Json => Some(Scanner::Json(JsonScanner::new(self.bounds))),
            Form::Xml => Some(Scanner::Xml(XmlScanner::new(self.bounds))),
        }
    }
}

impl Plan {
    fn form(&self, content_type: &[u8]) -> Form {
        if self.json.hold(content_type) {
            Form::Json
        } else if self.xml.hold(content_type) {
            Form::Xml
        } else {
            Form::Other
        }
    }
}

fn is_coded(request: Request<'_>) -> bool {
    let codings = request.head.fields.values(request.bytes, Known::ContentEncoding);
    let mut codings = codings.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    codings.any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

fn refuse<'p>(word: &'static str, detail: &'static str) -> Decision<'p> {
    let problem = Problem { kind: "", title: reason(415), detail, violated_policy: "" };
    Decision::Respond(LocalResponse { status: 415, reason: word, body: LocalBody::Problem(problem) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Tick;
    use crate::policy::facts::Effects;
    use crate::policy::fixture::Fixture;
    use crate::wire::coding::MediaRange;
    use crate::wire::inspect::Offence;

    fn plan() -> Plan {
        let ranges =
            |list: &[&str]| MediaRanges::new(list.iter().map(|text| MediaRange::parse(text).unwrap()).collect());
        let bounds =
            Bounds { depth: 1, members: 9, items: 9, values: 9, name_bytes: 9, text_bytes: 9, number_bytes: 9 };
        Plan {
            json: ranges(&["application/json", "application/*+json"]),
            xml: ranges(&["text/xml"]),
            bounds,
            held_bytes: 100,
        }
    }

    /// What the body of a request with these fields is, or the reason of a refusal.
    fn form(body: BodyLength, fields: &[(&str, &str)]) -> Result<Form, &'static str> {
        let start = Fixture::new("POST", "/");
        let mut request = fields.iter().fold(start, |request, (name, value)| request.field(name, value));
        request.head.body = body;
        let (facts, mut memo) = (request.facts(), Form::default());
        let call = Call { facts: &facts, effects: &mut Effects::default(), memo: &mut memo, now: Tick::ZERO };
        match plan().decide(&mut (), call) {
            Decision::Pass => Ok(memo),
            Decision::Respond(response) => Err(response.reason),
            Decision::Ask(_) => panic!("it never asks"),
        }
    }

    #[test]
    fn the_type_says_what_a_body_is() {
        let typed = |content_type| form(BodyLength::Chunked, &[("Content-Type", content_type)]);
        for (content_type, expected) in [
            ("application/json", Form::Json),
            ("Application/Problem+JSON; charset=utf-8", Form::Json),
            ("text/xml", Form::Xml),
            ("text/plain", Form::Other),
            ("", Form::Other),
        ] {
            assert_eq!(typed(content_type), Ok(expected), "{content_type}");
        }
        assert_eq!(form(BodyLength::None, &[("Content-Type", "text/xml")]), Ok(Form::Other));
    }

    #[test]
    fn what_hides_a_body_is_refused() {
        let json = ("Content-Type", "application/json");
        for coding in ["gzip", "identity, br", "GZIP"] {
            let coded = form(BodyLength::Exact(1), &[json, ("Content-Encoding", coding)]);
            assert_eq!(coded, Err("body_bounds_coding"), "{coding}");
        }
        assert_eq!(form(BodyLength::Exact(1), &[json, ("Content-Encoding", "identity")]), Ok(Form::Json));
        assert_eq!(form(BodyLength::Exact(1), &[json, ("content-type", "text/plain")]), Err("body_bounds_type"));
        assert_eq!(form(BodyLength::Exact(1), &[("Content-Encoding", "gzip")]), Ok(Form::Other));
    }

    #[test]
    fn a_body_gets_the_scanner_of_its_form() {
        let offence = |form: Form, body: &[u8]| plan().scanner(&form).unwrap().push(body).err();
        assert_eq!(offence(Form::Json, b"<a/>"), Some(Offence::Json));
        assert_eq!(offence(Form::Xml, b"[]"), Some(Offence::Xml));
        assert!(plan().scanner(&Form::Other).is_none());
    }
}
