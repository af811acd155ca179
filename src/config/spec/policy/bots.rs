// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.bots]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
use crate::config::spec::scalar::Time;
use crate::config::spec::shape::{Many, table};

table! {
    /// Refuses requests by their `User-Agent`. A client says there what it likes, so this keeps away those who do not
    /// hide. A request with several of them is refused, because an upstream may read any.
    #[schemars(rename = "BotsSpec")]
    pub struct Spec {
        /// Who is refused: a text that is found anywhere in any case, or `"~REGEX"`.
        deny: Many<Located<String>> = Many::default(),
        /// Who passes all the same; goes before `deny` and `lists`.
        allow: Many<Located<String>> = Many::default(),
        /// Lists of names that are refused as well. `"scanners"`: programs that search for weaknesses.
        /// `"ai_crawlers"`: crawlers that collect texts for language models. `"scripts"`: libraries and tools such as
        /// curl, where a client has not named itself.
        lists: Many<BotList> = Many::default(),
        /// Refuse requests without a `User-Agent`, or with an empty one.
        deny_empty: bool = false,
        /// Bots that pass where they are what they say: their address must have a name in a domain of their owner, and
        /// that name the address. `"apple"`, `"baidu"`, `"bing"`, `"google"`, `"petal"`, `"seznam"`, `"yahoo"`,
        /// `"yandex"`. They go before all else; a client that calls itself one and is not is refused.
        verify: Many<KnownBotName> = Many::default(),
        /// Further bots that pass where they are what they say.
        good: Many<Located<GoodBotSpec>> = Many::default(),
        /// What becomes of a client that calls itself a good bot where DNS does not say whether it is. `"refuse"`: 503,
        /// and it may come again. `"judge"`: it is treated as any other client.
        unknown: UnknownBot = UnknownBot::Refuse,
        /// How long a request waits for DNS, 100 ms to 10 s. What it said of an address is remembered for an hour, for
        /// ten minutes where it denied it.
        wait: Located<Time> = Located::nowhere(Time(std::time::Duration::from_secs(3))),
        /// The status of a refusal, 400 to 599.
        status: Located<u16> = Located::nowhere(403),
    }
}

table! {
    /// A bot that is verified by the names of its addresses.
    pub struct GoodBotSpec {
        /// What stands in its `User-Agent`: a text that is found anywhere in any case, or `"~REGEX"`.
        agent: String = String::new(),
        /// The domains in which its addresses have names, such as `"crawl.example.com"`.
        domains: Many<String> = Many::default(),
    }
}

/// A bot whose owner publishes how to verify it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum KnownBotName {
    /// Applebot.
    Apple,
    /// Baiduspider.
    Baidu,
    /// Bingbot.
    Bing,
    /// Googlebot and its siblings.
    Google,
    /// PetalBot.
    Petal,
    /// SeznamBot.
    Seznam,
    /// Slurp.
    Yahoo,
    /// YandexBot.
    Yandex,
}

impl KnownBotName {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            KnownBotName::Apple => "apple",
            KnownBotName::Baidu => "baidu",
            KnownBotName::Bing => "bing",
            KnownBotName::Google => "google",
            KnownBotName::Petal => "petal",
            KnownBotName::Seznam => "seznam",
            KnownBotName::Yahoo => "yahoo",
            KnownBotName::Yandex => "yandex",
        }
    }
}

/// What becomes of a client that calls itself a good bot where DNS does not say whether it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum UnknownBot {
    /// It is refused for now.
    Refuse,
    /// It is treated as any other client.
    Judge,
}

/// A list of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum BotList {
    /// Programs that search for weaknesses.
    Scanners,
    /// Crawlers that collect texts for language models.
    AiCrawlers,
    /// Libraries and programs for scripts.
    Scripts,
}
