//! Accepting a transaction: what can be checked without the network, then one commit of PDUs and answer, then EDUs.

use std::collections::BTreeMap;

use database::{Read as _, RoomNumber, Snapshot, StoreError, Txn};
use protocol::{receive::Pdu, room_version};
use rooms_store::{Place, Residency, RoomError, tables::EVENT_NUMBERS};
use ruma::{OwnedEventId, OwnedRoomId, OwnedServerName, RoomId, RoomVersionId, ServerName};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::answers;
use crate::{
    check::{Checked, KeySource},
    edus,
    handle::RemoteRooms,
    tables::{INBOUND_TRANSACTIONS, INBOX, INBOX_EVENTS, INBOX_ORIGINS, InboxPdu},
};

pub(super) const MOST_PDUS: usize = 50;
const MOST_EDUS: usize = 100;
const LONGEST_ID: usize = 255;
/// What one server may have waiting in one room.
pub(super) const MOST_EVENTS: u64 = 1_000;
pub(super) const MOST_BYTES: u64 = 16 << 20;
/// Further transactions of a server that wait while one of its transactions is accepted.
const MOST_WAITING: usize = 8;

/// What a server sent.
pub struct Transaction {
    pub origin: OwnedServerName,
    pub id: String,
    pub pdus: Vec<Box<RawValue>>,
    pub edus: Vec<Box<RawValue>>,
}

/// Why a transaction as a whole is refused.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    #[error("a transaction has at most {MOST_PDUS} PDUs and {MOST_EDUS} EDUs")]
    TooMany,
    #[error("a transaction id has 1 to {LONGEST_ID} bytes")]
    BadId,
    #[error("too many transactions of this server wait")]
    Busy,
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is answered, by event id: `None` where nothing is wrong.
type Answers = BTreeMap<OwnedEventId, Option<String>>;

/// The events of one room.
struct Share {
    room: RoomNumber,
    pdus: Vec<InboxPdu>,
}

/// Only what is needed to find the room.
#[derive(Deserialize)]
struct Head {
    room_id: OwnedRoomId,
}

impl RemoteRooms {
    /// Takes a transaction over, and returns the JSON that it is answered. A repetition gets the same answer.
    pub async fn accept_transaction(
        &self,
        transaction: Transaction,
    ) -> Result<String, TransactionError> {
        if transaction.pdus.len() > MOST_PDUS || transaction.edus.len() > MOST_EDUS {
            return Err(TransactionError::TooMany);
        }
        if transaction.id.is_empty() || transaction.id.len() > LONGEST_ID {
            return Err(TransactionError::BadId);
        }
        let turn = self
            .0
            .inbox
            .origins
            .enter(transaction.origin.clone(), MOST_WAITING);
        let turn = turn.await.ok_or(TransactionError::Busy)?;
        // In a task of its own: a server that hangs up must not stop it between commit and delivery.
        let this = self.clone();
        let work = self.0.needs.tasks.spawn(async move {
            let _turn = turn;
            this.accept_in_turn(transaction).await
        });
        work.await.unwrap_or(Err(TransactionError::ShuttingDown))
    }

    async fn accept_in_turn(&self, transaction: Transaction) -> Result<String, TransactionError> {
        let permit = self.0.inbox.accepting.acquire().await;
        let _permit = permit.map_err(|_| TransactionError::ShuttingDown)?;
        let Transaction {
            origin,
            id,
            pdus,
            edus,
        } = transaction;
        let db = self.rooms().snapshot().await?;
        let row = INBOUND_TRANSACTIONS.at((origin.as_str(), id.as_str()));
        if let Some(held) = db.get(row).await? {
            return Ok(held.answer);
        }
        let mut answers = Answers::new();
        let mut shares = Vec::new();
        for (room_id, texts) in by_room(pdus) {
            shares.extend(
                self.share(&db, &origin, &room_id, texts, &mut answers)
                    .await?,
            );
        }
        drop(db);
        let edus = edus::read(edus);
        let answer = self.store(&origin, &id, &answers, &shares, &edus).await?;
        for share in &shares {
            self.wake_inbox(share.room);
        }
        self.apply_edus(&origin, edus).await;
        Ok(answer)
    }

    /// Checks the events of one room. `None` where the room is not known: without its version, the events have no ids.
    async fn share(
        &self,
        db: &Snapshot,
        origin: &ServerName,
        room_id: &RoomId,
        texts: Vec<Box<RawValue>>,
        answers: &mut Answers,
    ) -> Result<Option<Share>, StoreError> {
        match self.check_share(db, origin, room_id, texts, answers).await {
            Ok(share) => Ok(share),
            Err(RoomError::Store(error)) => Err(error),
            Err(error) => {
                tracing::warn!(room.id = %room_id, %error, "cannot take events into a room");
                Ok(None)
            }
        }
    }

    async fn check_share(
        &self,
        db: &Snapshot,
        origin: &ServerName,
        room_id: &RoomId,
        texts: Vec<Box<RawValue>>,
        answers: &mut Answers,
    ) -> Result<Option<Share>, RoomError> {
        let Some(room) = self.rooms().number(db, room_id).await? else {
            return Ok(None);
        };
        let head = match self.rooms().head(db, room).await {
            Ok(head) => head,
            Err(RoomError::UnknownRoom) => return Ok(None),
            Err(error) => return Err(error),
        };
        let version = RoomVersionId::try_from(head.version).map_err(|_| RoomError::Damaged)?;
        let rules = room_version::rules(&version).ok_or(RoomError::Damaged)?;
        let pdus = self.read(rules, texts).await.into_iter().flatten();
        let refusal = match head.residency {
            Residency::Invited | Residency::Left => Some("this server is not in the room"),
            Residency::Joining => None,
            Residency::Resident if self.admits(db, room, origin).await? => None,
            Residency::Resident => Some("the room's server ACL excludes the sending server"),
        };
        if let Some(reason) = refusal {
            answers.extend(pdus.map(|pdu| (pdu.event_id().to_owned(), Some(reason.to_owned()))));
            return Ok(None);
        }
        let mut new = Vec::new();
        for pdu in pdus {
            if self.is_placed(db, room, &pdu).await? {
                answers.insert(pdu.event_id().to_owned(), None);
            } else {
                new.push(pdu);
            }
        }
        let checked = self.verify(new, KeySource::Known).await?;
        let mut pdus = Vec::new();
        for checked in checked {
            let (pdu, is_verified) = match checked {
                Checked::Valid(pdu) => (pdu, true),
                Checked::KeysMissing(pdu, _) => (pdu, false),
                Checked::Bad(bad) => {
                    answers.extend(bad.event_id.map(|id| (id, Some(bad.reason))));
                    continue;
                }
            };
            pdus.push(InboxPdu {
                event_id: pdu.event_id().to_string(),
                json: pdu.into_json(),
                is_verified,
            });
        }
        Ok(Some(Share { room, pdus }))
    }

    /// Whether an event is in the room already, and not only as a part of a state.
    async fn is_placed(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        pdu: &Pdu,
    ) -> Result<bool, RoomError> {
        let row = EVENT_NUMBERS.at((room, pdu.event_id().as_str()));
        let Some(number) = db.get(row).await? else {
            return Ok(false);
        };
        let event = self.rooms().named_event(db, room, number).await?;
        Ok(event.place != Place::Outlier)
    }

    async fn store(
        &self,
        origin: &ServerName,
        id: &str,
        answers: &Answers,
        shares: &[Share],
        edus: &[edus::Edu],
    ) -> Result<String, StoreError> {
        let now = self.now();
        let has_pdus = shares.iter().any(|share| !share.pdus.is_empty());
        let stored = self.rooms().store().transact(|txn| async move {
            let mut answers = answers.clone();
            for share in shares {
                put(&txn, origin.as_str(), share, &mut answers).await?;
            }
            let is_durable = self.store_edus(&txn, origin, edus).await?;
            let answer = written(&answers);
            answers::keep(&txn, now, origin.as_str(), id, &answer).await?;
            if !has_pdus && !is_durable {
                txn.may_wait();
            }
            Ok::<_, StoreError>(answer)
        });
        Ok(stored.await?.0)
    }
}

/// Puts the events of one room into its inbox, as far as they have a place there.
async fn put(
    txn: &Txn,
    origin: &str,
    share: &Share,
    answers: &mut Answers,
) -> Result<(), StoreError> {
    let key = (share.room, origin);
    let before = txn.get(INBOX_ORIGINS.at(key)).await?.unwrap_or_default();
    let mut held = before.clone();
    for pdu in &share.pdus {
        let Ok(id) = OwnedEventId::try_from(pdu.event_id.as_str()) else {
            continue;
        };
        let row = INBOX_EVENTS.at((share.room, id.as_str()));
        let mut error = None;
        if !txn.exists(row.clone()).await? {
            let bytes = pdu.json.len() as u64;
            if held.events >= MOST_EVENTS || held.bytes + bytes > MOST_BYTES {
                error =
                    Some("too many events of this room wait: they are fetched later".to_owned());
                held.behind = Some(pdu.event_id.clone());
            } else {
                held.events += 1;
                held.bytes += bytes;
                txn.put(row, &());
                txn.append(INBOX.end(key), txn.slot(), pdu);
            }
        }
        answers.insert(id, error);
    }
    if held != before {
        txn.put(INBOX_ORIGINS.at(key), &held);
    }
    Ok(())
}

/// The texts by the room that they name, in their order. Without one they are nothing.
fn by_room(pdus: Vec<Box<RawValue>>) -> BTreeMap<OwnedRoomId, Vec<Box<RawValue>>> {
    let mut rooms = BTreeMap::<_, Vec<_>>::new();
    for pdu in pdus {
        if let Ok(head) = serde_json::from_str::<Head>(pdu.get()) {
            rooms.entry(head.room_id).or_default().push(pdu);
        }
    }
    rooms
}

fn written(answers: &Answers) -> String {
    let answers = answers.iter().map(|(id, error)| {
        let answer = match error {
            Some(error) => json!({ "error": error }),
            None => json!({}),
        };
        (id.to_string(), answer)
    });
    let answers: serde_json::Map<_, _> = answers.collect();
    json!({ "pdus": answers }).to_string()
}
