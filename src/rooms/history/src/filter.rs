//! Which events of a room a client asked for: `RoomEventFilter` (client-server API, "Filtering"), ready to be matched.

use std::collections::HashSet;

use database::{Read, Snapshot};
use protocol::scan;
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId,
    api::client::filter::{LazyLoadOptions, RoomEventFilter, UrlFilter},
};
use serde::Deserialize;

use crate::handle::History;
use rooms_store::{
    Event, RoomError,
    relations::{self, RELATION_COUNTS, RELATIONS},
};

/// A filter for room events. The default lets everything through.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    types: Option<Vec<String>>,
    not_types: Vec<String>,
    senders: Option<HashSet<OwnedUserId>>,
    not_senders: HashSet<OwnedUserId>,
    rooms: Option<HashSet<OwnedRoomId>>,
    not_rooms: HashSet<OwnedRoomId>,
    /// Whether `url` must, or must not, be in the content.
    contains_url: Option<bool>,
    relations: Relations,
    /// Whether members are told only where they speak.
    pub lazy_members: bool,
}

/// Which events may come by how they relate to another one (MSC3874), and by what relates to them. The default lets everything
/// through.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Relations {
    /// Only events with one of these `rel_type`s.
    #[serde(rename = "org.matrix.msc3874.rel_types")]
    types: Option<Vec<String>>,
    #[serde(default, rename = "org.matrix.msc3874.not_rel_types")]
    not_types: Vec<String>,
    /// Only events with a child of one of these relation types.
    #[serde(rename = "related_by_rel_types")]
    child_types: Option<Vec<String>>,
    /// Only events with a child by one of these users.
    #[serde(rename = "related_by_senders")]
    child_senders: Option<Vec<OwnedUserId>>,
}

/// Relation types of one event, and names in one filter, that are looked at.
const MOST_NAMES: usize = 64;

impl History {
    /// Whether an event has the children that the filter asks for.
    pub(crate) async fn is_related(
        &self,
        db: &Snapshot,
        filter: &EventFilter,
        event: &Event,
    ) -> Result<bool, RoomError> {
        let Relations {
            child_types: types,
            child_senders: senders,
            ..
        } = &filter.relations;
        if types.is_none() && senders.is_none() {
            return Ok(true);
        }
        let (room, id) = (event.room, event.id.as_str());
        if !db.exists(RELATION_COUNTS.at((room, id))).await? {
            return Ok(false);
        }
        let held;
        let types = if let Some(types) = types {
            types
        } else {
            held = relations::kinds(db, room, id, MOST_NAMES).await?;
            &held
        };
        for kind in types.iter().take(MOST_NAMES) {
            let Some(senders) = senders else {
                let rows = RELATIONS.under((room, id, kind.as_str()));
                if db.first(rows).await?.is_some() {
                    return Ok(true);
                }
                continue;
            };
            for sender in senders.iter().take(MOST_NAMES) {
                let number = self.rooms.users().find_number(db, sender.as_str()).await?;
                if let Some(number) = number
                    && relations::has_child_by(db, room, id, kind, number).await?
                {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

impl From<&RoomEventFilter> for EventFilter {
    fn from(filter: &RoomEventFilter) -> Self {
        Self {
            types: filter.types.clone(),
            not_types: filter.not_types.clone(),
            senders: filter
                .senders
                .as_ref()
                .map(|senders| senders.iter().cloned().collect()),
            not_senders: filter.not_senders.iter().cloned().collect(),
            rooms: filter
                .rooms
                .as_ref()
                .map(|rooms| rooms.iter().cloned().collect()),
            not_rooms: filter.not_rooms.iter().cloned().collect(),
            contains_url: filter.url_filter.map(|url| match url {
                UrlFilter::EventsWithUrl => true,
                UrlFilter::EventsWithoutUrl => false,
            }),
            relations: Relations::default(),
            lazy_members: matches!(filter.lazy_load_options, LazyLoadOptions::Enabled { .. }),
        }
    }
}

impl EventFilter {
    #[must_use]
    pub fn with_relations(mut self, relations: Relations) -> Self {
        self.relations = relations;
        self
    }

    /// Whether events of this room may come at all.
    pub fn allows_room(&self, room_id: &RoomId) -> bool {
        !self.not_rooms.contains(room_id)
            && self
                .rooms
                .as_ref()
                .is_none_or(|rooms| rooms.contains(room_id))
    }

    /// Whether the event is asked for; its room is not looked at.
    pub fn matches(&self, event: &Event) -> bool {
        self.matches_type(&event.kind)
            && !self.not_senders.contains(&event.sender)
            && self
                .senders
                .as_ref()
                .is_none_or(|senders| senders.contains(&event.sender))
            && self
                .contains_url
                .is_none_or(|wanted| wanted == has_url(event))
            && self.relations.match_content(event.content())
    }

    /// Whether events of this type may come.
    pub fn matches_type(&self, kind: &str) -> bool {
        let is_named = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern, kind));
        !is_named(&self.not_types) && self.types.as_deref().is_none_or(is_named)
    }
}

impl Relations {
    fn match_content(&self, content: &str) -> bool {
        if self.types.is_none() && self.not_types.is_empty() {
            return true;
        }
        let relation = scan::member(content, "m.relates_to").unwrap_or_default();
        let kind = scan::string_member(relation, "rel_type")
            .filter(|_| scan::string_member(relation, "event_id").is_some());
        let is_one_of = |types: &[String]| {
            types
                .iter()
                .any(|wanted| Some(&**wanted) == kind.as_deref())
        };
        !is_one_of(&self.not_types) && self.types.as_deref().is_none_or(is_one_of)
    }
}

fn has_url(event: &Event) -> bool {
    scan::member(event.content(), "url").is_some()
}

/// Whether `text` fits a pattern in which `*` stands for any text.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut rest = rest;
    while let Some((part, more)) = rest.split_once('*') {
        let Some(at) = text.find(part) else {
            return false;
        };
        text = &text[at + part.len()..];
        rest = more;
    }
    text.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        let fitting = [
            ("m.*", "m.room"),
            ("*", ""),
            ("a*b*c", "abc"),
            ("a*b*c", "axxbbc"),
            ("*.x", "a.x"),
            ("a", "a"),
        ];
        for (pattern, text) in fitting {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        let others = [
            ("m.*", "org.m."),
            ("a", "ab"),
            ("a*a", "a"),
            ("a*b*c", "acb"),
            ("*.x", "a.xy"),
            ("", "a"),
        ];
        for (pattern, text) in others {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn relations_are_told_apart_by_their_type() {
        let relation =
            |kind: &str| format!(r#"{{"m.relates_to":{{"event_id":"$a","rel_type":"{kind}"}}}}"#);
        let (thread, reference) = (relation("m.thread"), relation("m.reference"));
        let list = |types: &[&str]| types.iter().map(ToString::to_string).collect::<Vec<_>>();
        let passed = |types: Option<&[&str]>, not_types: &[&str]| {
            let relations = Relations {
                types: types.map(list),
                not_types: list(not_types),
                ..Relations::default()
            };
            [&*thread, &*reference, "{}"].map(|content| relations.match_content(content))
        };
        assert_eq!(passed(None, &[]), [true, true, true]);
        assert_eq!(passed(Some(&["m.thread"]), &[]), [true, false, false]);
        assert_eq!(
            passed(Some(&["m.thread", "m.reference"]), &["m.thread"]),
            [false, true, false]
        );
        assert_eq!(passed(None, &["m.thread"]), [false, true, true]);
        assert_eq!(passed(Some(&[]), &[]), [false, false, false]);
    }

    #[test]
    fn what_is_excluded_wins() {
        let filter = EventFilter {
            types: Some(vec!["m.room.*".to_owned()]),
            not_types: vec!["m.room.member".to_owned()],
            ..EventFilter::default()
        };
        assert!(filter.matches_type("m.room.name"));
        assert!(!filter.matches_type("m.room.member"));
        assert!(!filter.matches_type("m.reaction"));
        assert!(EventFilter::default().matches_type("m.reaction"));
    }
}
