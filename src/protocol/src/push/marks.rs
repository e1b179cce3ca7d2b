//! What the predefined rules say of one event, found once for all members of its room.

use std::collections::BTreeSet;

use ruma::UserId;
use serde_json::Value;

use super::{
    PushEvent,
    conditions::RoomContext,
    predefined::{Bits, Personal, bits},
};

/// Which predefined rules hold for an event.
#[derive(Debug)]
pub struct Marks {
    /// Those that hold for everyone.
    pub(super) general: Bits,
    /// Those that ask who is reading, and may hold for somebody.
    pub(super) possible: Bits,
    has_body: bool,
    /// Whom the event invites.
    invites: Option<Box<str>>,
    /// Whom the event mentions.
    mentions: Box<[Box<str>]>,
}

/// What a run of events may mean to anybody: all of their marks together.
#[derive(Debug, Default)]
pub struct Stir {
    pub(super) general: Bits,
    pub(super) possible: Bits,
    pub(super) has_body: bool,
    /// Whom the events invite or mention.
    named: BTreeSet<Box<str>>,
}

impl Stir {
    pub fn add(&mut self, marks: &Marks) {
        self.general |= marks.general;
        self.possible |= marks.possible;
        self.has_body |= marks.has_body;
        let names = marks.mentions.iter().chain(&marks.invites);
        self.named
            .extend(names.map(|name| name.to_lowercase().into()));
    }

    pub(super) fn may_name(&self, user_id: &UserId) -> bool {
        !self.named.is_empty() && self.named.contains(&*user_id.as_str().to_lowercase())
    }

    /// Bytes in memory, about.
    pub fn weight(&self) -> usize {
        let names = self.named.iter().map(|name| name.len() + 64);
        size_of::<Self>() + names.sum::<usize>()
    }
}

impl Marks {
    pub fn of(event: &PushEvent, room: &RoomContext<'_>) -> Self {
        let looks_into_body = event.has_body() && !event.has_mentions();
        let general = bits(|rule| {
            rule.personal.is_none()
                && (looks_into_body || !rule.looks_into_bodies)
                && rule
                    .conditions
                    .iter()
                    .all(|condition| condition.holds(event, room, None))
        });
        let invites = invited(event).map(Into::into);
        let mentions: Box<[Box<str>]> = mentioned(event).map(Into::into).collect();
        let possible = bits(|rule| match rule.personal {
            None => false,
            Some(Personal::Invite) => invites.is_some(),
            Some(Personal::Mention) => !mentions.is_empty(),
            Some(Personal::DisplayName | Personal::UserName) => looks_into_body,
        });
        Self {
            general,
            possible,
            has_body: event.has_body(),
            invites,
            mentions,
        }
    }

    pub(super) fn invites(&self, user_id: &UserId) -> bool {
        self.invites
            .as_deref()
            .is_some_and(|invited| invited.eq_ignore_ascii_case(user_id.as_str()))
    }

    pub(super) fn mentions(&self, user_id: &UserId) -> bool {
        self.mentions
            .iter()
            .any(|mentioned| **mentioned == *user_id.as_str())
    }

    /// Whether there is a text in which keywords may stand.
    pub fn has_body(&self) -> bool {
        self.has_body
    }

    /// Bytes in memory.
    pub fn weight(&self) -> usize {
        let mentions = self.mentions.iter().map(|id| size_of_val(id) + id.len());
        size_of::<Self>() + self.invites.as_deref().map_or(0, str::len) + mentions.sum::<usize>()
    }
}

/// Whom an event invites.
fn invited(event: &PushEvent) -> Option<&str> {
    let is = |key: &str, word: &str| {
        event
            .text(key)
            .is_some_and(|text| text.eq_ignore_ascii_case(word))
    };
    let is_invite = is("type", "m.room.member") && is("content.membership", "invite");
    event.text("state_key").filter(|_| is_invite)
}

fn mentioned(event: &PushEvent) -> impl Iterator<Item = &str> {
    let ids = event
        .get(r"content.m\.mentions.user_ids")
        .and_then(Value::as_array);
    ids.into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests;
