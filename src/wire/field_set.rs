// SPDX-License-Identifier: Apache-2.0
//! Hot. A set of fields of one head, by their index in it.

use std::ops::BitOrAssign;

use crate::base::limits::FIELDS_MAX;

const WORD_BITS: usize = u64::BITS as usize;

/// Indexes of fields below `limits::FIELDS_MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    words: [u64; FIELDS_MAX.div_ceil(WORD_BITS)],
}

impl FieldSet {
    /// Is no field in it? Loops over fields ask this once, because most sets are empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.words.iter().fold(0, |all, word| all | word) == 0
    }

    /// Is the field at `index` in it?
    #[inline]
    pub fn has(&self, index: usize) -> bool {
        self.words.get(index / WORD_BITS).is_some_and(|word| word >> (index % WORD_BITS) & 1 != 0)
    }

    /// Adds the field at `index`. Indexes above the cap do not occur: no parser keeps so many fields.
    #[inline]
    pub fn insert(&mut self, index: usize) {
        debug_assert!(index < FIELDS_MAX);
        if let Some(word) = self.words.get_mut(index / WORD_BITS) {
            *word |= 1 << (index % WORD_BITS);
        }
    }
}

impl BitOrAssign for FieldSet {
    fn bitor_assign(&mut self, other: FieldSet) {
        self.words.iter_mut().zip(other.words).for_each(|(word, other)| *word |= other);
    }
}

impl FromIterator<usize> for FieldSet {
    fn from_iter<I: IntoIterator<Item = usize>>(indexes: I) -> FieldSet {
        let mut set = FieldSet::default();
        indexes.into_iter().for_each(|index| set.insert(index));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_inserted_and_nothing_else() {
        assert!(FieldSet::default().is_empty());
        for index in 0..FIELDS_MAX {
            let set = FieldSet::from_iter([index]);
            assert!(!set.is_empty());
            assert!((0..FIELDS_MAX + WORD_BITS).all(|other| set.has(other) == (other == index)), "{index}");
        }
        let mut both = FieldSet::from_iter([0, 64]);
        both |= FieldSet::from_iter([64, 255]);
        assert_eq!(both, FieldSet::from_iter([0, 64, 255]));
    }
}
