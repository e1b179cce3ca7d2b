//! Which events of a room a client asked for: `RoomEventFilter` (client-server API, "Filtering"), ready to be matched.

use std::collections::HashSet;

use ruma::{
    OwnedRoomId, OwnedUserId, RoomId,
    api::client::filter::{LazyLoadOptions, RoomEventFilter, UrlFilter},
};

use crate::event::Event;

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
    /// Whether members are told only where they speak.
    pub lazy_members: bool,
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
            lazy_members: matches!(filter.lazy_load_options, LazyLoadOptions::Enabled { .. }),
        }
    }
}

impl EventFilter {
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
    }

    /// Whether events of this type may come.
    pub fn matches_type(&self, kind: &str) -> bool {
        let is_named = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern, kind));
        !is_named(&self.not_types) && self.types.as_deref().is_none_or(is_named)
    }
}

fn has_url(event: &Event) -> bool {
    protocol::scan::member(event.content(), "url").is_some()
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
