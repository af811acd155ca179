// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.bots]`.

use std::sync::Arc;
use std::time::Duration;

use regex::bytes::{RegexBuilder, RegexSetBuilder};

use crate::base::limits::REGEX_PROGRAM_BYTES_MAX;
use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::bots::{BotList, Spec, UnknownBot};
use crate::config::spec::shape::Many;
use crate::policy::bots::{AI_CRAWLERS, Empty, Good, KNOWN_BOTS, Plan, SCANNERS, SCRIPTS, Unknown, pattern};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let Spec { deny, allow, lists, deny_empty, verify, good, unknown: _, wait: _, status } = &spec.value;
    if deny.is_empty() && lists.is_empty() && verify.is_empty() && good.is_empty() && !deny_empty {
        let title = "`deny`, `lists`, `verify`, `good` or `deny_empty` is missing: nobody would be refused";
        let report = Report::error(spec.location, title);
        compiler.absent(spec.location, report);
    }
    if !(400..=599).contains(&status.value) {
        compiler.error(status.location, "a refusal's status is 400 to 599");
    }
    let mut patterns = compiler.agents(allow)?;
    let allowed = patterns.len();
    patterns.extend(compiler.agents(deny)?);
    for list in lists.iter() {
        let names = match list {
            BotList::Scanners => SCANNERS,
            BotList::AiCrawlers => AI_CRAWLERS,
            BotList::Scripts => SCRIPTS,
        };
        patterns.extend(names.iter().map(|name| pattern(name)));
    }
    let set = match RegexSetBuilder::new(patterns).size_limit(REGEX_PROGRAM_BYTES_MAX).build() {
        Ok(set) => set,
        Err(_) => {
            compiler.error(spec.location, "all patterns together are too large");
            return None;
        }
    };
    let empty = if *deny_empty { Empty::Denied } else { Empty::Allowed };
    let good = compiler.good_bots(&spec.value)?;
    Some(Plan { patterns: set, allowed, empty, status: status.value, good })
}

/// Bounds of the time that a request waits for DNS.
const WAIT: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(10);

impl Compiler<'_> {
    /// Bots that are verified; the outer `None` where one is reported.
    fn good_bots(&mut self, spec: &Spec) -> Option<Option<Good>> {
        let Spec { verify, good, unknown, wait, .. } = spec;
        if !WAIT.contains(&wait.value.0) {
            self.error(wait.location, "a request waits for DNS for 100 ms to 10 s");
        }
        if verify.is_empty() && good.is_empty() {
            return Some(None);
        }
        let (mut patterns, mut owners) = (Vec::new(), Vec::new());
        for wanted in verify.iter() {
            let known = KNOWN_BOTS.iter().filter(|bot| bot.name == wanted.word());
            for (agent, bot) in known.flat_map(|bot| bot.agents.iter().map(move |agent| (agent, bot))) {
                patterns.push(pattern(agent));
                owners.push(bot.domains.iter().map(|domain| Box::from(*domain)).collect());
            }
        }
        for Located { value: bot, location } in good.iter() {
            let domains: Option<Arc<[Box<str>]>> = bot.domains.iter().map(|domain| domain_of(domain)).collect();
            let domains = domains.filter(|domains| !domains.is_empty());
            let Some(domains) = domains else {
                self.error(*location, "`domains` names the bot's domains, each of two labels at least");
                return None;
            };
            let agent = Many(vec![Located { value: bot.agent.clone(), location: *location }]);
            patterns.extend(self.agents(&agent)?);
            owners.push(domains);
        }
        let set = RegexSetBuilder::new(patterns).size_limit(REGEX_PROGRAM_BYTES_MAX).build();
        let Ok(agents) = set else {
            self.error(wait.location, "all patterns together are too large");
            return None;
        };
        let unknown = match unknown {
            UnknownBot::Refuse => Unknown::Refused,
            UnknownBot::Judge => Unknown::Judged,
        };
        Some(Some(Good { agents, domains: owners.into(), wait: wait.value.0, unknown }))
    }

    /// Patterns of user agents; `None` where one is reported.
    fn agents(&mut self, texts: &Many<Located<String>>) -> Option<Vec<String>> {
        let mut good = Some(Vec::new());
        for text in texts.iter() {
            let pattern = pattern(&text.value);
            let fault = match RegexBuilder::new(&pattern).size_limit(REGEX_PROGRAM_BYTES_MAX).build() {
                Ok(regex) if regex.is_match(b"") => "it fits no text at all, too; \"~.\" fits every client".to_owned(),
                Ok(_) => {
                    good = good.map(|mut list: Vec<String>| {
                        list.push(pattern);
                        list
                    });
                    continue;
                }
                Err(fault) => fault.to_string(),
            };
            self.faults.push(Report::error(text.location, "not a pattern for user agents").help(fault));
            good = None;
        }
        good
    }
}

/// A domain in lower case, where it is one below a top-level domain.
fn domain_of(text: &str) -> Option<Box<str>> {
    let text = text.trim_start_matches('.').to_ascii_lowercase();
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (text.contains('.') && text.len() <= 253 && text.split('.').all(label)).then(|| text.into())
}
