//! Single values as people write them: durations, sizes, rates, addresses, networks.
//!
//! Each says what it expects in words, and why a text is not one; the reader puts both under a caret.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::base::{Address, Wall};

/// A value that is written as one text, or as one number.
pub trait Scalar: Sized {
    /// Its name in the reference.
    const NAME: &'static str;
    /// What is expected, with examples; continues "expected …".
    const EXPECTED: &'static str;

    /// Reads a text. The error says what is wrong with it, and never quotes more than a few characters.
    fn parse(text: &str) -> Result<Self, String>;

    /// Reads a number.
    fn of_number(number: i64) -> Result<Self, String> {
        Err(format!("{number} is a number, a text is needed"))
    }

    /// Writes it as it is read.
    fn show(&self) -> String;
}

struct ScalarVisitor<T>(PhantomData<T>);

impl<T: Scalar> ScalarVisitor<T> {
    fn fault<E: Error>(reason: &str) -> E {
        E::custom(format!("expected {}\n{reason}", T::EXPECTED))
    }
}

impl<T: Scalar> Visitor<'_> for ScalarVisitor<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::parse(text).map_err(|reason| Self::fault(&reason))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        T::of_number(number).map_err(|reason| Self::fault(&reason))
    }
}

macro_rules! scalars {
    ($($(#[$meta:meta])* $name:ident($inner:ty);)*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct $name(pub $inner);

            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                    deserializer.deserialize_any(ScalarVisitor(PhantomData))
                }
            }

            impl Serialize for $name {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_str(&self.show())
                }
            }

            impl JsonSchema for $name {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> std::borrow::Cow<'static, str> {
                    <$name as Scalar>::NAME.into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    schema_of::<$name>()
                }
            }
        )*
    };
}

fn schema_of<T: Scalar>() -> Schema {
    let kinds = if T::of_number(1).is_ok() { vec!["string", "integer"] } else { vec!["string"] };
    json_schema!({ "type": kinds, "x-type": T::NAME })
}

scalars! {
    /// A time span.
    Time(Duration);
    /// A count of bytes.
    Size(u64);
    /// A count of things, which may be written with separators.
    Count(u64);
    /// So many per time span.
    Rate(RateParts);
    /// Where to listen, or whom to ask.
    Bind(Address);
    /// A network, or a single address.
    Network(IpNet);
    /// Statuses of answers: one, a class, or a range.
    Statuses((u16, u16));
    /// Permissions of a file.
    FileMode(u32);
    /// Data-plane threads.
    Shards(Option<usize>);
    /// A share of a hundred.
    PerCent(u8);
    /// A point in time.
    Moment(Wall);
}

/// The parts of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateParts {
    /// How many.
    pub count: u64,
    /// Within which time.
    pub per: Duration,
}

const TIME_UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

impl Scalar for Time {
    const NAME: &'static str = "duration";
    const EXPECTED: &'static str = "a duration such as \"250ms\", \"30s\" or \"1h30m\"";

    fn parse(text: &str) -> Result<Time, String> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err("this is empty".to_owned());
        }
        if rest == "0" {
            return Ok(Time(Duration::ZERO));
        }
        let mut nanos = 0_u64;
        while !rest.is_empty() {
            let (number, after) = leading_number(rest).ok_or("a number is missing")?;
            let end = after.find(|letter: char| !letter.is_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            let unit = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| match unit {
                "" => "the unit is missing: one of `ms`, `s`, `m`, `h`, `d`".to_owned(),
                _ => "no such unit: use `ms`, `s`, `m`, `h` or `d`".to_owned(),
            })?;
            let part = number.times(unit.1).ok_or("this is too long")?;
            nanos = nanos.checked_add(part).ok_or("this is too long")?;
            rest = after.trim_start();
        }
        Ok(Time(Duration::from_nanos(nanos)))
    }

    fn of_number(number: i64) -> Result<Time, String> {
        match number {
            0 => Ok(Time(Duration::ZERO)),
            _ => Err(format!("the unit is missing: \"{number}s\" or \"{number}ms\"?")),
        }
    }

    fn show(&self) -> String {
        let mut nanos = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        if nanos == 0 {
            return "0s".to_owned();
        }
        let mut out = String::new();
        for unit in ["d", "h", "m", "s", "ms", "us", "ns"] {
            let size = TIME_UNITS.iter().find(|(name, _)| *name == unit).map_or(1, |(_, size)| *size);
            if nanos >= size {
                out.push_str(&format!("{}{unit}", nanos / size));
                nanos %= size;
            }
        }
        out
    }
}

/// Powers of 1024 and of 1000 as IEC and SI write them; single letters are powers of 1024, as in nginx.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1_000),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
];

impl Scalar for Size {
    const NAME: &'static str = "size";
    const EXPECTED: &'static str = "a size such as \"64KiB\", \"10MB\" or a number of bytes";

    fn parse(text: &str) -> Result<Size, String> {
        let (number, unit) = leading_number(text.trim()).ok_or("a number is missing")?;
        let unit = unit.trim().to_ascii_lowercase();
        let unit = if unit.is_empty() { "b" } else { unit.as_str() };
        let found = SIZE_UNITS.iter().find(|(name, _)| *name == unit);
        let (_, size) = found.ok_or("no such unit: use `B`, `KB`, `KiB`, `MB`, `MiB`, `GB` or `GiB`")?;
        Ok(Size(number.times(*size).ok_or("this is too large")?))
    }

    fn of_number(number: i64) -> Result<Size, String> {
        u64::try_from(number).map(Size).map_err(|_| "a size is not negative".to_owned())
    }

    fn show(&self) -> String {
        let exact = |size: u64| self.0 != 0 && self.0.is_multiple_of(size);
        let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("GB", 1_000_000_000), ("MB", 1_000_000)];
        match units.into_iter().find(|(_, size)| exact(*size)) {
            Some((unit, size)) => format!("{}{unit}", self.0 / size),
            None => self.0.to_string(),
        }
    }
}

impl Scalar for Count {
    const NAME: &'static str = "count";
    const EXPECTED: &'static str = "a whole number";

    fn parse(_: &str) -> Result<Count, String> {
        Err("this is a text".to_owned())
    }

    fn of_number(number: i64) -> Result<Count, String> {
        u64::try_from(number).map(Count).map_err(|_| "it may not be negative".to_owned())
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Scalar for Rate {
    const NAME: &'static str = "rate";
    const EXPECTED: &'static str = "a rate such as \"100/s\", \"5/m\" or \"1000/10s\"";

    fn parse(text: &str) -> Result<Rate, String> {
        let (count, per) = text.split_once('/').ok_or("the `/` with a time span is missing")?;
        let count: u64 =
            count.trim().replace('_', "").parse().map_err(|_| "a whole number must stand before the `/`")?;
        let per = per.trim();
        let per =
            if per.starts_with(|letter: char| letter.is_ascii_digit()) { per.to_owned() } else { format!("1{per}") };
        let Time(per) = Time::parse(&per)?;
        if count == 0 || per.is_zero() {
            return Err("a rate is at least one per some time; to refuse everything, answer with 403".to_owned());
        }
        Ok(Rate(RateParts { count, per }))
    }

    fn show(&self) -> String {
        let per = Time(self.0.per).show();
        let per = per.strip_prefix('1').filter(|rest| !rest.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(&per);
        format!("{}/{per}", self.0.count)
    }
}

impl Scalar for Bind {
    const NAME: &'static str = "address";
    const EXPECTED: &'static str = "an address such as \"0.0.0.0:8080\", \"[::]:8080\" or \"unix:/run/x.sock\"";

    fn parse(text: &str) -> Result<Bind, String> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            // `sun_path` has 108 bytes with its end.
            return match path.len() {
                0 => Err("the path is missing".to_owned()),
                1..=107 => Ok(Bind(Address::Unix(Path::new(path).into()))),
                _ => Err("a socket's path has at most 107 bytes".to_owned()),
            };
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Bind(Address::Inet(address)));
        }
        if text.parse::<IpAddr>().is_ok() {
            return Err("the port is missing".to_owned());
        }
        let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
        let port: u16 = port.parse().map_err(|_| "a port is a number from 0 to 65535")?;
        let host = match host {
            "" | "*" => "0.0.0.0",
            "localhost" => "127.0.0.1",
            other => other,
        };
        let ip: IpAddr = host.parse().map_err(|_| match host.contains(':') {
            true => "an IPv6 address stands in brackets: \"[::1]:8080\"",
            false => "names are not resolved here: write the address",
        })?;
        Ok(Bind(Address::Inet(SocketAddr::new(ip, port))))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Scalar for Network {
    const NAME: &'static str = "network";
    const EXPECTED: &'static str = "a network such as \"10.0.0.0/8\" or \"fd00::/8\", or one address";

    fn parse(text: &str) -> Result<Network, String> {
        let text = text.trim();
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Network(network.trunc()));
        }
        let single = text.parse::<IpAddr>().map(IpNet::from).map_err(|_| "neither a network nor an address".to_owned());
        single.map(Network)
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Scalar for Statuses {
    const NAME: &'static str = "statuses";
    const EXPECTED: &'static str = "a status (200), a class (\"2xx\") or a range (\"200-299\")";

    fn parse(text: &str) -> Result<Statuses, String> {
        let text = text.trim();
        if let Some(class) = text.strip_suffix("xx") {
            let class = class.parse::<u16>().ok().filter(|class| (1..=5).contains(class));
            let class = class.ok_or("classes are 1xx to 5xx")?;
            return Ok(Statuses((class * 100, class * 100 + 99)));
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=599).contains(status));
        let (first, last) = status(first).zip(status(last)).ok_or("a status is a number from 100 to 599")?;
        if first > last {
            return Err("the range ends before it begins".to_owned());
        }
        Ok(Statuses((first, last)))
    }

    fn of_number(number: i64) -> Result<Statuses, String> {
        Statuses::parse(&number.to_string())
    }

    fn show(&self) -> String {
        let (first, last) = self.0;
        match first == last {
            true => first.to_string(),
            false if first.is_multiple_of(100) && last == first + 99 => format!("{}xx", first / 100),
            false => format!("{first}-{last}"),
        }
    }
}

impl Scalar for FileMode {
    const NAME: &'static str = "file mode";
    const EXPECTED: &'static str = "permissions such as \"0660\"";

    fn parse(text: &str) -> Result<FileMode, String> {
        let digits = text.trim().strip_prefix("0o").unwrap_or(text.trim());
        let mode = u32::from_str_radix(digits, 8).map_err(|_| "it is not an octal number")?;
        if mode > 0o777 {
            return Err("above 0777".to_owned());
        }
        Ok(FileMode(mode))
    }

    fn show(&self) -> String {
        format!("{:04o}", self.0)
    }
}

/// Most data-plane threads.
pub const SHARDS_MAX: usize = 1_024;

impl Scalar for Shards {
    const NAME: &'static str = "count or \"auto\"";
    const EXPECTED: &'static str = "\"auto\" or a number from 1 to 1024";

    fn parse(text: &str) -> Result<Shards, String> {
        match text.trim() {
            "auto" => Ok(Shards(None)),
            other => other.parse().map_err(|_| "it is neither".to_owned()).and_then(Shards::of_number),
        }
    }

    fn of_number(number: i64) -> Result<Shards, String> {
        let count = usize::try_from(number).ok().filter(|count| (1..=SHARDS_MAX).contains(count));
        count.map(|count| Shards(Some(count))).ok_or_else(|| format!("{number} is outside"))
    }

    fn show(&self) -> String {
        self.0.map_or("auto".to_owned(), |count| count.to_string())
    }
}

impl Scalar for PerCent {
    const NAME: &'static str = "per cent";
    const EXPECTED: &'static str = "a share from 0 to 100, such as 20 or \"20%\"";

    fn parse(text: &str) -> Result<PerCent, String> {
        let text = text.trim();
        let number = text.strip_suffix('%').unwrap_or(text).trim();
        number.parse().map_err(|_| "it is not a whole number".to_owned()).and_then(PerCent::of_number)
    }

    fn of_number(number: i64) -> Result<PerCent, String> {
        let share = u8::try_from(number).ok().filter(|share| *share <= 100);
        share.map(PerCent).ok_or_else(|| format!("{number} is outside"))
    }

    fn show(&self) -> String {
        format!("{}%", self.0)
    }
}

impl Scalar for Moment {
    const NAME: &'static str = "moment";
    const EXPECTED: &'static str = "a moment such as \"2027-01-31\" or \"2027-01-31T12:00:00Z\"";

    fn parse(text: &str) -> Result<Moment, String> {
        let text = text.trim();
        let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00Z"));
        let part = |text: Option<&str>, digits: usize| {
            let text = text.filter(|text| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit()));
            text.and_then(|text| text.parse::<u64>().ok()).ok_or("it is not written like that")
        };
        let mut dates = date.split('-');
        let (year, month, day) = (part(dates.next(), 4)?, part(dates.next(), 2)?, part(dates.next(), 2)?);
        let time = time.strip_suffix('Z').ok_or("the time is given in UTC, with a `Z` at its end")?;
        let mut times = time.split(':');
        let (hour, minute, second) = (part(times.next(), 2)?, part(times.next(), 2)?, part(times.next(), 2)?);
        if dates.next().is_some() || times.next().is_some() {
            return Err("there is too much of it".to_owned());
        }
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days_of = |month: u64| match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let sane = year >= 1970 && (1..=12).contains(&month) && (1..=days_of(month)).contains(&day);
        if !sane || hour > 23 || minute > 59 || second > 59 {
            return Err("there is no such moment after 1970".to_owned());
        }
        let before = year - 1;
        let leaps = (before / 4 - before / 100 + before / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400);
        let days = (year - 1970) * 365 + leaps + (1..month).map(days_of).sum::<u64>() + day - 1;
        Ok(Moment(Wall((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000)))
    }

    fn show(&self) -> String {
        let seconds = self.0.seconds();
        let (mut days, rest) = (seconds / 86_400, seconds % 86_400);
        let length = |year: u64| {
            365 + u64::from(year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)))
        };
        let mut year = 1970;
        while days >= length(year) {
            days -= length(year);
            year += 1;
        }
        let february = if length(year) == 366 { 29 } else { 28 };
        let mut month = 1;
        for of_month in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            if days < of_month {
                break;
            }
            days -= of_month;
            month += 1;
        }
        let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
        format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
    }
}

/// A limit that may be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit<T> {
    /// No limit.
    Off,
    /// This one.
    At(T),
}

impl<T> Limit<T> {
    /// The limit, where there is one.
    pub fn some(self) -> Option<T> {
        match self {
            Limit::Off => None,
            Limit::At(value) => Some(value),
        }
    }
}

impl<T: Scalar> Scalar for Limit<T> {
    const NAME: &'static str = T::NAME;
    const EXPECTED: &'static str = T::EXPECTED;

    fn parse(text: &str) -> Result<Limit<T>, String> {
        match text.trim() {
            "off" => Ok(Limit::Off),
            other => T::parse(other).map(Limit::At).map_err(|reason| format!("{reason}; \"off\" is no limit")),
        }
    }

    fn of_number(number: i64) -> Result<Limit<T>, String> {
        T::of_number(number).map(Limit::At)
    }

    fn show(&self) -> String {
        match self {
            Limit::Off => "off".to_owned(),
            Limit::At(value) => value.show(),
        }
    }
}

impl<'de, T: Scalar> Deserialize<'de> for Limit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Limit<T>, D::Error> {
        deserializer.deserialize_any(ScalarVisitor(PhantomData))
    }
}

impl<T: Scalar> Serialize for Limit<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.show())
    }
}

impl<T: Scalar> JsonSchema for Limit<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("{} or \"off\"", T::NAME).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = schema_of::<T>();
        schema.insert("type".to_owned(), serde_json::json!(["string", "integer"]));
        schema.insert("x-type".to_owned(), format!("{} or \"off\"", T::NAME).into());
        schema
    }
}

/// A number with up to nine digits behind the point, kept exact.
struct Decimal {
    whole: u64,
    nanos: u64,
}

impl Decimal {
    fn times(&self, unit: u64) -> Option<u64> {
        let part = u128::from(self.nanos) * u128::from(unit) / 1_000_000_000;
        self.whole.checked_mul(unit)?.checked_add(u64::try_from(part).ok()?)
    }
}

fn leading_number(text: &str) -> Option<(Decimal, &str)> {
    let digits = |text: &str| text.find(|letter: char| !letter.is_ascii_digit() && letter != '_').unwrap_or(text.len());
    let (whole, mut rest) = text.split_at(digits(text));
    if whole.is_empty() || whole.starts_with('_') {
        return None;
    }
    let whole = whole.replace('_', "").parse().ok()?;
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let (fraction, after) = fraction.split_at(digits(fraction));
        if fraction.is_empty() || fraction.len() > 9 {
            return None;
        }
        nanos = format!("{fraction:0<9}").parse().ok()?;
        rest = after;
    }
    Some((Decimal { whole, nanos }, rest.trim_start()))
}

#[cfg(test)]
mod tests {
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
        fn what_is_shown_reads_back(nanos in 0_u64..=u64::MAX, bytes: u64, count in 1_u64..1_000_000, secs in 1_u64..100_000) {
            let time = Time(Duration::from_nanos(nanos));
            proptest::prop_assert_eq!(Time::parse(&time.show()).unwrap(), time);
            let size = Size(bytes);
            proptest::prop_assert_eq!(Size::parse(&size.show()).unwrap(), size);
            let rate = Rate(RateParts { count, per: Duration::from_secs(secs) });
            proptest::prop_assert_eq!(Rate::parse(&rate.show()).unwrap(), rate);
        }

        #[test]
        fn garbage_never_panics(text in ".{0,40}", number: i64) {
            let _ = (Time::parse(&text), Size::parse(&text), Rate::parse(&text), Bind::parse(&text));
            let _ = (Moment::parse(&text), Network::parse(&text), Statuses::parse(&text), FileMode::parse(&text), Shards::parse(&text));
            let _ = (Statuses::of_number(number), Shards::of_number(number), PerCent::of_number(number));
        }
    }
}
