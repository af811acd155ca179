// SPDX-License-Identifier: Apache-2.0
//! The data plane's threads: one per shard, named and optionally pinned. Each sends a last message to the control
//! plane.

use std::io;
use std::thread::JoinHandle;

use crate::control::shards::ShardParts;
use crate::link::FromShard;
use crate::net::uring::{self, DriverChoice, RunOptions};
use crate::net::{Net, machine};

/// Where shards run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cores {
    /// Wherever the kernel puts them.
    Any,
    /// One after another on these.
    Pinned(Vec<usize>),
}

impl Cores {
    /// Those that the process may use.
    pub(super) fn pinned() -> Cores {
        Cores::Pinned(machine::cores())
    }

    fn of(&self, shard: usize) -> Option<usize> {
        match self {
            Cores::Any => None,
            Cores::Pinned(cores) => cores.get(shard % cores.len().max(1)).copied(),
        }
    }
}

/// Starts a thread for each shard; `body` is what it does.
pub(super) fn start(
    parts: Vec<ShardParts>,
    cores: &Cores,
    body: fn(ShardParts, Option<usize>),
) -> io::Result<Vec<JoinHandle<()>>> {
    let threads = parts.into_iter().map(|part| {
        let shard = part.end.shard;
        let core = cores.of(shard);
        std::thread::Builder::new().name(format!("shard-{shard}")).spawn(move || body(part, core))
    });
    threads.collect()
}

/// A shard of the data plane on this thread, until it receives `Stop`.
pub(super) fn data_plane(parts: ShardParts, core: Option<usize>) {
    let ShardParts { end, bell, guard: _guard } = parts;
    let outbox = end.outbox.clone();
    let outcome = DriverChoice::from_environment().and_then(|driver| {
        let options = RunOptions { core, driver, ..RunOptions::default() };
        uring::run(&options, |net| async move {
            let driver = net.driver().name();
            match net.bell_waiter(&bell) {
                Ok(ear) => crate::edge::run::run(net, end, ear, driver).await,
                Err(error) => fail(&end.outbox, &error),
            }
        })
    });
    if let Err(error) = outcome {
        fail(&outbox, &error);
    }
}

fn fail(outbox: &crate::link::Outbox, error: &io::Error) {
    // If this cannot be sent either, the control plane notices the end of the thread.
    let _ = outbox.send(FromShard::Failed { reason: error.to_string() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::shards::links;
    use crate::net::Bell;

    #[test]
    fn threads_have_names_and_cores_go_round() {
        let (_ends, parts, shards) = links(3, || Ok(Bell::silent())).expect("links");
        let body = |parts: ShardParts, core: Option<usize>| {
            let name = std::thread::current().name().map(str::to_owned);
            let reason = format!("{} on {core:?}", name.unwrap_or_default());
            parts.end.outbox.send(FromShard::Failed { reason }).expect("taken");
        };
        let threads = start(parts, &Cores::Pinned(vec![4, 7]), body).expect("started");
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        let mut said: Vec<String> = std::iter::from_fn(|| shards.next())
            .map(|(_, message)| if let FromShard::Failed { reason } = message { reason } else { String::new() })
            .collect();
        said.sort();
        assert_eq!(said, ["shard-0 on Some(4)", "shard-1 on Some(7)", "shard-2 on Some(4)"]);
        assert_eq!((Cores::Any.of(1), Cores::Pinned(Vec::new()).of(1)), (None, None));
    }
}
