// SPDX-License-Identifier: Apache-2.0
//! `google.api.http` as it stands in the options of a method.
//!
//! Read from the options' bytes by our own messages, so that it is found whether or not the descriptor set has the
//! file that declares it.

use prost::Message;

/// One way to call a method.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The HTTP method; `*` for any.
    pub verb: String,
    /// The path template.
    pub template: String,
    /// `body`: empty, `*` or a field.
    pub body: String,
    /// `response_body`: empty or a field.
    pub response_body: String,
}

/// All rules in a method's options, the main one first. Where only additional ones have a pattern, they are all.
pub(crate) fn rules(options: &[u8]) -> Result<Vec<Rule>, prost::DecodeError> {
    let Some(http) = MethodOptions::decode(options)?.http else { return Ok(Vec::new()) };
    let mut rules = Vec::with_capacity(1 + http.additional_bindings.len());
    for binding in &http.additional_bindings {
        rules.push(rule(binding));
    }
    let main = rule(&http);
    if rules.is_empty() || main.has_pattern() {
        rules.insert(0, main);
    }
    Ok(rules)
}

impl Rule {
    fn has_pattern(&self) -> bool {
        !self.verb.is_empty() || !self.template.is_empty()
    }
}

/// A rule without a pattern has an empty template, which no template may be.
fn rule(http: &HttpRule) -> Rule {
    let HttpRule { get, put, post, delete, patch, custom, .. } = http;
    let known = [("GET", get), ("PUT", put), ("POST", post), ("DELETE", delete), ("PATCH", patch)];
    let mut patterns = known.into_iter().filter_map(|(verb, path)| Some((verb.to_owned(), path.clone()?)));
    let custom = || custom.as_ref().map(|custom| (custom.kind.clone(), custom.path.clone()));
    let (verb, template) = patterns.next().or_else(custom).unwrap_or_default();
    Rule { verb, template, body: http.body.clone(), response_body: http.response_body.clone() }
}

#[derive(Clone, PartialEq, Message)]
struct MethodOptions {
    #[prost(message, optional, tag = "72295728")]
    http: Option<HttpRule>,
}

#[derive(Clone, PartialEq, Message)]
struct HttpRule {
    #[prost(string, optional, tag = "2")]
    get: Option<String>,
    #[prost(string, optional, tag = "3")]
    put: Option<String>,
    #[prost(string, optional, tag = "4")]
    post: Option<String>,
    #[prost(string, optional, tag = "5")]
    delete: Option<String>,
    #[prost(string, optional, tag = "6")]
    patch: Option<String>,
    #[prost(string, tag = "7")]
    body: String,
    #[prost(message, optional, tag = "8")]
    custom: Option<Custom>,
    #[prost(message, repeated, tag = "11")]
    additional_bindings: Vec<HttpRule>,
    #[prost(string, tag = "12")]
    response_body: String,
}

#[derive(Clone, PartialEq, Message)]
struct Custom {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    path: String,
}
