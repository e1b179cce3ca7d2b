//! Sending: messages, state, redactions. Each is one command to the room's writer; a returned id means: on disk.

use ruma::{OwnedDeviceId, OwnedEventId, OwnedUserId, RoomId};
use serde_json::value::RawValue;

use crate::{
    handle::RoomWriter,
    registry::{Command, Intent, RedactionPath},
};
use rooms_store::RoomError;

/// The transaction id of a request, scoped to the device that made it (client-server API, "Transaction identifiers").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionId {
    pub device: OwnedDeviceId,
    pub id: String,
}

/// A transaction id with the path that it belongs to: the same id on another path is another request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) id: TransactionId,
    /// The event type; for `/redact`, also the event to redact.
    pub(crate) scope: String,
}

impl Transaction {
    pub(crate) fn of(id: Option<&TransactionId>, scope: &str) -> Option<Self> {
        id.map(|id| Self {
            id: id.clone(),
            scope: scope.to_owned(),
        })
    }
}

/// An event that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub event_id: OwnedEventId,
}

/// An event that a local user wants in a room.
#[derive(Clone, Debug)]
pub struct Message {
    pub sender: OwnedUserId,
    /// The event type. `m.room.redaction` is a redaction of what `redacts` in its content names.
    pub kind: String,
    pub content: Box<RawValue>,
    pub transaction: Option<TransactionId>,
    /// Unix milliseconds, where who sends may set it (application services); else the server's clock.
    pub timestamp: Option<u64>,
}

/// A piece of state that a local user wants in a room.
#[derive(Clone, Debug)]
pub struct State {
    pub sender: OwnedUserId,
    pub kind: String,
    pub state_key: String,
    pub content: Box<RawValue>,
    pub timestamp: Option<u64>,
}

/// A redaction that a local user wants.
#[derive(Clone, Debug)]
pub struct Redaction {
    pub sender: OwnedUserId,
    pub target: OwnedEventId,
    /// The content besides `redacts`: `reason`, and what else the client gave.
    pub content: serde_json::Map<String, serde_json::Value>,
    pub transaction: Option<TransactionId>,
}

impl RoomWriter {
    /// `PUT /rooms/{roomId}/send/{eventType}/{txnId}`: the same transaction id gives the same event, also after a restart.
    pub async fn send(&self, room_id: &RoomId, message: Message) -> Result<Sent, RoomError> {
        if message.kind == "m.room.redaction" {
            let redaction = Intent::Redaction(redaction_of(message)?, RedactionPath::Send);
            return self.write(room_id, 1024, redaction).await;
        }
        self.write(
            room_id,
            message.content.get().len(),
            Intent::Message(message),
        )
        .await
    }

    /// `PUT /rooms/{roomId}/state/{eventType}/{stateKey}`.
    pub async fn set_state(&self, room_id: &RoomId, state: State) -> Result<Sent, RoomError> {
        if state.kind == "m.room.canonical_alias" {
            self.check_canonical_alias(room_id, &state).await?;
        }
        self.write(room_id, state.content.get().len(), Intent::State(state))
            .await
    }

    /// `PUT /rooms/{roomId}/redact/{eventId}/{txnId}`: afterwards the target's content is gone from disk.
    pub async fn redact(&self, room_id: &RoomId, redaction: Redaction) -> Result<Sent, RoomError> {
        let redaction = Intent::Redaction(redaction, RedactionPath::Redact);
        self.write(room_id, 1024, redaction).await
    }

    /// Hands an intent to the room's writer and waits until it is on disk or refused.
    pub(crate) async fn write(
        &self,
        room_id: &RoomId,
        bytes: usize,
        intent: Intent,
    ) -> Result<Sent, RoomError> {
        let db = self.rooms.snapshot().await?;
        let room = self.rooms.require(&db, room_id).await?;
        drop(db);
        let (command, answer) = Command::new(intent, bytes);
        self.shared.registry.submit(self, room, command).await?;
        answer.await.map_err(|_| RoomError::ShuttingDown)?
    }

    /// Every alias that a canonical alias event newly names must lead to this room (client-server API,
    /// `PUT /rooms/{roomId}/state/{eventType}/{stateKey}`).
    async fn check_canonical_alias(
        &self,
        room_id: &RoomId,
        state: &State,
    ) -> Result<(), RoomError> {
        let db = self.rooms.snapshot().await?;
        let room = self.rooms.require(&db, room_id).await?;
        let root = self.rooms.head(&db, room).await?.state;
        let before = self
            .rooms
            .state_event(&db, room, root, &state.kind, &state.state_key)
            .await?;
        let before = before
            .map(|event| named_aliases(event.content()))
            .unwrap_or_default();
        for alias in named_aliases(state.content.get()) {
            if before.contains(&alias) {
                continue;
            }
            if ruma::RoomAliasId::parse(&alias).is_err() {
                return Err(RoomError::Invalid(format!("{alias} is not a room alias")));
            }
            if self.rooms.alias_target(&db, &alias).await? != Some(room) {
                return Err(RoomError::UnknownAlias);
            }
        }
        Ok(())
    }
}

/// The aliases that the content of an `m.room.canonical_alias` names.
fn named_aliases(content: &str) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Content {
        alias: Option<String>,
        #[serde(default)]
        alt_aliases: Vec<String>,
    }
    let Ok(content) = serde_json::from_str::<Content>(content) else {
        return Vec::new();
    };
    content
        .alias
        .into_iter()
        .chain(content.alt_aliases)
        .filter(|alias| !alias.is_empty())
        .collect()
}

/// A redaction that came as a message (from room version 11 on, `redacts` stands in the content).
fn redaction_of(message: Message) -> Result<Redaction, RoomError> {
    let bad = || RoomError::BadContent("a redaction names the event in `redacts`".to_owned());
    let mut content: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(message.content.get()).map_err(|_| bad())?;
    let target = content.remove("redacts").ok_or_else(bad)?;
    let target = target
        .as_str()
        .and_then(|id| OwnedEventId::try_from(id).ok())
        .ok_or_else(bad)?;
    Ok(Redaction {
        sender: message.sender,
        target,
        content,
        transaction: message.transaction,
    })
}
