// SPDX-License-Identifier: Apache-2.0
//! The directory of the process: what shards are told, in which order, and which of them has applied it.

use std::sync::Arc;

use crate::config::directory::{Assembly, Numbers};
use crate::config::plan::Plan;
use crate::control::plane::Plane;
use crate::link::ToShard;
use crate::policy::directory::{Directory, Revision};

/// Who may call.
#[derive(Debug)]
pub(super) struct Registry {
    numbers: Numbers,
    /// What every shard has when it has applied all that it was sent.
    directory: Directory,
    /// The revision that each shard is at.
    applied: Vec<Revision>,
}

impl Registry {
    /// Nobody, for so many shards.
    pub(super) fn new(shards: usize) -> Registry {
        Registry {
            numbers: Numbers::default(),
            directory: Directory::default(),
            applied: vec![Revision::default(); shards],
        }
    }

    /// The revision that all shards have reached.
    pub(super) fn applied(&self) -> Revision {
        self.applied.iter().copied().min().unwrap_or_default()
    }
}

impl Plane {
    /// Tells all shards what a plan declares, before they commit it.
    pub(super) fn declare(&mut self, plan: &Plan) {
        if self.current.as_ref().is_some_and(|current| current.plan.declared == plan.declared) {
            return;
        }
        let Registry { numbers, directory, .. } = &mut self.registry;
        let mut assembly = Assembly::new(numbers, Some(directory));
        assembly.declared(&plan.declared);
        let snapshot = Arc::new(assembly.finish(directory.revision().next()));
        directory.rebase(Arc::clone(&snapshot));
        self.shards.send_all(|_| ToShard::Directory(Arc::clone(&snapshot)));
    }

    /// A shard has applied all changes up to this one.
    pub(super) fn applied(&mut self, shard: usize, revision: Revision) {
        if let Some(applied) = self.registry.applied.get_mut(shard) {
            *applied = (*applied).max(revision);
        }
    }
}
