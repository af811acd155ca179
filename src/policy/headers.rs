// SPDX-License-Identifier: Apache-2.0
//! Hot. Request and response fields added, set, removed, renamed; see `wire::change`.

use crate::policy::decision::Decision;
use crate::policy::facts::{Effects, Response};
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::wire::change::{self, Change, Received};
use crate::wire::template::{Lookup, Template};

/// Changes to fields, each list in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// On the way to the upstream.
    pub request: Box<[Change]>,
    /// On the way to the client, also for answers of the gateway.
    pub response: Box<[Change]>,
}

impl Kind for Plan {
    type State = ();
    type Memo = ();

    fn phase(&self) -> Phase {
        Phase::Shape
    }

    fn protects(&self) -> bool {
        false
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, ()>) -> Decision<'_> {
        let Call { facts, effects, .. } = call;
        let Effects { to_upstream, scratch, .. } = effects;
        let received = Received { fields: &facts.request.head.fields, bytes: facts.request.bytes };
        change::apply(&self.request, received, facts.words, to_upstream, scratch);
        Decision::Pass
    }

    fn needs_route(&self) -> Option<&'static str> {
        let names = |change: &Change| change.template().is_some_and(Template::names_route);
        self.request.iter().any(names).then_some("`{route}` in `request`")
    }

    fn adapt<L: Lookup>(&self, (): &mut (), response: Response<'_>, words: &L, effects: &mut Effects) {
        let Effects { to_client, scratch, .. } = effects;
        let received = Received { fields: &response.head.fields, bytes: response.bytes };
        change::apply(&self.response, received, words, to_client, scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{Fixture, NamedValues, ResponseFixture, added, decide};

    fn value(text: &str) -> Template {
        Template::compile(text, &[]).unwrap()
    }

    #[test]
    fn requests_change() {
        let plan = Plan {
            request: Box::new([
                Change::Rename("x-old".into(), "X-New".into()),
                Change::Set("X-Who".into(), value("ip {client.ip}")),
                Change::Add("X-Evil".into(), value("{header.X-Bad}")),
            ]),
            response: Box::default(),
        };
        let fixture = Fixture::get("/").field("X-Old", "1").field("x-who", "forged");
        let mut effects = Effects::default();
        assert_eq!(decide(&plan, &fixture.facts(), &mut effects), Decision::Pass);
        assert!(fixture.left(&effects.to_upstream).is_empty());
        let expected = [("X-New", "1"), ("X-Who", "ip 192.0.2.1")];
        assert_eq!(added(&effects.to_upstream), expected, "no line is ever added by a value");
        assert!(added(&effects.to_client).is_empty());
    }

    #[test]
    fn responses_change_too() {
        let plan = Plan {
            request: Box::default(),
            response: Box::new([
                Change::Set("Server".into(), value("ours")),
                Change::Add("X-Status".into(), value("{status}")),
            ]),
        };
        let reply = ResponseFixture::new(200).field("server", "theirs").field("Date", "today");
        let mut effects = Effects::default();
        plan.adapt(&mut (), reply.response(), &NamedValues, &mut effects);
        assert_eq!(reply.left(&effects.to_client), [("Date".to_owned(), "today".to_owned())]);
        assert_eq!(added(&effects.to_client), [("Server", "ours"), ("X-Status", "200")]);
    }
}
