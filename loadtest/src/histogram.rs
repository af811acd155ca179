// SPDX-License-Identifier: Apache-2.0
//! A histogram of durations with a relative error below one percent, and the medians of small sets of figures.
//!
//! Buckets are linear within each power of two, so recording is a shift and an addition whatever the range.

/// Counts of nanoseconds.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    largest: u64,
}

impl Histogram {
    /// An empty histogram.
    pub fn new() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], total: 0, largest: 0 }
    }

    /// Counts one duration.
    pub fn record(&mut self, nanoseconds: u64) {
        if let Some(count) = self.counts.get_mut(bucket(nanoseconds)) {
            *count += 1;
        }
        self.total += 1;
        self.largest = self.largest.max(nanoseconds);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The longest duration.
    pub fn largest(&self) -> u64 {
        self.largest
    }

    /// The duration that a share of `per_mille` thousandths of all did not exceed; `None` while empty.
    pub fn quantile(&self, per_mille: u64) -> Option<u64> {
        if self.total == 0 {
            return None;
        }
        let rank = (self.total * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(upper(at).min(self.largest));
            }
        }
        Some(self.largest)
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

/// The median; the mean of the two in the middle where their number is even; `None` without figures.
pub fn median(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = figures.into_iter().filter(|figure| figure.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(lower.midpoint(upper))
}

/// The bucket of a value: the first 2 × STEPS values have one each, then STEPS buckets for each power of two.
fn bucket(value: u64) -> usize {
    if value < 2 * STEPS {
        return value as usize;
    }
    let shift = u64::from(63 - value.leading_zeros()) - u64::from(STEPS.trailing_zeros());
    (shift * STEPS + (value >> shift)) as usize
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    let first = (bucket % STEPS + STEPS) << shift;
    first + ((1 << shift) - 1)
}

/// Buckets of a power of two: 128 keep the error below 0.8 percent.
const STEPS: u64 = 128;

/// Enough for every value of 64 bits.
const BUCKETS: usize = (64 - STEPS.trailing_zeros() as usize + 1) * STEPS as usize;

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Histogram, bucket, median, upper};

    #[test]
    fn every_value_has_a_bucket_that_holds_it() {
        let mut values: Vec<u64> = (0..5_000).collect();
        values.extend((12..64).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + (1 << (power - 1)) + 7]));
        values.push(u64::MAX);
        for value in values {
            let at = bucket(value);
            assert!(at < BUCKETS, "{value}");
            assert!(upper(at) >= value, "{value} in bucket {at} up to {}", upper(at));
            assert!(at == 0 || upper(at - 1) < value, "{value}");
            assert!(upper(at) as f64 <= value as f64 * 1.008, "{value}");
        }
    }

    #[test]
    fn quantiles_are_near_the_exact_ones() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(500), None);
        (1..=100_000_u64).for_each(|value| histogram.record(value * 10));
        for (per_mille, exact) in [(500, 500_000.0), (990, 990_000.0), (999, 999_000.0), (1_000, 1_000_000.0)] {
            let found = histogram.quantile(per_mille).unwrap() as f64;
            assert!((found / exact - 1.0).abs() < 0.008, "{per_mille}: {found}");
        }
        assert_eq!((histogram.count(), histogram.largest()), (100_000, 1_000_000));
    }

    #[test]
    fn medians_ignore_order_and_outliers() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([900.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([f64::NAN, 5.0]), Some(5.0));
    }
}
