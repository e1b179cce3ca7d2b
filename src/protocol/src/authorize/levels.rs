//! Power levels of room versions 1 to 5 for the rules of ruma ("`m.room.power_levels` events accept values as floats").
//!
//! JSON of these versions may contain floats and integers of any size; ruma knows only the integers of canonical JSON. Floats
//! lose their fraction, as the specification requires. Greater numbers become the greatest that ruma knows: users whose levels
//! are both beyond 2^53 are equal here. Later room versions accept no such number on receipt, so nothing is translated there.

use serde_json::value::RawValue;

use crate::canonical::{MAX_INTEGER, number_tokens};

/// The content with all numbers as integers of canonical JSON; `None` if they are already.
pub(super) fn translate(content: &str) -> Option<Box<RawValue>> {
    let mut out = String::new();
    let mut copied = 0;
    for (start, token) in number_tokens(content) {
        let Some(integer) = integer_of(token) else {
            continue;
        };
        out.push_str(&content[copied..start]);
        out.push_str(&integer.to_string());
        copied = start + token.len();
    }
    if copied == 0 {
        return None;
    }
    out.push_str(&content[copied..]);
    RawValue::from_string(out).ok()
}

/// `None` if the number needs no translation.
fn integer_of(token: &str) -> Option<i64> {
    if let Ok(integer) = token.parse::<i64>()
        && integer.unsigned_abs() <= MAX_INTEGER.unsigned_abs()
    {
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "clamped to what both types have exactly"
    )]
    let integer = token
        .parse::<f64>()
        .ok()?
        .trunc()
        .clamp(-(MAX_INTEGER as f64), MAX_INTEGER as f64) as i64;
    Some(integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_truncated_and_great_integers_clamped() {
        for (content, expected) in [
            (
                r#"{"ban":50.57,"users":{"@a:x":5.114698E4,"@b 1.5:x":-0.9}}"#,
                Some(r#"{"ban":50,"users":{"@a:x":51146,"@b 1.5:x":0}}"#),
            ),
            (
                r#"{"ban":9223372036854775807,"kick":-1e300}"#,
                Some(r#"{"ban":9007199254740991,"kick":-9007199254740991}"#),
            ),
            (r#"{"ban":50,"users":{"@a:x":"1.5"}}"#, None),
            (r#"{"ban":9007199254740991}"#, None),
        ] {
            let translated = translate(content);
            assert_eq!(translated.as_deref().map(RawValue::get), expected);
        }
    }
}
