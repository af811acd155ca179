// SPDX-License-Identifier: Apache-2.0
//! Transcoders for shards: compiled here, one for each shard, because compiling takes long and what is compiled must
//! not be shared.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::plan::{Descriptors, Plan, ReflectionSource, TranscoderPlan};
use crate::wire::grpc::json::{LoadError, Transcoder};

/// For so many shards, each by `TranscoderId`: those that no transcoder of the plan before serves. `reflected` are
/// descriptors received by server reflection.
pub(super) fn for_shards(
    plan: &Plan,
    before: Option<&Plan>,
    reflected: &BTreeMap<Arc<ReflectionSource>, Arc<[u8]>>,
    shards: usize,
) -> Vec<Vec<Option<Transcoder>>> {
    let mut transcoders: Vec<Vec<Option<Transcoder>>> = (0..shards).map(|_| Vec::new()).collect();
    for plan in &plan.transcoders {
        let served = before.is_some_and(|before| before.transcoders.iter().any(|known| plan.is_served_by(known)));
        let descriptors = match &plan.descriptors {
            _ if served => None,
            Descriptors::Known(descriptors) => Some(descriptors),
            Descriptors::Asked(asked) => reflected.get(&asked.source),
        };
        // Sets that do not compile were already found when they were read or received.
        let mut made = descriptors.and_then(|set| copies(set, plan, shards).ok()).unwrap_or_default().into_iter();
        transcoders.iter_mut().for_each(|of_shard| of_shard.push(made.next()));
    }
    transcoders
}

/// A transcoder for each shard.
pub(super) fn copies(set: &[u8], plan: &TranscoderPlan, shards: usize) -> Result<Vec<Transcoder>, Vec<LoadError>> {
    (0..shards).map(|_| Transcoder::from_descriptor_set(set, plan.options.clone())).collect()
}
