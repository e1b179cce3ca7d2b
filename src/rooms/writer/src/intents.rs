//! Each intent, turned into at most one event of the turn.

use database::Read;
use protocol::{content::Content, redact, scan};
use ruma::UserId;
use serde_json::{Map, Value};

use crate::send::{Message, Redaction, Sent, State, Transaction};
use crate::{
    build::Draft,
    registry::{Intent, RedactionPath},
    turn::{Pause, Target, Turn},
};
use rooms_store::{
    RoomError,
    tables::{EVENT_NUMBERS, EVENTS, Membership, TRANSACTIONS},
};

impl Turn<'_> {
    /// Whether this intent reads from the store what this turn has only built.
    fn needs_commit(&self, intent: &Intent) -> bool {
        let Intent::Redaction(redaction, _) = intent else {
            return false;
        };
        self.pending.iter().any(|pending| {
            pending.id == redaction.target
                || pending
                    .redacts
                    .as_ref()
                    .is_some_and(|target| target.id == redaction.target)
        })
    }

    /// Does what an intent asks, or leaves the turn as it was.
    pub(crate) async fn perform(&mut self, intent: &Intent) -> Result<Sent, Pause> {
        if self.needs_commit(intent) {
            return Err(Pause::CommitFirst);
        }
        match intent {
            Intent::Message(message) => self.message(message).await,
            Intent::State(state) => self.state(state).await,
            Intent::Redaction(redaction, path) => self.redaction(redaction, *path).await,
            Intent::Membership(request) => self.change_membership(request).await,
            Intent::Profile(user) => self.profile(user).await,
        }
    }

    async fn message(&mut self, message: &Message) -> Result<Sent, Pause> {
        self.require_joined(&message.sender).await?;
        let transaction = Transaction::of(message.transaction.as_ref(), &message.kind);
        if let Some(transaction) = &transaction
            && let Some(sent) = self.sent_before(&message.sender, transaction).await?
        {
            return Ok(sent);
        }
        self.append(Draft {
            sender: message.sender.clone(),
            kind: message.kind.clone(),
            state_key: None,
            content: Content::parse(message.content.get())?,
            transaction,
            timestamp: message.timestamp,
            redacts: None,
        })
        .await
    }

    async fn state(&mut self, state: &State) -> Result<Sent, Pause> {
        if state.kind == "m.room.create" {
            return Err(RoomError::Invalid("a room has one create event".to_owned()).into());
        }
        let content = if state.kind == "m.room.member" {
            self.member_state(state).await?
        } else {
            self.require_joined(&state.sender).await?;
            Content::parse(state.content.get())?
        };
        if state.kind == "m.room.power_levels" {
            check_levels(content.as_str())?;
            self.check_creators_unnamed(&content).await?;
        }
        // Saying again what the state says already is no event (as other servers have it, and clients rely on).
        if let Some(entry) = self.entry(&state.kind, &state.state_key).await?
            && entry.event.sender() == state.sender
            && entry.event.content() == content.as_str()
        {
            return Ok(Sent {
                event_id: entry.event.id().to_owned(),
            });
        }
        self.append(Draft {
            sender: state.sender.clone(),
            kind: state.kind.clone(),
            state_key: Some(state.state_key.clone()),
            content,
            transaction: None,
            timestamp: state.timestamp,
            redacts: None,
        })
        .await
    }

    /// The content of a member event that a client wrote. Users of other servers can be kicked and banned; an invite needs the
    /// signature of their server. In whose name somebody joins is for the server to say.
    async fn member_state(&mut self, state: &State) -> Result<Content, RoomError> {
        let user = UserId::parse(state.state_key.as_str())
            .map_err(|_| RoomError::Invalid("the state key must be a user id".to_owned()))?;
        let content = Content::parse(state.content.get())?;
        let membership = scan::string_member(content.as_str(), "membership");
        let is_remote = user.server_name() != self.writer.rooms.server_name();
        if is_remote && !matches!(membership.as_deref(), Some("leave" | "ban")) {
            return Err(RoomError::Remote(user.to_string()));
        }
        let membership = membership
            .ok_or_else(|| RoomError::BadContent("`membership` must be a string".to_owned()))?;
        if membership == "invite" && self.blocks_invites(&user).await? {
            return Err(RoomError::InviteBlocked);
        }
        if membership != "join" || user != state.sender {
            return Ok(content);
        }
        let mut content: Map<String, Value> =
            serde_json::from_str(content.as_str()).map_err(|_| RoomError::Damaged)?;
        content.remove("join_authorised_via_users_server");
        let before = self.membership(&user).await?;
        if let Some(member) = self.authorizing_user(&user, before).await? {
            content.insert(
                "join_authorised_via_users_server".to_owned(),
                member.as_str().into(),
            );
        }
        Ok(Content::of(&content)?)
    }

    /// Since version 12, creators have power of their own: power levels cannot name them.
    async fn check_creators_unnamed(&mut self, content: &Content) -> Result<(), RoomError> {
        if !self
            .facts
            .rules
            .authorization
            .explicitly_privilege_room_creators
        {
            return Ok(());
        }
        let Some(users) = scan::member(content.as_str(), "users") else {
            return Ok(());
        };
        let levels = self.power_levels().await?;
        let is_named = levels
            .creators()
            .iter()
            .any(|user| scan::member(users, user.as_str()).is_some());
        if is_named {
            return Err(RoomError::Invalid(
                "creators cannot be in `users`".to_owned(),
            ));
        }
        Ok(())
    }

    async fn redaction(
        &mut self,
        redaction: &Redaction,
        path: RedactionPath,
    ) -> Result<Sent, Pause> {
        self.require_joined(&redaction.sender).await?;
        let kind = "m.room.redaction";
        let scope = match path {
            RedactionPath::Send => kind.to_owned(),
            RedactionPath::Redact => format!("{kind}/{}", redaction.target),
        };
        let transaction = Transaction::of(redaction.transaction.as_ref(), &scope);
        if let Some(transaction) = &transaction
            && let Some(sent) = self.sent_before(&redaction.sender, transaction).await?
        {
            return Ok(sent);
        }
        let target = self.redaction_target(redaction).await?;
        let mut content = redaction.content.clone();
        content.remove("redacts");
        self.append(Draft {
            sender: redaction.sender.clone(),
            kind: kind.to_owned(),
            state_key: None,
            content: Content::of(&content)?,
            transaction,
            timestamp: None,
            redacts: Some(target),
        })
        .await
    }

    /// The event to redact, if it is of this room and the sender may redact it: their own, or with the power to.
    async fn redaction_target(&mut self, redaction: &Redaction) -> Result<Target, RoomError> {
        let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
        let id = redaction.target.as_str();
        let number = self.db.get(EVENT_NUMBERS.at((room, id))).await?;
        let number = number.ok_or(RoomError::UnknownEvent)?;
        let row = self
            .db
            .get(EVENTS.at((room, number)))
            .await?
            .ok_or(RoomError::Damaged)?;
        let sender = self
            .writer
            .rooms
            .users()
            .number(&self.db, &redaction.sender)
            .await?;
        if sender != Some(row.value.sender) {
            let levels = self.power_levels().await?;
            if !levels.may_redact_others(&redaction.sender) {
                return Err(RoomError::Forbidden(
                    "you cannot redact this event".to_owned(),
                ));
            }
        }
        let redacted_json = redact::redact(&row.value.json, &self.facts.rules.redaction)
            .map_err(|_| RoomError::Damaged)?;
        Ok(Target {
            number,
            id: redaction.target.clone(),
            redacted_json,
        })
    }

    pub(crate) async fn require_joined(&mut self, user: &UserId) -> Result<(), RoomError> {
        match self.membership(user).await? {
            Some(Membership::Join) => Ok(()),
            _ => Err(RoomError::NotInRoom),
        }
    }

    /// What this transaction id has already sent, on disk or in this turn.
    async fn sent_before(
        &self,
        sender: &UserId,
        transaction: &Transaction,
    ) -> Result<Option<Sent>, RoomError> {
        let in_turn = self.pending.iter().find(|pending| {
            pending.transaction.as_ref() == Some(transaction) && pending.sender == sender
        });
        if let Some(pending) = in_turn {
            return Ok(Some(Sent {
                event_id: pending.id.clone(),
            }));
        }
        let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
        let Some(user) = self.writer.rooms.users().number(&self.db, sender).await? else {
            return Ok(None);
        };
        let key = (
            user,
            transaction.id.device.as_str(),
            room,
            transaction.scope.as_str(),
            transaction.id.id.as_str(),
        );
        match self.db.get(TRANSACTIONS.at(key)).await? {
            Some(sent) => {
                let event = self
                    .writer
                    .rooms
                    .named_event(&self.db, room, sent.event)
                    .await?;
                Ok(Some(Sent {
                    event_id: event.id.clone(),
                }))
            }
            None => Ok(None),
        }
    }
}

/// Local users write power levels only as integers, also where a room version accepts strings
/// (server-server API, "Definitions").
pub(crate) fn check_levels(content: &str) -> Result<(), RoomError> {
    let content: Map<String, Value> =
        serde_json::from_str(content).map_err(|_| RoomError::Damaged)?;
    let levels = content
        .iter()
        .filter(|(key, _)| LEVELS.contains(&key.as_str()));
    let in_maps = content
        .iter()
        .filter(|(key, _)| LEVEL_MAPS.contains(&key.as_str()));
    let in_maps = in_maps.filter_map(|(_, map)| map.as_object()).flatten();
    if levels.chain(in_maps).all(|(_, level)| level.is_i64()) {
        return Ok(());
    }
    Err(RoomError::BadContent(
        "power levels must be integers".to_owned(),
    ))
}

const LEVELS: [&str; 7] = [
    "ban",
    "events_default",
    "invite",
    "kick",
    "redact",
    "state_default",
    "users_default",
];
const LEVEL_MAPS: [&str; 3] = ["events", "notifications", "users"];
