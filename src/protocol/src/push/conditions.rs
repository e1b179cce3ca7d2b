//! The conditions of push rules, read once and then asked of any number of events.

use std::borrow::Cow;

use ruma::UserId;
use serde_json::Value;

use super::{PushEvent, glob};
use crate::power_levels::PowerLevels;

/// The room at the event, as far as rules ask for it.
#[derive(Clone, Copy, Debug)]
pub struct RoomContext<'a> {
    /// Joined members.
    pub member_count: u64,
    /// Without them, nobody may notify the whole room.
    pub power_levels: Option<&'a PowerLevels>,
}

/// The user whose rules they are.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub user_id: &'a UserId,
    /// Their display name in the room, for the rules that look for it in bodies.
    pub display_name: Option<&'a str>,
}

/// A glob pattern in lower case.
#[derive(Debug)]
pub(super) struct Pattern {
    lower: Box<str>,
    is_plain: bool,
}

/// Something that an event must be for a rule to match.
#[derive(Debug)]
pub(super) enum Condition {
    /// The body has words that match.
    Body(Pattern),
    /// All of a text matches.
    Text {
        key: Box<str>,
        pattern: Pattern,
    },
    /// A property is this string, integer, boolean or null.
    Is {
        key: Box<str>,
        value: Value,
    },
    /// An array has such a value.
    Contains {
        key: Box<str>,
        value: Value,
    },
    DisplayName,
    MemberCount(Comparison, u64),
    /// The sender may notify the whole room, or whatever the key says.
    Permission(Box<str>),
    /// Nobody knows this condition, or it says too little: the rule never matches.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Pattern {
    pub(super) fn new(pattern: &str) -> Self {
        Self {
            lower: pattern.to_lowercase().into(),
            is_plain: pattern.is_ascii() && !pattern.contains(['*', '?']),
        }
    }

    pub(super) fn matches_body(&self, event: &PushEvent) -> bool {
        event
            .lower_body()
            .is_some_and(|body| glob::matches_words(&self.lower, body))
    }

    fn matches_whole(&self, text: &str) -> bool {
        if self.is_plain && text.is_ascii() {
            return self.lower.eq_ignore_ascii_case(text);
        }
        glob::matches_whole(&self.lower, &lower(text))
    }

    /// Bytes on the heap.
    pub(super) fn weight(&self) -> usize {
        self.lower.len()
    }
}

impl Condition {
    pub(super) fn parse(condition: &Value) -> Self {
        Self::read(condition).unwrap_or(Self::Unknown)
    }

    fn read(condition: &Value) -> Option<Self> {
        let text = |name: &str| condition.get(name).and_then(Value::as_str);
        Some(match text("kind")? {
            "event_match" => {
                let pattern = Pattern::new(text("pattern")?);
                match text("key")? {
                    "content.body" => Self::Body(pattern),
                    key => Self::Text {
                        key: key.into(),
                        pattern,
                    },
                }
            }
            "event_property_is" => Self::Is {
                key: text("key")?.into(),
                value: scalar(condition.get("value")?)?,
            },
            "event_property_contains" => Self::Contains {
                key: text("key")?.into(),
                value: scalar(condition.get("value")?)?,
            },
            "contains_display_name" => Self::DisplayName,
            "room_member_count" => {
                let (comparison, count) = comparison(text("is")?)?;
                Self::MemberCount(comparison, count)
            }
            "sender_notification_permission" => Self::Permission(text("key")?.into()),
            _ => return None,
        })
    }

    pub(super) fn holds(
        &self,
        event: &PushEvent,
        room: &RoomContext<'_>,
        display_name: Option<&str>,
    ) -> bool {
        match self {
            Self::Body(pattern) => pattern.matches_body(event),
            Self::Text { key, pattern } => event
                .text(key)
                .is_some_and(|text| pattern.matches_whole(text)),
            Self::Is { key, value } => event.get(key) == Some(value),
            Self::Contains { key, value } => event
                .get(key)
                .and_then(Value::as_array)
                .is_some_and(|values| values.contains(value)),
            Self::DisplayName => display_name.is_some_and(|name| has_name(event, name)),
            Self::MemberCount(comparison, wanted) => comparison.holds(room.member_count, *wanted),
            Self::Permission(key) => {
                let Ok(sender) = <&UserId>::try_from(event.sender()) else {
                    return false;
                };
                room.power_levels
                    .is_some_and(|levels| levels.may_notify(sender, key))
            }
            Self::Unknown => false,
        }
    }

    /// Bytes on the heap.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Body(pattern) => pattern.weight(),
            Self::Text { key, pattern } => key.len() + pattern.weight(),
            Self::Is { key, value } | Self::Contains { key, value } => {
                key.len() + value.as_str().map_or(0, str::len)
            }
            Self::Permission(key) => key.len(),
            Self::DisplayName | Self::MemberCount(..) | Self::Unknown => 0,
        }
    }
}

impl Comparison {
    fn holds(self, count: u64, wanted: u64) -> bool {
        match self {
            Self::Equal => count == wanted,
            Self::Less => count < wanted,
            Self::AtMost => count <= wanted,
            Self::More => count > wanted,
            Self::AtLeast => count >= wanted,
        }
    }
}

/// Whether the body has the name between word boundaries. A name is text, also where it looks like a pattern.
pub(super) fn has_name(event: &PushEvent, name: &str) -> bool {
    !name.is_empty()
        && event
            .lower_body()
            .is_some_and(|body| glob::contains_words(&lower(name), body))
}

/// A decimal integer behind an operator, which is `==` if there is none.
fn comparison(text: &str) -> Option<(Comparison, u64)> {
    let operators = [
        ("==", Comparison::Equal),
        ("<=", Comparison::AtMost),
        (">=", Comparison::AtLeast),
        ("<", Comparison::Less),
        (">", Comparison::More),
    ];
    let found = operators
        .iter()
        .find_map(|(word, comparison)| Some((*comparison, text.strip_prefix(word)?)));
    let (comparison, digits) = found.unwrap_or((Comparison::Equal, text));
    let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
    Some((
        comparison,
        digits.parse().ok().filter(|_: &u64| is_decimal)?,
    ))
}

/// A value that can be compared: of numbers, only the integers of canonical JSON.
fn scalar(value: &Value) -> Option<Value> {
    const MOST: u64 = (1 << 53) - 1;
    let is_scalar = match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => number
            .as_i64()
            .is_some_and(|number| number.unsigned_abs() <= MOST),
        Value::Array(_) | Value::Object(_) => false,
    };
    is_scalar.then(|| value.clone())
}

fn lower(text: &str) -> Cow<'_, str> {
    if text
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
    {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}
