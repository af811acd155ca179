// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.bots]`.

use regex::bytes::{RegexBuilder, RegexSetBuilder};

use crate::base::limits::REGEX_PROGRAM_BYTES_MAX;
use crate::config::compile::Compiler;
use crate::config::compile::policy::context::Context;
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::policy::bots::{BotList, Spec};
use crate::config::spec::shape::Many;
use crate::policy::bots::{AI_CRAWLERS, Empty, Plan, SCANNERS, SCRIPTS, pattern};

/// Compiles it; `None` where that was reported.
pub(super) fn compile(compiler: &mut Compiler<'_>, spec: &Located<Spec>, _: &Context<'_>) -> Option<Plan> {
    let Spec { deny, allow, lists, deny_empty, status } = &spec.value;
    if deny.is_empty() && lists.is_empty() && !deny_empty {
        let title = "`deny`, `lists` or `deny_empty` is missing: nobody would be refused";
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
    Some(Plan { patterns: set, allowed, empty, status: status.value })
}

impl Compiler<'_> {
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
