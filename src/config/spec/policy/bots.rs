// SPDX-License-Identifier: Apache-2.0
//! `[policy.NAME.bots]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::location::Located;
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
        /// The status of a refusal, 400 to 599.
        status: Located<u16> = Located::nowhere(403),
    }
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
