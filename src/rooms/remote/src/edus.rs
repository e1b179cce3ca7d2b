//! EDUs of other servers (server-server API, "EDUs"). Typing and receipts go to the room's parts; everything
//! else goes to the [`EduReceiver`]s, which the crates above register.
//!
//! A server speaks for its own users only, and only in rooms where they are joined and that admit it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use database::{RoomNumber, Snapshot, StoreError, Txn, UserNumber, engine::BoxFuture};
use rooms_history::RemoteReceipt;
use rooms_store::RoomError;
use ruma::{
    OwnedRoomId, RoomId, ServerName, UserId,
    api::federation::transactions::edu::{ReceiptContent, ReceiptMap, TypingContent},
    events::receipt::ReceiptThread,
};
use serde_json::value::RawValue;

use crate::handle::RemoteRooms;

pub use ruma::api::federation::transactions::edu::Edu;

const LARGEST: usize = 65_536;
/// A user of another server who types is shown for so long, unless their server says so again.
const TYPING: Duration = Duration::from_mins(1);
/// Rooms in one receipt EDU, and users in one of its rooms.
const MOST_ROOMS: usize = 100;
const MOST_READERS: usize = 1_000;

/// A part of the server that takes EDUs which are not about rooms: presence, devices, messages to devices. The sender of each is
/// the server `origin`; whether it may speak for the users in it is for the receiver to check.
pub trait EduReceiver: Send + Sync {
    /// Part of the commit that stores the transaction, so that a repetition of the transaction does not come here again.
    /// Whether it wrote something that must be on disk before the answer. It may run more than once.
    fn store<'a>(
        &'a self,
        _txn: &'a Txn,
        _origin: &'a ServerName,
        _edu: &'a Edu,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async { Ok(false) })
    }

    /// After that commit.
    fn apply<'a>(&'a self, _origin: &'a ServerName, _edu: &'a Edu) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

/// Owner: `RemoteRooms`. Filled while the server is built.
#[derive(Default)]
pub(crate) struct EduReceivers(Mutex<Vec<Arc<dyn EduReceiver>>>);

impl EduReceivers {
    fn list(&self) -> Vec<Arc<dyn EduReceiver>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Those that can be read, in their order. Others are dropped, as the specification wants.
pub(crate) fn read(texts: Vec<Box<RawValue>>) -> Vec<Edu> {
    let fitting = texts.into_iter().filter(|text| text.get().len() <= LARGEST);
    fitting
        .filter_map(|text| serde_json::from_str(text.get()).ok())
        .collect()
}

impl RemoteRooms {
    /// EDUs go to this receiver too.
    pub fn add_edu_receiver(&self, receiver: Arc<dyn EduReceiver>) {
        let receivers = &self.0.edu_receivers.0;
        receivers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(receiver);
    }

    /// Whether something was written that must be on disk.
    pub(crate) async fn store_edus(
        &self,
        txn: &Txn,
        origin: &ServerName,
        edus: &[Edu],
    ) -> Result<bool, StoreError> {
        let mut is_durable = false;
        for receiver in self.0.edu_receivers.list() {
            for edu in edus {
                is_durable |= receiver.store(txn, origin, edu).await?;
            }
        }
        Ok(is_durable)
    }

    /// An EDU that cannot be applied is dropped.
    pub(crate) async fn apply_edus(&self, origin: &ServerName, edus: Vec<Edu>) {
        for edu in &edus {
            let applied = match edu {
                Edu::Typing(typing) => self.apply_typing(origin, typing).await,
                Edu::Receipt(receipts) => self.apply_receipts(origin, receipts).await,
                _ => Ok(()),
            };
            if let Err(error) = applied {
                tracing::debug!(server.name = %origin, %error, "dropped an EDU");
            }
        }
        for receiver in self.0.edu_receivers.list() {
            for edu in &edus {
                receiver.apply(origin, edu).await;
            }
        }
    }

    async fn apply_typing(
        &self,
        origin: &ServerName,
        typing: &TypingContent,
    ) -> Result<(), RoomError> {
        let db = self.rooms().snapshot().await?;
        if self
            .admitting_room(&db, &typing.room_id, origin)
            .await?
            .is_none()
        {
            return Ok(());
        }
        let Some(user) = self.own_user(&db, origin, &typing.user_id).await? else {
            return Ok(());
        };
        let timeout = typing.typing.then_some(TYPING);
        let writer = self.writer();
        writer
            .set_typing(&typing.room_id, user, &typing.user_id, timeout)
            .await
    }

    async fn apply_receipts(
        &self,
        origin: &ServerName,
        receipts: &ReceiptContent,
    ) -> Result<(), RoomError> {
        let db = self.rooms().snapshot().await?;
        let mut rooms: HashMap<OwnedRoomId, Vec<RemoteReceipt>> = HashMap::new();
        for (room_id, read) in receipts.receipts.iter().take(MOST_ROOMS) {
            let Some(room) = self.admitting_room(&db, room_id, origin).await? else {
                continue;
            };
            let read = self.readers(&db, origin, room, read).await?;
            rooms.insert(room_id.clone(), read);
        }
        drop(db);
        for (room_id, receipts) in rooms {
            self.history().take_receipts(&room_id, receipts).await?;
        }
        Ok(())
    }

    async fn readers(
        &self,
        db: &Snapshot,
        origin: &ServerName,
        room: RoomNumber,
        read: &ReceiptMap,
    ) -> Result<Vec<RemoteReceipt>, RoomError> {
        let mut receipts = Vec::new();
        for (user_id, read) in read.read.iter().take(MOST_READERS) {
            let Some(user) = self.own_user(db, origin, user_id).await? else {
                continue;
            };
            if !self.rooms().is_joined(db, room, user).await? {
                continue;
            }
            let thread = match &read.data.thread {
                ReceiptThread::Unthreaded => String::new(),
                thread => thread.as_str().unwrap_or_default().to_owned(),
            };
            let now = self.now().0;
            let ts = read.data.ts.map_or(now, |ts| ts.get().into()).min(now);
            receipts.extend(read.event_ids.iter().take(1).map(|event_id| RemoteReceipt {
                user,
                event_id: event_id.clone(),
                thread: thread.clone(),
                ts,
            }));
        }
        Ok(receipts)
    }

    /// A room that is known and admits the server.
    async fn admitting_room(
        &self,
        db: &Snapshot,
        room_id: &RoomId,
        origin: &ServerName,
    ) -> Result<Option<RoomNumber>, RoomError> {
        let Some(room) = self.rooms().number(db, room_id).await? else {
            return Ok(None);
        };
        Ok(self.admits(db, room, origin).await?.then_some(room))
    }

    /// A user for whom the server may speak.
    async fn own_user(
        &self,
        db: &Snapshot,
        origin: &ServerName,
        user_id: &UserId,
    ) -> Result<Option<UserNumber>, StoreError> {
        if user_id.server_name() != origin {
            return Ok(None);
        }
        self.rooms().users().number(db, user_id).await
    }
}
