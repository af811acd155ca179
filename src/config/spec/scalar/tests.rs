// SPDX-License-Identifier: Apache-2.0
//! Values as people write them, and the way back.

use super::*;

fn time(text: &str) -> Result<u128, String> {
    Time::parse(text).map(|time| time.0.as_millis())
}

#[test]
fn durations_and_sizes_as_people_write_them() {
    assert_eq!(time("250ms"), Ok(250));
    assert_eq!(time("1h30m"), Ok(5_400_000));
    assert_eq!(time("1.5 s"), Ok(1_500));
    assert_eq!(time("1h 30m"), Ok(5_400_000));
    assert!(time("30").unwrap_err().contains("unit is missing"));
    assert!(time("s").is_err() && time("").is_err() && time("-1s").is_err() && time("1e9s").is_err());
    assert!(time("99999999999999w").is_err());
    let sizes =
        [("64KB", 64_000), ("10MiB", 10 << 20), ("8k", 8_192), ("17", 17), ("1.5 GiB", 3 << 29), ("1_000", 1_000)];
    for (text, bytes) in sizes {
        assert_eq!(Size::parse(text).unwrap().0, bytes, "{text}");
    }
    assert!(Size::parse("1TB").is_err() && Size::parse("KB").is_err() && Size::of_number(-1).is_err());
}

#[test]
fn rates_addresses_networks_statuses() {
    assert_eq!(Rate::parse("100/s").unwrap().0, RateParts { count: 100, per: Duration::from_secs(1) });
    assert_eq!(Rate::parse("5/10m").unwrap().0, RateParts { count: 5, per: Duration::from_secs(600) });
    assert!(Rate::parse("0/s").is_err() && Rate::parse("5").is_err() && Rate::parse("5/0s").is_err());
    assert_eq!(Bind::parse(":80").unwrap().show(), "0.0.0.0:80");
    assert_eq!(Bind::parse("unix:///run/a").unwrap().show(), "unix:/run/a");
    assert!(Bind::parse("::1").unwrap_err().contains("port"));
    assert!(Bind::parse("example.com:80").unwrap_err().contains("not resolved"));
    assert_eq!(Network::parse("10.1.2.3/8").unwrap().show(), "10.0.0.0/8");
    assert_eq!(Network::parse("::1").unwrap().show(), "::1/128");
    assert_eq!(Statuses::parse("2xx").unwrap().0, (200, 299));
    assert!(Statuses::parse("99").is_err() && Statuses::parse("300-200").is_err());
    assert!(FileMode::parse("0888").is_err());
    let shares = [("100%", 1_000_000), ("1%", 10_000), ("0.05 %", 500), ("2.5%", 25_000), ("0%", 0), ("0.0001%", 1)];
    for (text, parts) in shares {
        assert_eq!(Share::parse(text), Ok(Share(parts)), "{text}");
    }
    for text in ["1", "", "%", "-1%", "1.%", ".5%", "100.0001%", "101%", "1e1%", "0.00001%", "99999999999%"] {
        assert!(Share::parse(text).is_err(), "{text}");
    }
}

#[test]
fn moments_are_calendar_moments() {
    let seconds = |text: &str| Moment::parse(text).map(|moment| moment.0.seconds());
    assert_eq!(seconds("1970-01-01"), Ok(0));
    assert_eq!(seconds("2000-03-01T00:00:00Z"), Ok(951_868_800));
    assert_eq!(seconds("2024-02-29T12:30:15Z"), Ok(1_709_209_815));
    assert!(seconds("2023-02-29").is_err() && seconds("2024-13-01").is_err() && seconds("2024-1-1").is_err());
    assert!(seconds("2024-01-01T00:00:00").is_err() && seconds("2024-01-01T24:00:00Z").is_err());
}

proptest::proptest! {
    #[test]
    fn moments_read_back(seconds in 0_u64..4_000_000_000) {
        let moment = Moment(Wall(seconds * 1_000_000));
        proptest::prop_assert_eq!(Moment::parse(&moment.show()).unwrap(), moment);
    }

    #[test]
    fn what_is_shown_reads_back(nanos: u64, bytes: u64, count in 1_u64..1_000_000, secs in 1_u64..100_000) {
        let time = Time(Duration::from_nanos(nanos));
        proptest::prop_assert_eq!(Time::parse(&time.show()).unwrap(), time);
        let size = Size(bytes);
        proptest::prop_assert_eq!(Size::parse(&size.show()).unwrap(), size);
        let rate = Rate(RateParts { count, per: Duration::from_secs(secs) });
        proptest::prop_assert_eq!(Rate::parse(&rate.show()).unwrap(), rate);
        let share = Share((nanos % 1_000_001) as u32);
        proptest::prop_assert_eq!(Share::parse(&share.show()).unwrap(), share);
    }

    #[test]
    fn garbage_never_panics(text in ".{0,40}", number: i64) {
        let _ = (Time::parse(&text), Size::parse(&text), Rate::parse(&text), Bind::parse(&text));
        let _ = (Moment::parse(&text), Network::parse(&text), Statuses::parse(&text));
        let _ = (FileMode::parse(&text), Shards::parse(&text), AutoCount::parse(&text), RedirectPort::parse(&text));
        let _ = (Statuses::of_number(number), Shards::of_number(number), AutoCount::of_number(number));
        let _ = (RedirectPort::of_number(number), PerCent::of_number(number));
        let _ = (Share::parse(&text), Share::of_number(number));
    }
}
