// SPDX-License-Identifier: Apache-2.0
//! Hot. A hash ring: every endpoint owns many points, a key belongs to the first point at or after its hash.
//!
//! Points depend only on seed, address and weight, so all shards and machines agree, and adding or removing an endpoint
//! moves only that endpoint's keys. Endpoints that may not be used now stay on the ring and are skipped.

use crate::balance::hash::hash_number;
use crate::base::limits::RING_POINTS_MAX;

/// The points in order of their hash.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    hashes: Vec<u64>,
    slots: Vec<u32>,
}

/// An endpoint as the ring sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RingMember {
    pub id: u64,
    pub slot: u32,
    pub weight: u32,
}

impl Ring {
    /// Places `members` with `points` points for each unit of weight.
    pub(crate) fn build(members: &[RingMember], points: u32) -> Ring {
        let divisor = members.iter().fold(0, |divisor, member| common_divisor(divisor, member.weight)).max(1);
        let wanted = |member: &RingMember| u64::from(member.weight / divisor) * u64::from(points.max(1));
        let total = members.iter().map(wanted).sum::<u64>();
        let mut placed = Vec::with_capacity(total.min(RING_POINTS_MAX as u64) as usize + members.len());
        for member in members.iter().filter(|member| member.weight > 0) {
            let mut count = wanted(member);
            if total > RING_POINTS_MAX as u64 {
                count = (u128::from(count) * RING_POINTS_MAX as u128 / u128::from(total)).max(1) as u64;
            }
            placed.extend((0..count).map(|number| (hash_number(member.id, number), member.id, member.slot)));
        }
        // The id breaks ties: slots differ between shards, ids do not.
        placed.sort_unstable();
        Ring {
            hashes: placed.iter().map(|point| point.0).collect(),
            slots: placed.iter().map(|point| point.2).collect(),
        }
    }

    /// The slots from the key's point on, once around; a slot comes as often as it has points.
    pub(crate) fn walk(&self, key: u64) -> impl Iterator<Item = u32> {
        let start = self.hashes.partition_point(|hash| *hash < key);
        self.slots[start..].iter().chain(&self.slots[..start]).copied()
    }

    /// How many points there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

fn common_divisor(first: u32, second: u32) -> u32 {
    if second == 0 { first } else { common_divisor(second, first % second) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::hash_key;

    fn members(weights: &[u32]) -> Vec<RingMember> {
        let member = |(slot, weight): (usize, &u32)| RingMember {
            id: hash_key(0, format!("10.0.0.{slot}:80").as_bytes()),
            slot: slot as u32,
            weight: *weight,
        };
        weights.iter().enumerate().map(member).collect()
    }

    fn owners(ring: &Ring) -> Vec<u32> {
        (0..20_000_u64).map(|key| ring.walk(hash_key(1, &key.to_le_bytes())).next().unwrap()).collect()
    }

    #[test]
    fn shares_follow_weights() {
        let ring = Ring::build(&members(&[100, 100, 200, 0]), 160);
        assert_eq!(ring.len(), 640);
        let owners = owners(&ring);
        let share = |slot| owners.iter().filter(|owner| **owner == slot).count();
        assert!((4_000..=6_000).contains(&share(0)), "{}", share(0));
        assert!((8_500..=11_500).contains(&share(2)), "{}", share(2));
        assert_eq!(share(3), 0);
    }

    #[test]
    fn a_member_that_leaves_moves_only_its_own_keys() {
        let all = members(&[1; 10]);
        let before = owners(&Ring::build(&all, 160));
        let after = owners(&Ring::build(&all[..9], 160));
        let moved = before.iter().zip(&after).filter(|(old, new)| old != new).count();
        assert!(before.iter().zip(&after).all(|(old, new)| old == new || *old == 9));
        assert_eq!(moved, before.iter().filter(|owner| **owner == 9).count());
        assert!((1_200..=2_800).contains(&moved), "{moved}");
    }

    #[test]
    fn the_number_of_points_is_capped() {
        let ring = Ring::build(&members(&[1, 60_000, 60_001]), 160);
        assert!((RING_POINTS_MAX - 10..=RING_POINTS_MAX + 3).contains(&ring.len()), "{}", ring.len());
        assert_eq!(Ring::build(&[], 160).walk(7).next(), None);
    }
}
