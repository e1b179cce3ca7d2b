//! The fields of an event by room version (rooms, "Event format"; client-server API, "Size limits"). All lengths are in bytes.

use std::borrow::Cow;

use ruma::{
    EventId, RoomId, UserId,
    room_version_rules::{
        EventIdFormatVersion, EventsReferenceFormatVersion, RoomIdFormatVersion, RoomVersionRules,
    },
};

use super::FormatError;
use crate::{
    event::{Depth, MAX_AUTH_EVENTS, MAX_FIELD_BYTES, MAX_PREVIOUS_EVENTS},
    scan,
};

/// Characters of a SHA-256 hash in unpadded base64.
const HASH_CHARACTERS: usize = 43;

/// Checks the fields of an event in canonical JSON.
pub(super) fn check(rules: &RoomVersionRules, json: &str) -> Result<(), FormatError> {
    let fields = Fields(scan::members(json).map_err(|_| FormatError::Field("content"))?);
    let kind = fields.string("type")?;
    fields.object("content")?;
    check_sender(&fields)?;
    check_room_id(rules, &fields, kind == "m.room.create")?;
    if fields.get("state_key").is_some() {
        fields.string("state_key")?;
    }
    if rules.event_format.require_event_id {
        let id = fields.string("event_id")?;
        if !is_event_id(rules, &id) {
            return Err(FormatError::Field("event_id"));
        }
    }
    fields.integer("depth", Depth::greatest(rules).0)?;
    fields.integer("origin_server_ts", Depth::greatest(rules).0)?;
    check_references(rules, &fields, "prev_events", MAX_PREVIOUS_EVENTS)?;
    check_references(rules, &fields, "auth_events", MAX_AUTH_EVENTS)?;
    let hashes = fields.object("hashes")?;
    scan::string_member(hashes, "sha256").ok_or(FormatError::Field("hashes"))?;
    fields.object("signatures")?;
    check_authorizer(rules, &fields, &kind)
}

/// The members of an event.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        let member = self.0.iter().find(|(key, _)| *key == name);
        member.map(|(_, value)| *value)
    }

    fn string(&self, name: &'static str) -> Result<Cow<'a, str>, FormatError> {
        self.get(name)
            .and_then(scan::text)
            .filter(|text| text.len() <= MAX_FIELD_BYTES)
            .ok_or(FormatError::Field(name))
    }

    fn object(&self, name: &'static str) -> Result<&'a str, FormatError> {
        self.get(name)
            .filter(|value| value.starts_with('{'))
            .ok_or(FormatError::Field(name))
    }

    /// An integer that is not negative.
    fn integer(&self, name: &'static str, greatest: u64) -> Result<u64, FormatError> {
        self.get(name)
            .and_then(|value| value.parse().ok())
            .filter(|number| *number <= greatest)
            .ok_or(FormatError::Field(name))
    }
}

fn check_sender(fields: &Fields<'_>) -> Result<(), FormatError> {
    let sender = fields.string("sender")?;
    match <&UserId>::try_from(&*sender) {
        Ok(_) => Ok(()),
        Err(_) => Err(FormatError::Field("sender")),
    }
}

fn check_room_id(
    rules: &RoomVersionRules,
    fields: &Fields<'_>,
    is_create: bool,
) -> Result<(), FormatError> {
    if is_create && !rules.event_format.require_room_create_room_id {
        return match fields.get("room_id") {
            None => Ok(()),
            Some(_) => Err(FormatError::Field("room_id")),
        };
    }
    let room_id = fields.string("room_id")?;
    let is_valid = <&RoomId>::try_from(&*room_id).is_ok()
        && match rules.room_id_format {
            RoomIdFormatVersion::V2 => is_hash(rules, &room_id[1..]),
            _ => room_id.contains(':'),
        };
    match is_valid {
        true => Ok(()),
        false => Err(FormatError::Field("room_id")),
    }
}

fn check_references(
    rules: &RoomVersionRules,
    fields: &Fields<'_>,
    name: &'static str,
    most: usize,
) -> Result<(), FormatError> {
    let list = fields.get(name).ok_or(FormatError::Field(name))?;
    let ids = match rules.events_reference_format {
        EventsReferenceFormatVersion::V1 => scan::pairs(list),
        _ => scan::strings(list),
    };
    let ids = ids.ok_or(FormatError::Field(name))?;
    match ids.len() <= most && ids.iter().all(|id| is_event_id(rules, id)) {
        true => Ok(()),
        false => Err(FormatError::Field(name)),
    }
}

/// The user who authorizes a restricted join must be one, or there is nobody whose signature could be checked.
fn check_authorizer(
    rules: &RoomVersionRules,
    fields: &Fields<'_>,
    kind: &str,
) -> Result<(), FormatError> {
    if kind != "m.room.member" || !rules.signatures.check_join_authorised_via_users_server {
        return Ok(());
    }
    let content = fields.object("content")?;
    let Some(user) = scan::member(content, "join_authorised_via_users_server") else {
        return Ok(());
    };
    match scan::text(user).is_some_and(|user| <&UserId>::try_from(&*user).is_ok()) {
        true => Ok(()),
        false => Err(FormatError::Field("join_authorised_via_users_server")),
    }
}

fn is_event_id(rules: &RoomVersionRules, id: &str) -> bool {
    if id.len() > MAX_FIELD_BYTES {
        return false;
    }
    match rules.event_id_format {
        EventIdFormatVersion::V1 => {
            <&EventId>::try_from(id).is_ok_and(|id| id.server_name().is_some())
        }
        _ => id
            .strip_prefix('$')
            .is_some_and(|hash| is_hash(rules, hash)),
    }
}

/// Whether a text is a hash in the base64 of the room version.
fn is_hash(rules: &RoomVersionRules, text: &str) -> bool {
    let extra = match rules.event_id_format {
        EventIdFormatVersion::V2 => *b"+/",
        _ => *b"-_",
    };
    text.len() == HASH_CHARACTERS
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
}
