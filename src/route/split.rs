// SPDX-License-Identifier: Apache-2.0
//! Hot. Chooses one of several weighted targets for a request: at random, or by a key, so that a client keeps its
//! target.
//!
//! Weights are summed up once. A target of weight zero takes nothing; where all weights are zero, nothing takes
//! anything.

use std::net::IpAddr;

use crate::route::query::RouteQuery;

/// Weighted targets, by their positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Sums of the weights up to and with each target; never descending.
    ends: Box<[u64]>,
}

/// The key by which a client keeps its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stick {
    /// The first value of this request field.
    Header(Box<str>),
    /// This cookie.
    Cookie(Box<str>),
    /// The client's address.
    Source,
}

impl Split {
    /// A split by these weights, in the order of the targets.
    pub fn new(weights: impl IntoIterator<Item = u32>) -> Split {
        let sums = weights.into_iter().scan(0, |sum: &mut u64, weight| {
            *sum += u64::from(weight);
            Some(*sum)
        });
        Split { ends: sums.collect() }
    }

    /// The target for a draw from all 64-bit numbers; `None` where no target has a weight.
    ///
    /// Equal draws give equal targets. When weights change, only as many draws move as the change of the sums makes.
    pub fn target(&self, draw: u64) -> Option<usize> {
        let total = *self.ends.last()?;
        let place = ((u128::from(draw) * u128::from(total)) >> 64) as u64;
        let target = self.ends.partition_point(|end| *end <= place);
        (total > 0).then_some(target)
    }

    /// The target for a key: always the same, in every process and on every machine. `salt` keeps splits apart, so
    /// that those who are the first tenth of one are not the first tenth of all.
    pub fn target_for(&self, key: &[u8], salt: u64) -> Option<usize> {
        self.target(stable_hash(key, salt))
    }

    /// True if no target has a weight above zero.
    pub fn is_empty(&self) -> bool {
        self.ends.last().is_none_or(|total| *total == 0)
    }
}

impl Stick {
    /// Calls `with` with the key of a request; `None` where the request has none, and a draw must do.
    pub fn key<T>(&self, wanted: &RouteQuery<'_>, with: impl FnOnce(&[u8]) -> T) -> Option<T> {
        match self {
            Stick::Header(name) => wanted.request.named(name.as_bytes()).map(with),
            Stick::Cookie(name) => wanted.request.cookie(name.as_bytes()).map(with),
            Stick::Source => Some(match wanted.source.to_canonical() {
                IpAddr::V4(address) => with(&address.octets()),
                IpAddr::V6(address) => with(&address.octets()),
            }),
        }
    }
}

/// FNV-1a with a final mix (that of SplitMix64), because FNV's high bits, which `Split::target` looks at, are weak
/// for short keys. Not secret: a client that can choose its key can choose its target.
pub(crate) fn stable_hash(key: &[u8], salt: u64) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
    let mut hash = key.iter().fold(salt ^ 0xCBF2_9CE4_8422_2325, fold);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn draws_follow_the_weights() {
        let split = Split::new([70, 30, 0]);
        let mut rng = Rng::new(1);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[split.target(rng.next_u64()).unwrap()] += 1;
        }
        assert!((6_800..7_200).contains(&counts[0]) && counts[2] == 0, "{counts:?}");
        assert_eq!((split.target(0), split.target(u64::MAX)), (Some(0), Some(1)));
    }

    #[test]
    fn zeroes_take_nothing() {
        assert_eq!(Split::new([0, 0]).target(7), None);
        assert_eq!(Split::new([]).target(7), None);
        assert!(Split::new([0, 0]).is_empty() && Split::default().is_empty() && !Split::new([0, 1]).is_empty());
        let one = Split::new([0, 5, 0]);
        assert!([0, 1 << 32, u64::MAX].iter().all(|draw| one.target(*draw) == Some(1)));
        let large = Split::new([u32::MAX; 3]);
        assert_eq!((large.target(0), large.target(u64::MAX)), (Some(0), Some(2)));
    }

    #[test]
    fn keys_stay_when_a_canary_grows() {
        let (small, large) = (Split::new([90, 10]), Split::new([70, 30]));
        let mut moved = [0; 2];
        for key in 0..10_000_u32 {
            let (before, after) = (small.target_for(&key.to_le_bytes(), 5), large.target_for(&key.to_le_bytes(), 5));
            assert_eq!(before, small.target_for(&key.to_le_bytes(), 5));
            assert!(before == Some(0) || after == Some(1), "one left the canary");
            moved[0] += usize::from(before == Some(1));
            moved[1] += usize::from(after == Some(1));
        }
        assert!((900..1_100).contains(&moved[0]) && (2_850..3_150).contains(&moved[1]), "{moved:?}");
    }

    #[test]
    fn the_hash_is_the_same_for_ever() {
        // Computed by another program. A change would move every sticky client.
        assert_eq!(stable_hash(b"", 0), 0xF52A_15E9_A9B5_E89B);
        assert_eq!(stable_hash(b"turnpike", 7), 0x6AAF_8BB6_D981_2E16);
    }
}
