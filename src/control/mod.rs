//! The control plane: one ordinary thread beside the shards. It brings plans into use, resolves names, probes
//! endpoints, writes the access log, shows metrics and state, obeys signals, and replaces the program without losing a
//! connection.
//!
//! It knows shards only by `link`, never by `edge`. `run` is its whole life.

pub mod admin;
pub mod exposition;
pub mod log;
pub mod metrics;
pub mod process;
pub mod shards;
pub mod socket;
pub mod status;
pub mod upgrade;

mod call;
mod dial;
mod discovery;
mod dispatch;
mod endpoints;
mod events;
mod listen;
mod load;
mod pages;
mod plane;
mod probe;
mod reflect;
mod reload;
mod reloads;
mod resolve;
mod retired;
mod rollout;
mod run;
mod state;
mod stop;
mod systemd;
mod tally;
mod transcode;
mod upstreams;
mod watch;

pub use plane::Host;
pub use run::{Start, run};
pub use stop::duration_words;

#[cfg(test)]
mod tests;
