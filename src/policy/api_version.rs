// SPDX-License-Identifier: Apache-2.0
//! Hot. Which version of an API a request is for, and what its client is told of that version: that it is deprecated
//! (RFC 9745), when it ends (RFC 8594), and what follows it (RFC 5829). A version can be switched off at given times on
//! purpose (brown-outs), so that its last users notice before it is gone.
//!
//! A request names its version in one place or in several that agree. What names none has the default version; what
//! names one that is not known is refused, and so is what names two. Where the route says its version, requests are not
//! looked at.

mod place;

use crate::base::{VersionId, Wall};
use crate::policy::decision::{Decision, LocalBody, LocalResponse, Problem};
use crate::policy::facts::{Effects, Facts, Response};
use crate::policy::kind::{Call, Kind};
use crate::policy::phase::Phase;
use crate::policy::protected::Protected;
use crate::wire::change::Received;
use crate::wire::status::reason;
use crate::wire::template::Lookup;

use place::Named;
pub(crate) use place::Place;

/// The versions of an API.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where a request names its version; none where routes say it.
    pub places: Box<[Place]>,
    /// The versions.
    pub versions: Box<[Version]>,
    /// The id of the first; the others follow.
    pub first: VersionId,
    /// Which one a request has that names none; `None` refuses it.
    pub default: Option<usize>,
    /// The status for an unknown version: 400, 404 or 406.
    pub unknown: u16,
    /// The header by which the upstream learns the version. A client's own of that name is always removed.
    pub told: Option<Box<[u8]>>,
    /// What `Vary` says, so that no cache mixes versions up; empty where the URL has the version.
    pub vary: Box<[u8]>,
}

/// One version.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its name.
    pub name: Box<str>,
    /// Other names for it.
    pub aliases: Box<[Box<str>]>,
    /// Fields that its responses have in the place of the upstream's own: `Deprecation`, `Sunset`.
    pub fields: Box<[(&'static str, Box<str>)]>,
    /// Values of `Link` that its responses have beside the upstream's own.
    pub links: Box<[Box<str>]>,
    /// From then on it is gone.
    pub gone: Option<Wall>,
    /// When it is switched off on purpose.
    pub brownouts: Box<[Brownout]>,
}

/// A time in which a version is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brownout {
    /// From then on,
    pub from: Wall,
    /// until then;
    pub until: Wall,
    /// each day only between these seconds of the day, in UTC; the end is not included. `None` is all day.
    pub daily: Option<(u32, u32)>,
    /// The status: 410 or 503.
    pub status: u16,
}

impl Brownout {
    /// The seconds until it is over, where it is on.
    fn left(&self, wall: Wall) -> Option<u64> {
        if wall < self.from || wall >= self.until {
            return None;
        }
        let until_end = self.until.seconds() - wall.seconds();
        let Some((start, end)) = self.daily else { return Some(until_end) };
        let now = (wall.seconds() % DAY) as u32;
        let left = match start < end {
            true if (start..end).contains(&now) => end - now,
            // It goes on over midnight.
            false if now >= start => DAY as u32 - now + end,
            false if now < end => end - now,
            true | false => return None,
        };
        Some(u64::from(left).min(until_end))
    }
}

/// Seconds of a day.
const DAY: u64 = 86_400;

impl Kind for Plan {
    type State = ();
    /// The version.
    type Memo = Option<u16>;

    fn phase(&self) -> Phase {
        Phase::Screen
    }

    fn protect(&self, names: &mut Protected) {
        self.told.iter().for_each(|name| names.add(name));
    }

    fn decide<L: Lookup>(&self, (): &mut (), call: Call<'_, L, Option<u16>>) -> Decision<'_> {
        let Call { facts, effects, memo, .. } = call;
        let said = effects.version.and_then(|id| id.0.checked_sub(self.first.0)).map(|at| at as usize);
        let at = match said.filter(|at| *at < self.versions.len()) {
            Some(at) => at,
            None => match self.version(facts) {
                Ok(at) => at,
                Err(refusal) => return refusal,
            },
        };
        let Some(version) = self.versions.get(at) else { return Decision::Respond(LocalResponse::INTERNAL) };
        *memo = u16::try_from(at).ok();
        effects.version = Some(VersionId(self.first.0 + at as u32));
        if version.gone.is_some_and(|gone| facts.wall >= gone) {
            return refuse(410, "api_version_gone", "This version of the API is no longer served.");
        }
        for brownout in &version.brownouts {
            if let Some(left) = brownout.left(facts.wall) {
                if brownout.status == 503 {
                    let seconds = |out: &mut Vec<u8>| crate::base::ascii::push_decimal(out, left.max(1));
                    effects.to_client.add_with(b"Retry-After", seconds);
                }
                let detail = "This version of the API is switched off for now, because it will end.";
                return refuse(brownout.status, "api_version_brownout", detail);
            }
        }
        if let Some(name) = &self.told {
            effects.to_upstream.remove_added(name);
            effects.to_upstream.add(name, version.name.as_bytes());
        }
        Decision::Pass
    }

    fn adapt<L: Lookup>(&self, memo: &mut Option<u16>, response: Response<'_>, _: &L, effects: &mut Effects) {
        if !self.vary.is_empty() {
            effects.to_client.add(b"Vary", &self.vary);
        }
        let Some(version) = memo.and_then(|at| self.versions.get(usize::from(at))) else { return };
        let received = Received { fields: &response.head.fields, bytes: response.bytes };
        for (name, value) in &version.fields {
            effects.to_client.set(received.fields, received.bytes, name.as_bytes(), value.as_bytes());
        }
        for link in &version.links {
            effects.to_client.add(b"Link", link.as_bytes());
        }
    }
}

impl Plan {
    /// The version of this name.
    pub(crate) fn named(&self, name: &[u8]) -> Option<usize> {
        let named = |text: &str| text.as_bytes().eq_ignore_ascii_case(name);
        let mut versions = self.versions.iter();
        versions.position(|version| named(&version.name) || version.aliases.iter().any(|alias| named(alias)))
    }

    /// Which version a request is for.
    fn version<L>(&self, facts: &Facts<'_, L>) -> Result<usize, Decision<'_>> {
        let mut found = None;
        for place in &self.places {
            let at = match place.look(facts.request, facts.path, |name| self.named(name)) {
                Named::Nothing => continue,
                Named::Version(at) => at,
                Named::Unknown => {
                    let detail = "There is no such version of this API.";
                    return Err(refuse(self.unknown, "api_version_unknown", detail));
                }
                Named::Several => return Err(ambiguous()),
            };
            if *found.get_or_insert(at) != at {
                return Err(ambiguous());
            }
        }
        found.or(self.default).ok_or_else(|| {
            refuse(400, "api_version_missing", "The request must say for which version of the API it is.")
        })
    }
}

fn ambiguous<'p>() -> Decision<'p> {
    refuse(400, "api_version_ambiguous", "The request names more than one version of the API.")
}

fn refuse<'p>(status: u16, word: &'static str, detail: &'static str) -> Decision<'p> {
    let problem = Problem { kind: "", title: reason(status), detail, violated_policy: "" };
    Decision::Respond(LocalResponse { status, reason: word, body: LocalBody::Problem(problem) })
}

#[cfg(test)]
mod tests;
