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
        // What does not compile was already reported when it was read or received.
        let made = descriptors.and_then(|set| copies(set, plan, shards).ok());
        let mut made = made.map(|(made, _)| made).unwrap_or_default().into_iter();
        transcoders.iter_mut().for_each(|of_shard| of_shard.push(made.next()));
    }
    transcoders
}

/// A transcoder for each shard, and what is wrong with rules that they lack.
pub(super) fn copies(
    set: &[u8],
    plan: &TranscoderPlan,
    shards: usize,
) -> Result<(Vec<Transcoder>, Vec<LoadError>), Vec<LoadError>> {
    let mut faults = Vec::new();
    let mut made = Vec::with_capacity(shards);
    for _ in 0..shards {
        let (transcoder, wrong) = Transcoder::of_good_rules(set, plan.options.clone())?;
        made.push(transcoder);
        faults = wrong;
    }
    Ok((made, faults))
}
