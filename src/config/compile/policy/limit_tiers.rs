// SPDX-License-Identifier: Apache-2.0
//! Windows of a rate limit that tiers share.

use crate::config::location::Location;
use crate::policy::limit::gcra::Rate;
use crate::policy::rate_limit::{Share, TierShares, Window};

/// The windows of a tier, as they were written.
pub(super) struct Tier {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub location: Location,
    /// Its windows, each with its own numbers.
    pub windows: Vec<Window>,
}

/// Makes one window of all that are of the same length, and says what a request is in it. `Err` is the tier that has
/// two of one length.
pub(super) fn share(tiers: &[Tier]) -> Result<(Vec<Window>, Vec<TierShares>), &Tier> {
    let mut shared: Vec<(Window, Vec<u32>)> = Vec::new();
    let mut places = Vec::new();
    for tier in tiers {
        let mut own: Vec<usize> = Vec::new();
        for window in &tier.windows {
            let known = shared.iter().position(|(known, _)| is_same(known, window));
            let at = known.unwrap_or_else(|| {
                shared.push((window.clone(), Vec::new()));
                shared.len() - 1
            });
            shared[at].1.push(window.rate().burst());
            if own.contains(&at) {
                return Err(tier);
            }
            own.push(at);
        }
        places.push(own);
    }
    let of_all = |(window, quotas): (Window, Vec<u32>)| {
        let rate = of_slots(&window, common_multiple(&quotas));
        window.with_rate(rate)
    };
    let windows: Vec<Window> = shared.into_iter().map(of_all).collect();
    let units = |tier: &Tier, own: &Vec<usize>| -> TierShares {
        let pairs = own.iter().zip(&tier.windows);
        pairs.map(|(at, window)| Share { window: *at as u32, units: units(&windows[*at], window) }).collect()
    };
    let shares = tiers.iter().zip(&places).map(|(tier, own)| units(tier, own)).collect();
    Ok((windows, shares))
}

/// Do they refill at the same moments, or in the same time?
fn is_same(one: &Window, other: &Window) -> bool {
    one.calendar() == other.calendar()
        && (one.calendar().is_some() || one.rate().fill_time() == other.rate().fill_time())
}

/// What refills as `window` does and has so many slots.
fn of_slots(window: &Window, slots: u32) -> Rate {
    let rate = match window.calendar() {
        Some(_) if window.rate().is_leased() => Rate::leased(slots),
        Some(_) => Rate::counted(slots),
        None => Rate::new(slots, window.rate().fill_time(), slots),
    };
    // A fill time of more than 366 days is longer than any limit that was written.
    rate.unwrap_or(window.rate())
}

/// What one request takes of the shared window; rounded up where the slots cannot be divided, so that never more pass.
fn units(shared: &Window, own: &Window) -> u32 {
    shared.rate().burst().div_ceil(own.rate().burst()).max(1)
}

/// The least common multiple; where that is too large, a number so large that rounding costs less than one in a
/// thousand for a million requests.
fn common_multiple(quotas: &[u32]) -> u32 {
    let mut multiple = 1_u64;
    for quota in quotas {
        let quota = u64::from(*quota);
        multiple = multiple / greatest_divisor(multiple, quota) * quota;
        if multiple > SLOTS_MAX {
            return SLOTS_MAX as u32;
        }
    }
    multiple as u32
}

fn greatest_divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { greatest_divisor(other, one % other) }
}

const SLOTS_MAX: u64 = 1 << 31;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::policy::limit::calendar::{Calendar, Unit};

    fn daily(count: u32) -> Window {
        let calendar = Some(Calendar { unit: Unit::Day, zone: TimeZone::UTC });
        Window::new("day".into(), Rate::counted(count).unwrap(), calendar, Some(Unit::Day))
    }

    fn minutely(count: u32, burst: u32) -> Window {
        let rate = Rate::new(count, Duration::from_secs(60), burst).unwrap();
        Window::new("minute".into(), rate, None, Some(Unit::Minute))
    }

    fn tier(windows: Vec<Window>) -> Tier {
        Tier { name: "t".to_owned(), location: Location::default(), windows }
    }

    #[test]
    fn windows_of_one_length_are_one_and_each_tier_has_exactly_its_number() {
        let tiers = [
            tier(vec![daily(1_000), minutely(10, 10)]),
            tier(vec![minutely(15, 15), daily(2_500)]),
            tier(vec![daily(3)]),
            tier(vec![minutely(10, 20)]),
        ];
        let (windows, shares) = share(&tiers).ok().unwrap();
        let bursts: Vec<u32> = windows.iter().map(|window| window.rate().burst()).collect();
        assert_eq!(bursts, [15_000, 30, 20], "a burst that takes longer to fill is another window");
        for (tier, shares) in tiers.iter().zip(&shares) {
            for (window, share) in tier.windows.iter().zip(shares) {
                let shared = &windows[share.window as usize];
                assert_eq!(shared.rate().burst() / share.units, window.rate().burst());
                assert_eq!(shared.rate().fill_time(), window.rate().fill_time());
            }
        }
    }

    #[test]
    fn numbers_without_a_common_multiple_are_never_exceeded_and_nearly_all_usable() {
        let quotas = [999_983, 1_000_003, 65_537, 7, 1];
        let tiers: Vec<Tier> = quotas.iter().map(|quota| tier(vec![daily(*quota)])).collect();
        let (windows, shares) = share(&tiers).ok().unwrap();
        for (quota, shares) in quotas.iter().zip(&shares) {
            let passes = u64::from(windows[0].rate().burst() / shares[0].units);
            assert!(passes <= u64::from(*quota), "{passes} of {quota}");
            assert!(passes * 1_000 >= u64::from(*quota - 1) * 999, "{passes} of {quota}");
        }
    }

    #[test]
    fn a_tier_has_one_window_of_a_length() {
        assert!(share(&[tier(vec![daily(5), daily(6)])]).is_err());
    }
}
