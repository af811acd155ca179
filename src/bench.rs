// SPDX-License-Identifier: Apache-2.0
//! The parts of the crate that `benches/` measures, under the names that they have inside.

pub mod base {
    //! Numbers, time and buffers.
    pub use crate::base::{Address, Buf, ListenerId, RouteId, Scheme, Span, Tick, Wall};
}

pub mod config {
    //! From text to a plan.
    pub use crate::config::plan::Plan;
    pub use crate::config::{ConfigSource, Environment, FileAccess, load};

    use std::sync::Arc;

    use crate::config::directory::{Assembly, Numbers};
    use crate::link::ToShard;
    use crate::policy::directory::Revision;

    /// What tells a shard whom a configuration declares.
    pub fn directory<L>(plan: &Plan) -> ToShard<L> {
        let mut numbers = Numbers::default();
        let mut assembly = Assembly::new(&mut numbers, None);
        assembly.declared(&plan.declared);
        ToShard::Directory(Arc::new(assembly.finish(Revision(1))))
    }
}

pub mod control {
    //! What tells a shard what it must know of the world, in the place of a control plane.

    use crate::base::{Tick, Wall};
    use crate::config::plan::Plan;
    use crate::link::{FromShard, ToShard};
    use crate::trial::Quotas;

    /// Leases of quotas that are counted in a database.
    pub struct Leases(Quotas);

    impl Leases {
        /// Of the quotas of a plan, of which nothing is used.
        pub fn of(plan: &Plan) -> Leases {
            Leases(Quotas::of(plan))
        }

        /// What a shard is told that has said this.
        pub fn answers<L>(&mut self, said: &FromShard, now: (Tick, Wall)) -> Vec<ToShard<L>> {
            let FromShard::Lease(message) = said else { return Vec::new() };
            self.0.receive(message, now).into_iter().map(|(_, message)| ToShard::Lease(message)).collect()
        }
    }
}

pub mod edge {
    //! A shard.
    pub use crate::edge::run::run;
}

pub mod link {
    //! What a shard is given.
    pub use crate::link::{
        Counters, FROM_SHARD_MAX, FromShard, ListeningSocket, Outbox, REPORTS_MAX, ShardEnd, TO_SHARD_MAX, ToShard,
        mesh,
    };
}

pub mod net {
    //! The real and the simulated machine.
    pub use crate::net::uring::{self, DriverChoice, RunOptions};
    pub use crate::net::{Bell, Listener, Net, Stream, sim, sockets};
}

pub mod route {
    //! Routing tables.
    pub use crate::route::{
        BodyView, FieldMatch, HostPattern, Params, PathPattern, PatternError, RouteMatch, RouteQuery, Rule, Table,
        ValueMatch,
    };
}

pub mod wire {
    //! Codecs.
    pub use crate::wire::{field, h1, h2, head, outgoing, patch, target};
}
