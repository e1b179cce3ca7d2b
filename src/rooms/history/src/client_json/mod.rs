//! How clients see an event (client-server API, "Room event format"): spliced from the JSON that was signed.
//!
//! The content is copied as it is and never parsed. Only `unsigned` differs per reader; `page` collects what it says. What
//! room versions move is put back: `redacts` stands both in a redaction and in its content (room version 11), and the
//! create event of version 12 gets the `room_id` that it cannot hold.

mod page;
mod relations;

use std::io::Write as _;

use database::Millis;
use ruma::RoomId;

use self::relations::Relations;
use rooms_store::{Event, tables::Membership};

/// What `unsigned` says of an event to one reader; nothing is written of what is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unsigned<'a> {
    /// The time of the answer, from which `age` follows.
    pub now: Option<Millis>,
    /// The reader's own membership at the event, with what the event made of it.
    pub membership: Option<Membership>,
    /// The state event that this one replaced.
    pub replaced: Option<Replaced<'a>>,
    pub redacted_because: Option<&'a Event>,
    /// Only for the device that sent the event.
    pub transaction_id: Option<&'a str>,
    pub(crate) relations: Option<Relations<'a>>,
}

/// A state event that was replaced by a later one.
#[derive(Clone, Copy, Debug)]
pub struct Replaced<'a> {
    pub event: &'a Event,
    /// Whether the reader may see it: only then its content is told.
    pub is_visible: bool,
}

/// Writes one event. `room_id` is left out where the answer says it elsewhere (`/sync`).
pub fn write_event(
    out: &mut Vec<u8>,
    event: &Event,
    room_id: Option<&RoomId>,
    unsigned: &Unsigned<'_>,
) {
    write_common(out, event);
    out.extend_from_slice(br#","origin_server_ts":"#);
    write_number(out, event.origin_server_ts);
    out.extend_from_slice(br#","event_id":"#);
    write_text(out, event.id.as_str());
    if let Some(room_id) = room_id {
        out.extend_from_slice(br#","room_id":"#);
        write_text(out, room_id.as_str());
    }
    if let Some(redacts) = &event.redacts {
        out.extend_from_slice(br#","redacts":"#);
        write_text(out, redacts.as_str());
    }
    write_unsigned(out, unsigned, event.origin_server_ts);
    out.push(b'}');
}

/// Writes an event of stripped state (client-server API, "Stripped state").
pub fn write_stripped(out: &mut Vec<u8>, event: &Event) {
    write_common(out, event);
    out.push(b'}');
}

/// A comma, unless this is the first element of the list that began at `start`.
pub fn separate(out: &mut Vec<u8>, start: usize) {
    if out.len() > start {
        out.push(b',');
    }
}

/// The opening brace and what every form of an event has.
fn write_common(out: &mut Vec<u8>, event: &Event) {
    out.extend_from_slice(br#"{"type":"#);
    write_text(out, &event.kind);
    if let Some(state_key) = &event.state_key {
        out.extend_from_slice(br#","state_key":"#);
        write_text(out, state_key);
    }
    out.extend_from_slice(br#","sender":"#);
    write_text(out, event.sender.as_str());
    out.extend_from_slice(br#","content":"#);
    write_content(out, event);
}

fn write_content(out: &mut Vec<u8>, event: &Event) {
    let content = event.content();
    let redacts = event.redacts.as_ref().filter(|_| {
        &*event.kind == "m.room.redaction" && protocol::scan::member(content, "redacts").is_none()
    });
    let Some((redacts, rest)) = redacts.zip(content.strip_prefix('{')) else {
        out.extend_from_slice(content.as_bytes());
        return;
    };
    out.extend_from_slice(br#"{"redacts":"#);
    write_text(out, redacts.as_str());
    if rest.trim_start() != "}" {
        out.push(b',');
    }
    out.extend_from_slice(rest.as_bytes());
}

fn write_unsigned(out: &mut Vec<u8>, unsigned: &Unsigned<'_>, event_ts: u64) {
    out.extend_from_slice(br#","unsigned":{"#);
    let start = out.len();
    if let Some(now) = unsigned.now {
        out.extend_from_slice(br#""age":"#);
        write_number(out, now.0.saturating_sub(event_ts));
    }
    if let Some(membership) = unsigned.membership {
        separate(out, start);
        out.extend_from_slice(br#""membership":"#);
        write_text(out, membership.as_str());
    }
    if let Some(replaced) = &unsigned.replaced {
        separate(out, start);
        write_replaced(out, replaced);
    }
    if let Some(redaction) = unsigned.redacted_because {
        separate(out, start);
        out.extend_from_slice(br#""redacted_because":"#);
        let inner = Unsigned {
            now: unsigned.now,
            ..Unsigned::default()
        };
        write_event(out, redaction, None, &inner);
    }
    if let Some(id) = unsigned.transaction_id {
        separate(out, start);
        out.extend_from_slice(br#""transaction_id":"#);
        write_text(out, id);
    }
    if let Some(relations) = unsigned.relations {
        separate(out, start);
        out.extend_from_slice(br#""m.relations":"#);
        relations.write(out, unsigned.now);
    }
    out.push(b'}');
}

fn write_replaced(out: &mut Vec<u8>, replaced: &Replaced<'_>) {
    out.extend_from_slice(br#""replaces_state":"#);
    write_text(out, replaced.event.id.as_str());
    if replaced.is_visible {
        out.extend_from_slice(br#","prev_content":"#);
        out.extend_from_slice(replaced.event.content().as_bytes());
        out.extend_from_slice(br#","prev_sender":"#);
        write_text(out, replaced.event.sender.as_str());
    }
}

/// A JSON string. Most texts of events need no escapes.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    if text
        .bytes()
        .all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')
    {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // A vector takes every text.
        let _ = serde_json::to_writer(out, text);
    }
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    // A vector takes every number.
    let _ = write!(out, "{number}");
}
