// SPDX-License-Identifier: Apache-2.0
//! Single values as people write them: durations, sizes, rates, addresses, networks.
//!
//! Each type describes what it expects and why a text is wrong; the reader shows both under a caret.

mod machine;
mod moment;
mod period;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::base::{Address, Wall};
use crate::policy::directory::Period;

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
    /// Statuses of responses: one, a class, or a range.
    Statuses((u16, u16));
    /// Permissions of a file.
    FileMode(u32);
    /// A number of connections; none where the gateway finds it out.
    AutoCount(Option<u32>);
    /// Data-plane threads.
    Shards(Option<usize>);
    /// The port of a redirect; none for that of the listener.
    RedirectPort(Option<u16>);
    /// A share of a hundred.
    PerCent(u8);
    /// A share in parts of a million.
    Share(u32);
    /// A point in time.
    Moment(Wall);
    /// The time that a limit of a plan counts in.
    PeriodSpec(Period);
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

impl Share {
    /// Everything.
    pub const ALL: Share = Share(1_000_000);
}

impl Scalar for Share {
    const NAME: &'static str = "share";
    const EXPECTED: &'static str = "a share from \"0%\" to \"100%\", such as \"1%\" or \"0.05%\"";

    fn parse(text: &str) -> Result<Share, String> {
        let number = text.trim().strip_suffix('%').ok_or("the `%` is missing")?.trim();
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(part) {
            return Err("it is not a number".to_owned());
        }
        if part.len() > SHARE_DIGITS {
            return Err(format!("{SHARE_DIGITS} digits behind the point are the most"));
        }
        let digits = format!("{whole}{part:0<SHARE_DIGITS$}");
        let share = digits.parse().ok().map(Share).filter(|share| share.0 <= Share::ALL.0);
        share.ok_or_else(|| format!("{number} is outside"))
    }

    fn of_number(number: i64) -> Result<Share, String> {
        Share::parse(&format!("{number}%"))
    }

    fn show(&self) -> String {
        let (whole, part) = (self.0 / 10_000, self.0 % 10_000);
        match part {
            0 => format!("{whole}%"),
            _ => format!("{whole}.{}%", format!("{part:0SHARE_DIGITS$}").trim_end_matches('0')),
        }
    }
}

/// Digits behind the point of a share.
const SHARE_DIGITS: usize = 4;

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
mod tests;
