// SPDX-License-Identifier: Apache-2.0
//! Keeps the keys of one issuer: asks for them at start, at an interval, and when a shard misses one.
//!
//! Whoever asks while a request is under way waits for its outcome. Within `cool_down` after a request that a shard
//! caused, the answer is at once what is known; requests at start and at the interval do not begin that pause, because
//! the issuer may have new keys right after them. While the issuer does not answer, the last keys stay in use for
//! `stale`, and then none is.

use std::sync::Arc;
use std::time::Duration;

use crate::base::Tick;
use crate::base::limits::JWKS_BYTES_MAX;
use crate::config::plan::{KeysPlace, KeysPlan};
use crate::control::fetch::{Client, Fetched};
use crate::control::sources::task::{Asker, Run, Told};
use crate::net::machine;
use crate::policy::{Answer, Keys};
use crate::wire::jose::{self, KeySet, Members, Secrets};
use crate::wire::url::Url;

/// The first pause after a failure; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The shortest pause between two requests, whatever `Cache-Control` says.
const REFRESH_MIN: Duration = Duration::from_secs(60);

/// What became of the last requests.
struct Outcome {
    /// When keys came last.
    good_at: Tick,
    /// Why the last request failed, and the pause after it.
    failed: Option<(String, Duration)>,
}

/// Runs until it is aborted.
pub(super) async fn follow(mut run: Run, plan: KeysPlan) {
    let mut outcome = Outcome { good_at: machine::now(), failed: None };
    let mut askers: Vec<Asker> = Vec::new();
    // When the last request that a shard caused was over.
    let mut missed_at: Option<Tick> = None;
    loop {
        let timeout = run.slot.terms.borrow().timeout;
        let client = run.client();
        let caused = !askers.is_empty();
        let received = tokio::time::timeout(timeout, ask(&client, &plan.place)).await;
        let received = received.unwrap_or_else(|_| Err("no response in time".to_owned()));
        let ended = machine::now();
        missed_at = if caused { Some(ended) } else { missed_at };
        let first = !run.slot.asked.replace(true);
        let pause = match received {
            Ok((set, lifetime)) => {
                outcome = Outcome { good_at: ended, failed: None };
                run.learn(set).await;
                lifetime.map_or(plan.refresh, |lifetime| lifetime.max(REFRESH_MIN).min(plan.refresh))
            }
            Err(reason) => {
                let pause = outcome.fail(&run, reason).min(plan.refresh);
                if ended.since(outcome.good_at) >= plan.stale {
                    run.withdraw(plan.stale).await;
                }
                pause
            }
        };
        while let Ok((asker, _)) = run.questions.try_recv() {
            askers.push(asker);
        }
        // A new plan waits for the first outcome, whatever it is.
        if !askers.is_empty() || (first && outcome.failed.is_some()) {
            run.answer(std::mem::take(&mut askers), &outcome).await;
        }
        // A random part, so that many gateways do not ask at the same moment.
        let jitter = pause.mul_f64(run.rng.below(100) as f64 / 1_000.0);
        let next = tokio::time::Instant::now() + pause + jitter;
        loop {
            let asked = tokio::select! {
                () = tokio::time::sleep_until(next) => break,
                asked = run.questions.recv() => asked,
            };
            let Some((asker, _)) = asked else { return };
            if missed_at.is_none_or(|missed_at| machine::now().since(missed_at) >= plan.cool_down) {
                askers.push(asker);
                break;
            }
            run.answer(vec![asker], &outcome).await;
        }
    }
}

impl Outcome {
    /// Notes a failure and gives the pause after it.
    fn fail(&mut self, run: &Run, reason: String) -> Duration {
        let news = self.failed.as_ref().is_none_or(|(before, _)| *before != reason);
        let policy = &run.slot.terms.borrow().policy;
        match (news, run.slot.known.borrow().is_some()) {
            (false, _) => {}
            (true, false) => tracing::warn!(%policy, %reason, "no keys from the issuer; its tokens get 503"),
            (true, true) => tracing::warn!(%policy, %reason, "no new keys from the issuer; the last ones stay in use"),
        }
        let pause = self.failed.as_ref().map_or(PAUSE, |(_, pause)| *pause * 2).min(PAUSE_MAX);
        self.failed = Some((reason, pause));
        pause
    }
}

impl Run {
    /// Tells all shards where the keys are new.
    async fn learn(&self, set: KeySet) {
        if self.slot.known.borrow().as_ref().is_some_and(|known| **known == set) {
            return;
        }
        let (keys, left_out) = (set.keys.len(), set.left_out);
        let (id, policy) = (self.slot.terms.borrow().id, Arc::clone(&self.slot.terms.borrow().policy));
        tracing::info!(%policy, keys, left_out, "keys of the issuer received");
        let set = Arc::new(set);
        self.slot.known.replace(Some(Arc::clone(&set)));
        self.tell(Told::Keys(Keys { source: id, set: Some(set) })).await;
    }

    /// Tells all shards to use no key any more.
    async fn withdraw(&self, stale: Duration) {
        if self.slot.known.take().is_none() {
            return;
        }
        let (id, policy) = (self.slot.terms.borrow().id, Arc::clone(&self.slot.terms.borrow().policy));
        let seconds = stale.as_secs();
        tracing::error!(%policy, seconds, "the keys of the issuer are too old; its tokens get 503");
        self.tell(Told::Keys(Keys { source: id, set: None })).await;
    }

    async fn answer(&self, askers: Vec<Asker>, outcome: &Outcome) {
        let answer = if outcome.failed.is_none() { Answer::Keys } else { Answer::Unavailable };
        self.tell(Told::Answer(askers, answer)).await;
    }

    async fn tell(&self, told: Told) {
        // The receiver is gone only where the process ends.
        let _ = self.told.send(told).await;
    }
}

/// The keys, and how long they may be used.
async fn ask(client: &Client, place: &KeysPlace) -> Result<(KeySet, Option<Duration>), String> {
    let url = match place {
        KeysPlace::Url(url) => url.clone(),
        KeysPlace::Issuer { name, metadata } => discover(client, name, metadata).await?,
    };
    keys_at(client, &url).await
}

/// Where the issuer says that its keys are.
async fn discover(client: &Client, name: &str, metadata: &Url) -> Result<Url, String> {
    let said = said_by(client, name, metadata).await?;
    url_of(&said, "jwks_uri", metadata)
}

/// The metadata of an issuer, which must call itself so.
pub(super) async fn said_by(client: &Client, name: &str, metadata: &Url) -> Result<Members, String> {
    let fetched = good(client.get(metadata, JWKS_BYTES_MAX).await, metadata)?;
    let said = jose::members(&fetched.body).ok_or_else(|| format!("{metadata}: it is no JSON object"))?;
    if said.get("issuer").and_then(serde_json::Value::as_str) != Some(name) {
        return Err(format!("{metadata}: its `issuer` is not `{name}`"));
    }
    Ok(said)
}

/// A URL of an issuer's metadata.
pub(super) fn url_of(said: &Members, member: &str, metadata: &Url) -> Result<Url, String> {
    let place = said.get(member).and_then(serde_json::Value::as_str);
    let place = place.ok_or_else(|| format!("{metadata}: it has no `{member}`"))?;
    let url = Url::parse(place).map_err(|reason| format!("{metadata}: `{member}`: {reason}"))?;
    // Whoever is between could give us keys.
    if metadata.secure && !url.secure { Err(format!("{metadata}: `{member}` is not https")) } else { Ok(url) }
}

/// The keys at a URL, and how long they may be used.
pub(super) async fn keys_at(client: &Client, url: &Url) -> Result<(KeySet, Option<Duration>), String> {
    let fetched = good(client.get(url, JWKS_BYTES_MAX).await, url)?;
    let set = KeySet::read(&fetched.body, Secrets::Ignored).map_err(|error| format!("{url}: {error}"))?;
    Ok((set, fetched.lifetime))
}

fn good(fetched: Result<Fetched, String>, url: &Url) -> Result<Fetched, String> {
    match fetched {
        Ok(fetched) if fetched.status == 200 => Ok(fetched),
        Ok(fetched) => Err(format!("{url}: status {}", fetched.status)),
        Err(reason) => Err(format!("{url}: {reason}")),
    }
}
