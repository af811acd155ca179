// SPDX-License-Identifier: Apache-2.0
//! Verdicts of an authenticating server, remembered on a shard for as long as the server says and the configuration
//! allows. A response without `Cache-Control: max-age`, or that sets a cookie, is never remembered.

use std::collections::HashMap;
use std::time::Duration;

use ahash::RandomState;
use sha2::{Digest, Sha256};

use crate::base::Tick;
use crate::base::limits::{AUTH_VERDICT_BYTES_MAX, AUTH_VERDICTS_MAX};
use crate::policy::decision::Decision;
use crate::policy::facts::{Effects, Response};
use crate::wire::patch::{Mark, Patch};
use crate::wire::query::Decoded;
use crate::wire::template::{Lookup, Template};

/// What verdicts are remembered by, and how long at most.
#[derive(Clone, Debug)]
pub struct CachePlan {
    /// What a verdict depends on, beside path and query of the subrequest.
    pub by: Box<[Template]>,
    /// The longest time.
    pub keep_max: Duration,
}

impl CachePlan {
    /// Under which a verdict is remembered: half of a SHA-256, because what it is made of are credentials. The question
    /// begins with method, host and target.
    pub(super) fn key<L: Lookup>(&self, start: [&[u8]; 3], words: &L, scratch: &mut Vec<u8>) -> u128 {
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        };
        start.into_iter().for_each(&mut add);
        for template in &self.by {
            scratch.clear();
            template.render(&Decoded(words), scratch);
            add(scratch);
        }
        let digest = digest.finalize();
        let (half, _) = digest.split_first_chunk().expect("a SHA-256 has 32 bytes");
        u128::from_le_bytes(*half)
    }

    /// How long the verdict of a response may be remembered; `None` where it may not (RFC 9111 section 5.2.2).
    pub(super) fn lifetime(&self, response: Response<'_>) -> Option<Duration> {
        let fields = &response.head.fields;
        let mut seconds: Option<u64> = None;
        for value in fields.named(response.bytes, b"cache-control") {
            for directive in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                let end = directive.iter().position(|byte| *byte == b'=').unwrap_or(directive.len());
                let (name, argument) = directive.split_at(end);
                if [&b"no-store"[..], b"no-cache", b"private"].iter().any(|no| name.eq_ignore_ascii_case(no)) {
                    return None;
                }
                if name.eq_ignore_ascii_case(b"max-age") || name.eq_ignore_ascii_case(b"s-maxage") {
                    let stated = std::str::from_utf8(argument.get(1..)?).ok()?.parse().ok()?;
                    // Of two the shorter counts.
                    seconds = Some(seconds.map_or(stated, |known| known.min(stated)));
                }
            }
        }
        let sets_cookie = fields.named(response.bytes, b"set-cookie").next().is_some();
        let varies = fields.named(response.bytes, b"vary").any(|value| value == b"*");
        let keep = Duration::from_secs(seconds?).min(self.keep_max);
        (!keep.is_zero() && !sets_cookie && !varies).then_some(keep)
    }
}

/// A verdict, with the fields that it adds.
#[derive(Debug)]
pub(super) struct Remembered {
    /// The status of a refusal.
    refused: Option<u16>,
    to_upstream: Lines,
    to_client: Lines,
}

/// Names and values.
type Lines = Box<[(Box<[u8]>, Box<[u8]>)]>;

impl Remembered {
    /// The verdict of a response, where it is one: what was added to the patches since these places belongs to it.
    pub(super) fn of(
        decision: &Decision<'_>,
        status: u16,
        effects: &Effects,
        (upstream, client): (Mark, Mark),
    ) -> Option<Remembered> {
        let refused = match (status, decision) {
            (200..=299, Decision::Pass) => None,
            (401 | 403, Decision::Respond(response)) if response.status == status => Some(status),
            (_, _) => return None,
        };
        let to_upstream = lines(&effects.to_upstream, upstream);
        let to_client = lines(&effects.to_client, client);
        let bytes: usize = to_upstream.iter().chain(&to_client).map(|(name, value)| name.len() + value.len()).sum();
        (bytes <= AUTH_VERDICT_BYTES_MAX).then_some(Remembered { refused, to_upstream, to_client })
    }

    /// Adds the fields that the response added. Returns the status of a refusal.
    pub(super) fn apply(&self, to_upstream: &mut Patch, to_client: &mut Patch) -> Option<u16> {
        for (lines, patch) in [(&self.to_upstream, to_upstream), (&self.to_client, to_client)] {
            lines.iter().for_each(|(name, value)| {
                patch.add(name, value);
            });
        }
        self.refused
    }
}

fn lines(patch: &Patch, since: Mark) -> Lines {
    patch.added_since(since).map(|(name, value)| (name.into(), value.into())).collect()
}

/// Verdicts with the time until which they count, `AUTH_VERDICTS_MAX` at most: where the younger half is full, the
/// older half is forgotten and the younger takes its place. What is in use moves to the younger.
#[derive(Debug, Default)]
pub struct Cache {
    young: HashMap<u128, (Tick, Remembered), RandomState>,
    old: HashMap<u128, (Tick, Remembered), RandomState>,
}

impl Cache {
    pub(super) fn find(&mut self, key: u128, now: Tick) -> Option<&Remembered> {
        if let Some((until, verdict)) = self.old.remove(&key)
            && now < until
        {
            self.insert(key, until, verdict);
        }
        self.young.get(&key).filter(|(until, _)| now < *until).map(|(_, verdict)| verdict)
    }

    pub(super) fn insert(&mut self, key: u128, until: Tick, verdict: Remembered) {
        if self.young.len() >= AUTH_VERDICTS_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, (until, verdict));
    }
}
