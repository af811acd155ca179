// SPDX-License-Identifier: Apache-2.0
//! Hot. How fast bodies may pass: what policies decide, and the edge keeps to.

use crate::policy::limit::LimitId;

/// The rate of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    /// Bytes a second at most; zero is no limit.
    pub bytes_a_second: u64,
    /// So many bytes pass first, as fast as they come.
    pub after: u64,
}

/// A direction of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To the client.
    Download,
    /// To the upstream.
    Upload,
}

/// A rate that all exchanges of one key share, over all shards. It is a rate limit on units of `UNIT_BYTES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyedRate {
    /// Of what.
    pub direction: Direction,
    /// The limit that it is counted in.
    pub limit: LimitId,
    /// Which of the policy's limits that is.
    pub part: u32,
    /// The key.
    pub key: u64,
    /// What a body keeps to by itself while its key cannot be counted; `after` is what may pass at once.
    pub alone: Throttle,
}

/// What one unit of a shared rate is.
pub(crate) const UNIT_BYTES: u64 = 16;

/// The rates of one exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// Of the response's body.
    pub download: Throttle,
    /// Of the request's body.
    pub upload: Throttle,
}

impl Throttle {
    /// The slower one.
    #[must_use]
    pub fn slower(self, other: Throttle) -> Throttle {
        let is_slower = other.bytes_a_second > 0
            && (self.bytes_a_second == 0 || (other.bytes_a_second, other.after) < (self.bytes_a_second, self.after));
        if is_slower { other } else { self }
    }
}

impl Bandwidth {
    /// The slower one in each direction.
    #[must_use]
    pub fn slower(self, other: Bandwidth) -> Bandwidth {
        Bandwidth { download: self.download.slower(other.download), upload: self.upload.slower(other.upload) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_limits_the_slower_holds_and_none_is_the_fastest() {
        let at = |bytes_a_second, after| Throttle { bytes_a_second, after };
        assert_eq!(at(0, 0).slower(at(7, 9)), at(7, 9));
        assert_eq!(at(7, 9).slower(at(0, 0)), at(7, 9));
        assert_eq!(at(7, 9).slower(at(8, 0)), at(7, 9));
        assert_eq!(at(7, 9).slower(at(7, 1)), at(7, 1));
    }
}
