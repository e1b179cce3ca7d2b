//! Settings with a unit.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de};

/// A number of bytes, written as a number or with a unit, such as `512 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl Bytes {
    pub(crate) fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Seconds(pub(crate) u32);

/// A long time, written as such as `24 h` or `90 d`, or as a number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age(pub(crate) Duration);

impl Age {
    /// `None` for 0, which means no limit.
    pub(crate) fn limit(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (number, unit) = number_and_unit(text);
        let seconds = match unit.as_str() {
            "" | "s" => 1,
            "min" => 60,
            "h" => 3_600,
            "d" | "days" => 86_400,
            _ => return None,
        };
        let seconds = number.parse::<u64>().ok()?.checked_mul(seconds)?;
        Some(Self(Duration::from_secs(seconds)))
    }
}

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AgeVisitor)
    }
}

struct AgeVisitor;

impl de::Visitor<'_> for AgeVisitor {
    type Value = Age;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number of seconds, or a time such as \"24 h\" or \"90 d\"")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Age, E> {
        u64::try_from(number)
            .map(|seconds| Age(Duration::from_secs(seconds)))
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Age, E> {
        Age::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl From<Seconds> for Duration {
    fn from(seconds: Seconds) -> Self {
        Self::from_secs(seconds.0.into())
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BytesVisitor)
    }
}

struct BytesVisitor;

impl de::Visitor<'_> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number of bytes, such as 536870912 or \"512 MiB\"")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Bytes, E> {
        u64::try_from(number)
            .map(Bytes)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
        parse(text)
            .map(Bytes)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

fn parse(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text);
    let unit = match unit.as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// The unit in lower case.
fn number_and_unit(text: &str) -> (&str, String) {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    (number, unit.trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_units() {
        let seconds = |text| Age::parse(text).map(|age| age.0.as_secs());
        assert_eq!(seconds("24 h"), Some(86_400));
        assert_eq!(seconds("90d"), Some(90 * 86_400));
        assert_eq!(seconds("30"), Some(30));
        assert_eq!(seconds("2 fortnights"), None);
        assert_eq!(seconds(""), None);
    }

    #[test]
    fn bytes_have_units() {
        assert_eq!(parse("512 MiB"), Some(512 << 20));
        assert_eq!(parse("2gb"), Some(2_000_000_000));
        assert_eq!(parse("1048576"), Some(1 << 20));
        assert_eq!(parse("many"), None);
        assert_eq!(parse("-1 MiB"), None);
        assert_eq!(parse("99999999999 GiB"), None);
    }
}
