//! Push rules as the test understands them, straight from the words of the specification.

use std::collections::BTreeMap;

use protocol::push::Kind;
use serde_json::{Value, json};

#[derive(Clone, Copy)]
pub(super) struct Someone {
    /// The local part.
    pub(super) name: &'static str,
    pub(super) display_name: Option<&'static str>,
}

/// One event, as one person sees it.
pub(super) struct View<'a> {
    pub(super) json: &'a Value,
    pub(super) room: &'a str,
    pub(super) user_id: &'a str,
    pub(super) reader: Someone,
    pub(super) members: usize,
    pub(super) may_notify_room: bool,
    pub(super) body_mentions: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    Body(&'static str),
    Room(String),
    Sender(String),
    Members(&'static str),
    DisplayName,
    Type(&'static str),
    /// A body, and a sender who may notify the room.
    MayNotifyRoom(&'static str),
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) test: Test,
    pub(super) notify: bool,
    pub(super) highlight: bool,
}

/// All rules of a person.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    /// Those of one kind in their order.
    pub(super) own: Vec<Rule>,
    pub(super) enabled: BTreeMap<&'static str, bool>,
    pub(super) actions: BTreeMap<&'static str, (bool, bool)>,
}

/// Predefined rules that histories change.
pub(super) const CHANGEABLE: [(Kind, &str); 7] = [
    (Kind::Override, ".m.rule.master"),
    (Kind::Override, ".m.rule.suppress_notices"),
    (Kind::Override, ".m.rule.member_event"),
    (Kind::Override, ".m.rule.is_user_mention"),
    (Kind::Override, ".m.rule.suppress_edits"),
    (Kind::Underride, ".m.rule.room_one_to_one"),
    (Kind::Underride, ".m.rule.message"),
];

pub(super) fn actions(notify: bool, highlight: bool) -> Vec<Value> {
    match (notify, highlight) {
        (false, _) => vec![json!("dont_notify")],
        (true, false) => vec![
            json!("notify"),
            json!({ "set_tweak": "highlight", "value": false }),
        ],
        (true, true) => vec![json!({ "set_tweak": "highlight" }), json!("notify")],
    }
}

impl Test {
    pub(super) fn conditions(&self) -> Option<Vec<Value>> {
        let body =
            |pattern| json!({ "kind": "event_match", "key": "content.body", "pattern": pattern });
        Some(match self {
            Self::Body(_) | Self::Room(_) | Self::Sender(_) => return None,
            Self::Members(is) => vec![json!({ "kind": "room_member_count", "is": is })],
            Self::DisplayName => vec![json!({ "kind": "contains_display_name" })],
            Self::Type(pattern) => {
                vec![json!({ "kind": "event_match", "key": "type", "pattern": pattern })]
            }
            Self::MayNotifyRoom(pattern) => vec![
                body(pattern),
                json!({ "kind": "sender_notification_permission", "key": "room" }),
            ],
        })
    }

    pub(super) fn pattern(&self) -> Option<String> {
        match self {
            Self::Body(pattern) => Some((*pattern).to_owned()),
            _ => None,
        }
    }

    fn holds(&self, view: &View<'_>) -> bool {
        match self {
            Self::Body(pattern) => view.has_words(pattern),
            Self::Room(id) => view.room == id,
            Self::Sender(id) => view.json["sender"] == id.as_str(),
            Self::Members(is) => {
                let digits: String = is.chars().filter(char::is_ascii_digit).collect();
                let count: usize = digits.parse().expect("a number");
                match is.trim_end_matches(|c: char| c.is_ascii_digit()) {
                    "<" => view.members < count,
                    ">=" => view.members >= count,
                    _ => view.members == count,
                }
            }
            Self::DisplayName => view.has_display_name(),
            Self::Type(pattern) => {
                let kind = view.json["type"].as_str().expect("a type").to_lowercase();
                glob(&chars(&pattern.to_lowercase()), &chars(&kind))
            }
            Self::MayNotifyRoom(pattern) => view.has_words(pattern) && view.may_notify_room,
        }
    }
}

impl View<'_> {
    fn is(&self, kind: &str) -> bool {
        self.json["type"] == kind
    }

    fn content(&self, name: &str) -> &Value {
        &self.json["content"][name]
    }

    /// Whether a part of the body between word boundaries matches.
    fn has_words(&self, pattern: &str) -> bool {
        let Some(body) = self.content("body").as_str() else {
            return false;
        };
        let (pattern, body) = (chars(&pattern.to_lowercase()), chars(&body.to_lowercase()));
        let is_word = |at: usize| body[at].is_ascii_alphanumeric() || body[at] == '_';
        let is_boundary =
            |at: usize| at == 0 || at == body.len() || !is_word(at - 1) || !is_word(at);
        let boundaries: Vec<usize> = (0..=body.len()).filter(|at| is_boundary(*at)).collect();
        boundaries.iter().any(|start| {
            let ends = boundaries.iter().filter(|end| *end >= start);
            ends.into_iter()
                .any(|end| glob(&pattern, &body[*start..*end]))
        })
    }

    fn has_display_name(&self) -> bool {
        self.reader
            .display_name
            .is_some_and(|name| self.has_words(name))
    }

    /// Names in the body count, and the event does not say whom it mentions.
    fn looks_into_body(&self) -> bool {
        self.body_mentions && self.content("m.mentions").is_null()
    }
}

impl Model {
    /// Whether the event notifies, and whether it stands out.
    pub(super) fn verdict(&self, view: &View<'_>) -> (bool, bool) {
        if self.enabled.get(".m.rule.master") == Some(&true) {
            let actions = self.actions.get(".m.rule.master");
            return actions.copied().unwrap_or_default();
        }
        for kind in [
            Kind::Override,
            Kind::Content,
            Kind::Room,
            Kind::Sender,
            Kind::Underride,
        ] {
            let mut own = self.own.iter().filter(|rule| rule.kind == kind);
            if let Some(rule) = own.find(|rule| rule.test.holds(view)) {
                return (rule.notify, rule.notify && rule.highlight);
            }
            for (id, holds, usual) in predefined(kind, view) {
                if holds && self.enabled.get(id) != Some(&false) {
                    return self.actions.get(id).copied().unwrap_or(usual);
                }
            }
        }
        (false, false)
    }
}

type Predefined = (&'static str, bool, (bool, bool));

fn predefined(kind: Kind, view: &View<'_>) -> Vec<Predefined> {
    const QUIET: (bool, bool) = (false, false);
    const NOTIFY: (bool, bool) = (true, false);
    const LOUD: (bool, bool) = (true, true);
    let mentions = view.content("m.mentions");
    let is_member = view.is("m.room.member");
    let is_mentioned = mentions["user_ids"]
        .as_array()
        .is_some_and(|ids| ids.iter().any(|id| id == view.user_id));
    let is_invite = is_member
        && view.content("membership") == "invite"
        && view.json["state_key"] == view.user_id;
    let is_edit = view.content("m.relates_to")["rel_type"] == "m.replace";
    let mentions_room = mentions["room"] == true && view.may_notify_room;
    let names_room = view.looks_into_body() && view.has_words("@room") && view.may_notify_room;
    let has_name = view.looks_into_body() && view.has_words(view.reader.name);
    let has_display_name = view.looks_into_body() && view.has_display_name();
    match kind {
        Kind::Override => vec![
            (
                ".m.rule.suppress_notices",
                view.content("msgtype") == "m.notice",
                QUIET,
            ),
            (".m.rule.invite_for_me", is_invite, NOTIFY),
            (".m.rule.member_event", is_member, QUIET),
            (".m.rule.is_user_mention", is_mentioned, LOUD),
            (".m.rule.contains_display_name", has_display_name, LOUD),
            (".m.rule.is_room_mention", mentions_room, LOUD),
            (".m.rule.roomnotif", names_room, LOUD),
            (".m.rule.reaction", view.is("m.reaction"), QUIET),
            (".m.rule.suppress_edits", is_edit, QUIET),
        ],
        Kind::Content => vec![(".m.rule.contains_user_name", has_name, LOUD)],
        Kind::Room | Kind::Sender => Vec::new(),
        Kind::Underride => vec![
            ("encrypted", view.is("m.room.encrypted"), NOTIFY),
            (
                ".m.rule.room_one_to_one",
                view.members == 2 && view.is("m.room.message"),
                NOTIFY,
            ),
            (".m.rule.message", view.is("m.room.message"), NOTIFY),
            ("poll", view.is("org.matrix.msc3381.poll.start"), NOTIFY),
        ],
    }
}

fn chars(text: &str) -> Vec<char> {
    text.chars().collect()
}

fn glob(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|skip| glob(rest, &text[skip..])),
        ['?', rest @ ..] => !text.is_empty() && glob(rest, &text[1..]),
        [char, rest @ ..] => text.first() == Some(char) && glob(rest, &text[1..]),
    }
}
