// SPDX-License-Identifier: Apache-2.0
//! The control plane: one ordinary thread beside the shards. It brings plans into use, resolves names, probes
//! endpoints, writes the access log, shows metrics and state, obeys signals, and replaces the program without losing a
//! connection.
//!
//! It knows shards only by `link`, never by `edge`. `run` is its whole life.

pub(crate) mod admin;
pub(crate) mod exposition;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod process;
pub(crate) mod shards;
pub(crate) mod socket;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod traces;
pub(crate) mod upgrade;
pub(crate) mod usage;

mod call;
mod certificates;
mod changes;
mod declared;
mod dial;
mod directory;
mod discovery;
mod dispatch;
mod endpoints;
mod events;
mod fetch;
mod leases;
mod limit_keys;
mod listen;
mod load;
mod metering;
mod names;
mod notices;
mod overrides;
mod pages;
mod plane;
mod probe;
mod questions;
mod quotas;
mod random;
mod reflect;
mod reload;
mod reloads;
mod resolve;
mod retired;
mod rollout;
mod run;
mod sessions;
mod sources;
mod state;
mod stop;
mod systemd;
mod tally;
mod transcode;
mod upstreams;
mod usage_export;
mod watch;

pub(crate) use admin::{LevelChange, LevelState};
pub(crate) use plane::Host;
pub(crate) use run::{Start, run};
pub(crate) use stop::duration_words;

#[cfg(test)]
mod tests;
