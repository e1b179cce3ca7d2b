//! Names of profile fields and what may stand in them.

use edge::ApiError;
use http::StatusCode;
use serde_json::Value;
use users::ProfileChange;

const NAME_BYTES: usize = 255;

/// The common namespaced identifier grammar of the appendices.
pub(super) fn check_name(name: &str) -> Result<(), ApiError> {
    if name.len() > NAME_BYTES {
        let status = StatusCode::BAD_REQUEST;
        return Err(ApiError::new(
            status,
            "M_KEY_TOO_LARGE",
            "This field's name is too long",
        ));
    }
    let is_word = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) || !name.bytes().all(is_word) {
        return Err(ApiError::invalid_param(
            "This is no name of a profile field",
        ));
    }
    Ok(())
}

/// The change that sets a field to a value of the right form. An empty name or address deletes it.
pub(super) fn change(name: &str, value: Value) -> Result<ProfileChange, ApiError> {
    match name {
        "displayname" => Ok(ProfileChange::DisplayName(text(name, value)?)),
        // Any address, as clients of old have set: readers check for mxc:// before they fetch.
        "avatar_url" => Ok(ProfileChange::AvatarUrl(text(name, value)?)),
        "m.tz" if !value.is_string() => Err(ApiError::bad_json("m.tz must be a string")),
        _ => Ok(ProfileChange::Field {
            name: name.to_owned(),
            json: Some(value.to_string()),
        }),
    }
}

/// The change that deletes a field.
pub(super) fn deletion(name: &str) -> ProfileChange {
    match name {
        "displayname" => ProfileChange::DisplayName(None),
        "avatar_url" => ProfileChange::AvatarUrl(None),
        _ => ProfileChange::Field {
            name: name.to_owned(),
            json: None,
        },
    }
}

fn text(name: &str, value: Value) -> Result<Option<String>, ApiError> {
    match value {
        Value::String(text) => Ok((!text.is_empty()).then_some(text)),
        _ => Err(ApiError::bad_json(format_args!("{name} must be a string"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        for good in ["displayname", "m.tz", "org.example.field-2_x"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "Upper", "9lives", ".hidden", "white space", "a/b"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        let long = check_name(&"a".repeat(256)).expect_err("too long");
        assert_eq!(long.errcode(), "M_KEY_TOO_LARGE");
    }

    #[test]
    fn an_empty_name_deletes_the_name() {
        let change = change("displayname", Value::from("")).expect("a string");
        assert_eq!(change, deletion("displayname"));
    }

    #[test]
    fn names_and_avatars_are_text() {
        for name in ["displayname", "avatar_url"] {
            let null = change(name, Value::Null).expect_err("not a string");
            assert_eq!(null.errcode(), "M_BAD_JSON");
        }
        assert!(change("displayname", Value::from(5)).is_err());
        assert!(change("avatar_url", Value::from(true)).is_err());
        assert!(change("avatar_url", Value::from("mxc://example.org/x")).is_ok());
    }
}
