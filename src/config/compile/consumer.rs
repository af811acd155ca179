// SPDX-License-Identifier: Apache-2.0
//! `[[consumer]]`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::ConsumerId;
use crate::config::compile::Compiler;
use crate::config::location::Located;
use crate::config::report::Report;
use crate::config::spec::consumer::{ConsumerSpec, KeySpec};
use crate::policy::api_key::{Consumer, KeyEntry, hash_of, parse_hash};

/// All consumers and their keys.
pub(super) struct Consumers {
    pub list: Arc<[Consumer]>,
    ids: HashMap<Arc<str>, ConsumerId>,
    pub keys: Vec<KeyEntry>,
}

impl Consumers {
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.list.iter().map(|consumer| Arc::clone(&consumer.name)).collect()
    }

    pub(super) fn id(&self, name: &str) -> Option<ConsumerId> {
        self.ids.get(name).copied()
    }
}

impl Compiler<'_> {
    /// Compiles every `[[consumer]]` that is right so far.
    pub(super) fn consumers(&mut self) -> Consumers {
        let draft = self.draft;
        let names: Vec<Located<String>> = draft.spec.consumer.iter().map(|spec| spec.value.name.clone()).collect();
        self.unique("consumer", &names);
        let count = draft.spec.consumer.len();
        let (mut list, mut keys) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut seen = HashMap::with_capacity(count);
        for spec in &draft.spec.consumer {
            let id = ConsumerId(list.len() as u32);
            list.push(self.consumer(&spec.value));
            for key in spec.value.keys.iter() {
                let Some(entry) = self.key(key, id) else { continue };
                if let Some(first) = seen.insert(entry.hash, key.location) {
                    self.faults
                        .push(Report::error(key.location, "the same key twice").other(first, "the first one is here"));
                }
                keys.push(entry);
            }
        }
        let ids = (0..).map(ConsumerId).zip(&list).map(|(id, consumer)| (Arc::clone(&consumer.name), id)).collect();
        Consumers { list: list.into(), ids, keys }
    }

    fn consumer(&mut self, spec: &ConsumerSpec) -> Consumer {
        // Both are sent in fields.
        let texts = [Some(&spec.name), spec.id.as_ref()];
        for text in texts.into_iter().flatten() {
            if text.value.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
                self.error(text.location, "control characters are not allowed here");
            }
        }
        if spec.name.value.is_empty() {
            self.error(spec.name.location, "the name is empty");
        }
        let id = spec.id.as_ref().map_or("", |id| id.value.as_str());
        Consumer { name: spec.name.value.as_str().into(), id: id.into() }
    }

    fn key(&mut self, spec: &Located<KeySpec>, consumer: ConsumerId) -> Option<KeyEntry> {
        let expires = spec.value.expires.as_ref().map(|moment| moment.0);
        let hash = match (&spec.value.sha256, &spec.value.key) {
            (Some(hash), None) => {
                let Some(hash) = parse_hash(hash.value.trim()) else {
                    let report = Report::error(hash.location, "expected a SHA-256 as 64 hexadecimal digits");
                    self.faults.push(report.help("`printf %s KEY | sha256sum` makes one"));
                    return None;
                };
                hash
            }
            (None, Some(key)) => {
                let bytes = key.value.0.as_bytes();
                if bytes.is_empty() || bytes.len() > KEY_BYTES_MAX {
                    self.error(key.location, format!("a key has 1 to {KEY_BYTES_MAX} bytes"));
                    return None;
                }
                if bytes.len() < KEY_BYTES_LOW {
                    let report = Report::warning(key.location, "a short key can be guessed");
                    self.faults.push(report.help("`openssl rand -hex 24` makes a good one"));
                }
                hash_of(bytes)
            }
            _ => {
                self.absent(
                    spec.location,
                    Report::error(spec.location, "a key is given either as `sha256` or as `key`"),
                );
                return None;
            }
        };
        Some(KeyEntry { hash, consumer, expires })
    }
}

/// Longer ones are refused by `policy::api_key`, too.
const KEY_BYTES_MAX: usize = 1_024;
/// Shorter keys are warned of.
const KEY_BYTES_LOW: usize = 16;
