//! The index of relations between events (client-server API, "Forming relationships between events"): which events name a parent
//! in `m.relates_to`, by relation type and in the order of the timeline.
//!
//! Only shown events are in it; a redacted child is taken out. A parent is named by its event id, so that a child may arrive
//! before it.

use std::borrow::Cow;

use database::{Placed, Position, Read, Record, RoomNumber, StoreError, Table, UserNumber};
use protocol::scan;
use serde::{Deserialize, Serialize};

use crate::state_map::EventNumber;

/// The children of an event: (room, parent's event id, relation type, place in the timeline). Written by the room's writer; read
/// by `/relations` and bundled aggregations.
pub static RELATIONS: Table<(RoomNumber, String, String, Position), Relation> =
    Table::new("relations");
/// How many children of an event, of one relation type, a user has sent: (room, parent, relation type, sender). Subtracted from
/// the counts for readers who ignore the sender.
pub static RELATION_SENDERS: Table<(RoomNumber, String, String, UserNumber), u64> =
    Table::new("relation_senders");
/// How many children an event has. An event without a row has none.
pub static RELATION_COUNTS: Table<(RoomNumber, String), RelationCounts> =
    Table::new("relation_counts");
/// Replacements of an event: (room, parent, sender, `origin_server_ts`, event id), so that the last one of a sender is the newest.
/// Whether a replacement is valid is decided when it is read.
pub static EDITS: Table<(RoomNumber, String, UserNumber, u64, String), EventNumber> =
    Table::new("edits");
/// Where the newest event of a thread stands: (room, root's event id).
pub static THREADS: Table<(RoomNumber, String), Placed<()>> = Table::new("threads");
/// The roots of a room's threads by the place of their newest event. Read by `/threads`.
pub static THREAD_ORDER: Table<(RoomNumber, Position), String> = Table::new("thread_order");
/// How many threads a room has.
pub static THREAD_COUNTS: Table<RoomNumber, u64> = Table::new("thread_counts");

/// Relation types of the spec that the server aggregates.
pub const THREAD: &str = "m.thread";
pub const REPLACEMENT: &str = "m.replace";
pub const REFERENCE: &str = "m.reference";

/// Bytes of an event id and of a relation type that are indexed.
const LONGEST_NAME: usize = 255;

/// One child of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    pub event: EventNumber,
    pub sender: UserNumber,
    /// The child's event type.
    pub kind: String,
}

/// How many children an event has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelationCounts {
    /// Of all relation types.
    pub all: u64,
    pub threads: u64,
    pub replacements: u64,
    pub references: u64,
}

impl Record for Relation {}
impl Record for RelationCounts {}

/// What the content of an event says in `m.relates_to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelatesTo<'a> {
    pub parent: Cow<'a, str>,
    pub kind: Cow<'a, str>,
}

impl<'a> RelatesTo<'a> {
    /// `None` where there is no relation, or none that can be indexed.
    pub fn of(content: &'a str) -> Option<Self> {
        let relation = scan::member(content, "m.relates_to")?;
        let kind = scan::string_member(relation, "rel_type")?;
        let parent = scan::string_member(relation, "event_id")?;
        let fits = |name: &str| (1..=LONGEST_NAME).contains(&name.len());
        (fits(&kind) && fits(&parent)).then_some(Self { parent, kind })
    }
}

impl RelationCounts {
    /// The count of an aggregated relation type.
    pub fn of_kind(&mut self, kind: &str) -> Option<&mut u64> {
        match kind {
            THREAD => Some(&mut self.threads),
            REPLACEMENT => Some(&mut self.replacements),
            REFERENCE => Some(&mut self.references),
            _ => None,
        }
    }

    /// Whether there is anything to bundle.
    pub fn has_aggregations(&self) -> bool {
        self.threads + self.replacements + self.references > 0
    }
}

/// Whether an event has a child of one relation type by one user.
pub async fn has_child_by(
    db: &impl Read,
    room: RoomNumber,
    parent: &str,
    kind: &str,
    sender: UserNumber,
) -> Result<bool, StoreError> {
    db.exists(RELATION_SENDERS.at((room, parent, kind, sender)))
        .await
}

/// The relation types that an event's children have: those of the spec first, at most `limit`.
pub async fn kinds(
    db: &impl Read,
    room: RoomNumber,
    parent: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let mut kinds = Vec::new();
    for kind in ["m.annotation", REFERENCE, REPLACEMENT, THREAD] {
        if db
            .first(RELATIONS.under((room, parent, kind)))
            .await?
            .is_some()
        {
            kinds.push(kind.to_owned());
        }
    }
    let mut rows = RELATIONS.under((room, parent));
    while let Some(((_, _, kind, _), _)) = db.first(rows).await? {
        rows = RELATIONS
            .under((room, parent))
            .after((room, parent, &kind, Position::MAX));
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
        if kinds.len() >= limit {
            break;
        }
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content: &str) -> Option<(String, String)> {
        let relation = RelatesTo::of(content)?;
        Some((relation.parent.into_owned(), relation.kind.into_owned()))
    }

    #[test]
    fn a_relation_needs_a_parent_and_a_type() {
        assert_eq!(
            of(r#"{"m.relates_to":{"event_id":"$a","rel_type":"m.thread"}}"#),
            Some(("$a".to_owned(), "m.thread".to_owned()))
        );
        for content in [
            "{}",
            r#"{"m.relates_to":null}"#,
            r#"{"m.relates_to":{"m.in_reply_to":{"event_id":"$a"}}}"#,
            r#"{"m.relates_to":{"event_id":"","rel_type":"m.thread"}}"#,
            r#"{"m.relates_to":{"event_id":"$a","rel_type":1}}"#,
        ] {
            assert_eq!(of(content), None, "{content}");
        }
        let long = "x".repeat(LONGEST_NAME + 1);
        let content =
            format!(r#"{{"m.relates_to":{{"event_id":"{long}","rel_type":"m.thread"}}}}"#);
        assert_eq!(of(&content), None);
    }
}
