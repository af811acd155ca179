// SPDX-License-Identifier: Apache-2.0
//! Wrong tokens by the address that they came from: after ten in a minute the address has to wait.
//!
//! Pure: time is an argument. The control socket is not counted, so an operator on the machine always gets in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::Tick;

/// Wrong tokens that an address may send in a window.
pub(crate) const ATTEMPTS_MAX: u32 = 10;
/// The window, and the longest wait.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// Most addresses that are remembered. Above it the one whose window began first is forgotten.
const ADDRESSES_MAX: usize = 4_096;

/// The attempts of all addresses.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    by_address: HashMap<IpAddr, Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Tick,
    failed: u32,
}

impl Attempts {
    /// How long this address has to wait before a token of it is looked at.
    pub(crate) fn wait(&self, address: IpAddr, now: Tick) -> Option<Duration> {
        let window = self.by_address.get(&whole(address))?;
        let until = window.began.after(WINDOW);
        (window.failed >= ATTEMPTS_MAX && now < until).then(|| until.since(now))
    }

    /// A token of this address was wrong. Says how many were in this window.
    pub(crate) fn failed(&mut self, address: IpAddr, now: Tick) -> u32 {
        let address = whole(address);
        if !self.by_address.contains_key(&address) && self.by_address.len() >= ADDRESSES_MAX {
            self.by_address.retain(|_, window| now < window.began.after(WINDOW));
            let oldest = self.by_address.iter().min_by_key(|(_, window)| window.began).map(|(address, _)| *address);
            if let Some(oldest) = oldest.filter(|_| self.by_address.len() >= ADDRESSES_MAX) {
                self.by_address.remove(&oldest);
            }
        }
        let window = self.by_address.entry(address).or_insert(Window { began: now, failed: 0 });
        if now >= window.began.after(WINDOW) {
            *window = Window { began: now, failed: 0 };
        }
        window.failed += 1;
        window.failed
    }
}

/// Who has one IPv6 address has its whole /64.
fn whole(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_waits_after_ten_wrong_tokens_and_others_do_not() {
        let (mut attempts, now) = (Attempts::default(), Tick::ZERO.after_ms(5));
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for count in 1..=ATTEMPTS_MAX {
            assert_eq!(attempts.wait(one, now), None);
            assert_eq!(attempts.failed(one, now), count);
        }
        assert_eq!(attempts.wait(one, now.after_ms(20_000)), Some(Duration::from_secs(40)));
        assert_eq!(attempts.wait(other, now), None);
        let later = now.after(WINDOW);
        assert_eq!(attempts.wait(one, later), None);
        assert_eq!(attempts.failed(one, later), 1);
    }

    #[test]
    fn addresses_of_one_network_count_as_one() {
        let (mut attempts, now) = (Attempts::default(), Tick::ZERO);
        for last in 0..ATTEMPTS_MAX as u16 {
            attempts.failed(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]), now);
        }
        assert!(attempts.wait(IpAddr::from([0x2001, 0xdb8, 0, 1, 9, 9, 9, 9]), now).is_some());
        assert!(attempts.wait(IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 0]), now).is_none());
    }

    #[test]
    fn the_table_has_an_end() {
        let (mut attempts, now) = (Attempts::default(), Tick::ZERO);
        for number in 0..2 * ADDRESSES_MAX as u32 {
            attempts.failed(IpAddr::from(number.to_be_bytes()), now.after_ms(u64::from(number) / 1_000));
        }
        assert_eq!(attempts.by_address.len(), ADDRESSES_MAX);
    }
}
