// SPDX-License-Identifier: Apache-2.0
//! Hot. Requests refused by their `User-Agent`: patterns of unwanted ones, patterns of those that may come all the
//! same, and none at all.
//!
//! A client says of itself what it likes, so this keeps away those who do not hide: crawlers, scanners with their
//! default settings, scripts. All patterns are compiled into one set, which is searched once, in time that is linear
//! in the length of the field whatever it holds.

use regex::bytes::RegexSet;

use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::Shards;
use crate::policy::phase::Phase;
use crate::wire::field::Known;
use crate::wire::status::reason;
use crate::wire::template::Lookup;

/// Who may not come.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Patterns that may pass, and behind them patterns that are refused; each is found anywhere and in any case.
    pub patterns: RegexSet,
    /// How many of them may pass.
    pub allowed: usize,
    /// What becomes of requests that do not say what they are.
    pub empty: Empty,
    /// The status of a refusal, 400 to 599.
    pub status: u16,
}

/// What becomes of requests without a `User-Agent`, or with an empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// They pass.
    Allowed,
    /// They are refused.
    Denied,
}

/// The patterns as one shard searches them: with scratch memory of its own, since otherwise shards would meet at a
/// lock.
#[derive(Debug)]
pub struct Agents(RegexSet);

impl ShardState<Plan> for Agents {
    fn new(plan: &Plan, _: Shards, _: u32) -> Agents {
        Agents(plan.patterns.clone())
    }
}

impl Kind for Plan {
    type State = Agents;
    type Memo = ();

    fn phase(&self) -> Phase {
        Phase::Screen
    }

    fn decide<L: Lookup>(&self, agents: &mut Agents, call: Call<'_, L, ()>) -> Decision<'_> {
        let request = call.facts.request;
        let mut values = request.head.fields.values(request.bytes, Known::UserAgent);
        let (first, second) = (values.next().unwrap_or_default(), values.next());
        if first.trim_ascii().is_empty() {
            return match self.empty {
                Empty::Allowed if second.is_none() => Decision::Pass,
                Empty::Allowed | Empty::Denied => self.refuse("bots_empty"),
            };
        }
        // Of several, the upstream and its logs may read any.
        if second.is_some() || self.denies(agents, first) { self.refuse("bots_denied") } else { Decision::Pass }
    }
}

impl Plan {
    /// Is this one refused? What may pass goes before what may not.
    pub fn denies(&self, agents: &Agents, agent: &[u8]) -> bool {
        let mut found = agents.0.matches(agent).into_iter();
        // They come in order, so the first is one that may pass where there is such a one.
        found.next().is_some_and(|first| first >= self.allowed)
    }

    fn refuse(&self, word: &'static str) -> Decision<'_> {
        let detail = "This client is not served here.";
        let problem = Problem { kind: "", title: reason(self.status), detail, violated_policy: "" };
        Decision::Respond(LocalResponse { status: self.status, reason: word, body: LocalBody::Problem(problem) })
    }
}

/// A pattern as a user writes it: a text that is found anywhere in any case, or a regular expression behind `~`.
pub(crate) fn pattern(text: &str) -> String {
    match text.strip_prefix('~') {
        // tidy(hot): patterns are compiled when a configuration is loaded.
        Some(regex) => format!("(?i-u){regex}"),
        None => {
            // tidy(hot): patterns are compiled when a configuration is loaded.
            let escaped = regex::escape(text);
            // tidy(hot): patterns are compiled when a configuration is loaded.
            format!("(?i-u){escaped}")
        }
    }
}

/// Programs that search for weaknesses, by the names that they give themselves.
pub(crate) const SCANNERS: &[&str] = &[
    "acunetix",
    "arachni",
    "censysinspect",
    "dirbuster",
    "dirsearch",
    "expanseinc",
    "feroxbuster",
    "fimap",
    "gobuster",
    "havij",
    "internet-measurement",
    "jorgee",
    "l9explore",
    "l9tcpid",
    "masscan",
    "morfeus",
    "muieblackcat",
    "nessus",
    "netsparker",
    "nikto",
    "nmap",
    "nuclei",
    "openvas",
    "sqlmap",
    "w3af",
    "wfuzz",
    "whatweb",
    "wpscan",
    "zgrab",
    "zmeu",
];

/// Crawlers that collect texts for language models, by the names that their owners publish.
pub(crate) const AI_CRAWLERS: &[&str] = &[
    "ai2bot",
    "amazonbot",
    "anthropic-ai",
    "applebot-extended",
    "bytespider",
    "ccbot",
    "chatgpt-user",
    "claude-web",
    "claudebot",
    "cohere-ai",
    "diffbot",
    "facebookbot",
    "google-extended",
    "gptbot",
    "imagesiftbot",
    "meta-externalagent",
    "oai-searchbot",
    "omgili",
    "perplexitybot",
    "timpibot",
    "youbot",
];

/// Libraries and programs for scripts, where a client has not named itself.
pub(crate) const SCRIPTS: &[&str] = &[
    "aiohttp",
    "apache-httpclient",
    "axios",
    "curl",
    "go-http-client",
    "got (",
    "guzzlehttp",
    "httpie",
    "java/",
    "libwww-perl",
    "mechanize",
    "node-fetch",
    "okhttp",
    "phantomjs",
    "python-requests",
    "python-urllib",
    "scrapy",
    "undici",
    "wget",
    "winhttp",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Tick;
    use crate::policy::facts::Effects;
    use crate::policy::fixture::Fixture;

    fn plan(allow: &[&str], deny: &[&str]) -> Plan {
        let patterns = allow.iter().chain(deny).map(|text| pattern(text));
        Plan { patterns: RegexSet::new(patterns).unwrap(), allowed: allow.len(), empty: Empty::Denied, status: 403 }
    }

    fn refused(plan: &Plan, request: &Fixture) -> Option<&'static str> {
        let facts = request.facts();
        let call = Call { facts: &facts, effects: &mut Effects::default(), memo: &mut (), now: Tick::ZERO };
        match plan.decide(&mut Agents(plan.patterns.clone()), call) {
            Decision::Pass => None,
            Decision::Respond(response) => Some(response.reason),
            Decision::Ask(_) => panic!("it never asks"),
        }
    }

    fn agent(text: &str) -> Fixture {
        Fixture::get("/").field("User-Agent", text)
    }

    #[test]
    fn what_is_named_is_refused_and_exceptions_pass() {
        let plan = plan(&["goodbot", "~^curl/8\\."], &["bot", "~curl/\\d", "a.b"]);
        for passes in ["Mozilla/5.0", "GoodBot/1.0 (a bot)", "curl/8.5.0", "axb"] {
            assert_eq!(refused(&plan, &agent(passes)), None, "{passes}");
        }
        for denied in ["EvilBot", "BOT", "x curl/8.5.0", "curl/7.1", "A.B", "Mozilla é bot"] {
            assert_eq!(refused(&plan, &agent(denied)), Some("bots_denied"), "{denied}");
        }
        let two = agent("Mozilla/5.0").field("user-agent", "Mozilla/5.0");
        assert_eq!(refused(&plan, &two), Some("bots_denied"), "who says two things is not believed");
    }

    #[test]
    fn who_says_nothing_is_refused_or_not() {
        let plan = plan(&[], &["bot"]);
        for nothing in [Fixture::get("/"), agent(""), agent(" \t")] {
            assert_eq!(refused(&plan, &nothing), Some("bots_empty"));
            assert_eq!(refused(&Plan { empty: Empty::Allowed, ..plan.clone() }, &nothing), None);
        }
        let hidden = agent("").field("User-Agent", "EvilBot");
        assert!(refused(&Plan { empty: Empty::Allowed, ..plan }, &hidden).is_some());
    }

    #[test]
    fn lists_are_in_lower_case_in_order_and_hit_no_browser() {
        let browsers = [
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)",
        ];
        for list in [SCANNERS, AI_CRAWLERS, SCRIPTS] {
            assert!(list.is_sorted() && list.iter().all(|name| *name == name.to_ascii_lowercase()));
            let plan = plan(&[], list);
            assert!(browsers.iter().all(|browser| refused(&plan, &agent(browser)).is_none()));
        }
        let denied = |list: &[&str], text: &str| refused(&plan(&[], list), &agent(text)).is_some();
        assert!(denied(SCANNERS, "sqlmap/1.8#stable (https://sqlmap.org)"));
        assert!(denied(AI_CRAWLERS, "Mozilla/5.0 AppleWebKit/537.36; compatible; GPTBot/1.2"));
    }
}
