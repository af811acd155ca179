// SPDX-License-Identifier: Apache-2.0
//! Hot. Requests refused by their `User-Agent`: patterns of unwanted ones, patterns of those that may come all the
//! same, and none at all.
//!
//! A client says of itself what it likes, so this keeps away those who do not hide: crawlers, scanners with their
//! default settings, scripts. All patterns are compiled into one set, which is searched once, in time that is linear
//! in the length of the field whatever it holds.
//!
//! Of a good bot the owner is known, so a client that calls itself one is asked for more than its word: its address
//! must have a name in a domain of the owner, and that name must have the address. Where nobody can say (DNS fails,
//! or too many questions are open), `unknown` says what becomes of it.

mod good;

use std::sync::Arc;
use std::time::Duration;

use regex::bytes::RegexSet;

use crate::base::Tick;
use crate::policy::bots::good::Claims;
use crate::policy::decision::{Ask, AskOutcome, Decision, LocalBody, LocalResponse, Problem};
use crate::policy::kind::{Call, Kind, ShardState};
use crate::policy::limit::Shards;
use crate::policy::phase::Phase;
use crate::policy::question::{Answer, Belonging, Question};
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
    /// Bots that pass where they are what they say; `None` where nobody is looked at.
    pub good: Option<Good>,
}

/// Bots that pass where they are what they say.
#[derive(Clone, Debug)]
pub struct Good {
    /// What they call themselves: patterns, as above.
    pub agents: RegexSet,
    /// The domains of the owner of each, in lower case.
    pub domains: Box<[Arc<[Box<str>]>]>,
    /// How long a request waits for DNS.
    pub wait: Duration,
    /// What becomes of those of whom nobody can say it.
    pub unknown: Unknown,
}

/// What becomes of a client that calls itself a good bot where nobody can say whether it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It is refused for now (503).
    Refused,
    /// It is treated as any other client.
    Judged,
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
pub struct Agents {
    patterns: RegexSet,
    good: Option<(RegexSet, Claims)>,
}

impl ShardState<Plan> for Agents {
    fn new(plan: &Plan, _: Shards, _: u32) -> Agents {
        let good = plan.good.as_ref().map(|good| (good.agents.clone(), Claims::new()));
        Agents { patterns: plan.patterns.clone(), good }
    }

    fn next_question(&mut self) -> Option<(u64, Question)> {
        self.good.as_mut().and_then(|(_, claims)| claims.next_question())
    }

    fn receive(&mut self, key: u64, answer: Answer, now: Tick) {
        if let Some((_, claims)) = &mut self.good {
            claims.receive(key, &answer, now);
        }
    }
}

/// How often a request may be sent to DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    First,
    Last,
}

impl Kind for Plan {
    type State = Agents;
    type Memo = ();

    fn phase(&self) -> Phase {
        Phase::Screen
    }

    fn decide<L: Lookup>(&self, agents: &mut Agents, call: Call<'_, L, ()>) -> Decision<'_> {
        self.judge(agents, call, Turn::First)
    }

    fn resume<L: Lookup>(&self, agents: &mut Agents, call: Call<'_, L, ()>, _: AskOutcome<'_>) -> Decision<'_> {
        self.judge(agents, call, Turn::Last)
    }
}

impl Plan {
    fn judge<L: Lookup>(&self, agents: &mut Agents, call: Call<'_, L, ()>, turn: Turn) -> Decision<'_> {
        let request = call.facts.request;
        let mut values = request.head.fields.values(request.bytes, Known::UserAgent);
        let (first, second) = (values.next().unwrap_or_default(), values.next());
        if first.trim_ascii().is_empty() {
            return match self.empty {
                Empty::Allowed if second.is_none() => Decision::Pass,
                Empty::Allowed | Empty::Denied => self.refuse("bots_empty"),
            };
        }
        if second.is_none()
            && let (Some(good), Some((patterns, claims))) = (&self.good, &mut agents.good)
            && let Some(bot) = patterns.matches(first).into_iter().next()
        {
            let (address, bot_number) = (call.facts.client, bot as u16);
            match claims.find(address, bot_number, call.now) {
                Some(Belonging::Confirmed) => return Decision::Pass,
                Some(Belonging::Denied) => return self.refuse("bots_impostor"),
                None => {}
            }
            let until = call.now.after(good.wait);
            let times = (call.now, until);
            if turn == Turn::First
                && let Some(key) = claims.ask((address, bot_number), &good.domains[bot], times)
            {
                return Decision::Ask(Ask::Control { key, until });
            }
            if good.unknown == Unknown::Refused {
                call.effects.to_client.add(b"Retry-After", RETRY);
                return unverified();
            }
        }
        // Of several, the upstream and its logs may read any.
        if second.is_some() || self.denies(agents, first) { self.refuse("bots_denied") } else { Decision::Pass }
    }

    /// Is this one refused? What may pass goes before what may not.
    pub fn denies(&self, agents: &Agents, agent: &[u8]) -> bool {
        let mut found = agents.patterns.matches(agent).into_iter();
        // They come in order, so the first is one that may pass where there is such a one.
        found.next().is_some_and(|first| first >= self.allowed)
    }

    fn refuse(&self, word: &'static str) -> Decision<'_> {
        let detail = "This client is not served here.";
        let problem = Problem { kind: "", title: reason(self.status), detail, violated_policy: "" };
        Decision::Respond(LocalResponse { status: self.status, reason: word, body: LocalBody::Problem(problem) })
    }
}

/// When a bot may come again that could not be verified, in seconds.
const RETRY: &[u8] = b"30";

fn unverified() -> Decision<'static> {
    let detail = "Whether this client is the bot that it says it is cannot be verified now.";
    let problem = Problem { kind: "", title: reason(503), detail, violated_policy: "" };
    Decision::Respond(LocalResponse { status: 503, reason: "bots_unverified", body: LocalBody::Problem(problem) })
}

/// A bot whose owner publishes how to verify it: its name here, what it calls itself, the owner's domains.
pub(crate) struct KnownBot {
    /// Its name in a configuration.
    pub name: &'static str,
    /// Texts that stand in its `User-Agent`, in any case.
    pub agents: &'static [&'static str],
    /// Domains in which its addresses have names.
    pub domains: &'static [&'static str],
}

/// Bots whose owners publish how to verify them by DNS.
pub(crate) const KNOWN_BOTS: &[KnownBot] = &[
    KnownBot { name: "apple", agents: &["applebot"], domains: &["applebot.apple.com"] },
    KnownBot { name: "baidu", agents: &["baiduspider"], domains: &["baidu.com", "baidu.jp"] },
    KnownBot { name: "bing", agents: &["bingbot", "adidxbot", "bingpreview"], domains: &["search.msn.com"] },
    KnownBot {
        name: "google",
        agents: &["googlebot", "adsbot-google", "mediapartners-google", "google-inspectiontool", "storebot-google"],
        domains: &["google.com", "googlebot.com", "googleusercontent.com"],
    },
    KnownBot { name: "petal", agents: &["petalbot"], domains: &["petalsearch.com"] },
    KnownBot { name: "seznam", agents: &["seznambot"], domains: &["seznam.cz"] },
    KnownBot { name: "yahoo", agents: &["slurp"], domains: &["crawl.yahoo.net"] },
    KnownBot { name: "yandex", agents: &["yandexbot"], domains: &["yandex.com", "yandex.net", "yandex.ru"] },
];

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
mod tests;
