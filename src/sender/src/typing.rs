//! Typing and receipts of local users, for the servers in their rooms.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use database::{Read as _, RoomNumber, Snapshot};
use rooms_store::{RoomError, tables::RECEIPTS};
use ruma::{OwnedServerName, OwnedUserId};
use serde_json::{Map, Value, json, value::RawValue};

use crate::{follow, handle::Sender, schedule::ReceiptKey};

/// Who keeps typing is announced again so often: other servers stop showing it after a minute or
/// less.
const REFRESH: Duration = Duration::from_secs(25);
const PUBLIC: &str = "m.read";

/// The local users who type in a room.
struct Room {
    users: Vec<OwnedUserId>,
    servers: Arc<Vec<OwnedServerName>>,
}

/// Follows who types.
pub(crate) async fn run(sender: Sender) {
    let stop = sender.0.needs.stop.clone();
    let mut changed = sender.0.needs.typing.changed();
    let mut after = *changed.borrow_and_update();
    let mut rooms: HashMap<RoomNumber, Room> = HashMap::new();
    loop {
        let refresh = async {
            match rooms.is_empty() {
                true => std::future::pending().await,
                false => tokio::time::sleep(REFRESH).await,
            }
        };
        tokio::select! {
            result = changed.changed() => {
                if result.is_err() {
                    return;
                }
                let now = *changed.borrow_and_update();
                for room in sender.0.needs.typing.changed_rooms(after) {
                    if let Err(error) = look(&sender, room, &mut rooms).await {
                        tracing::debug!(%error, "could not announce who types");
                    }
                }
                after = now;
            }
            () = refresh => {
                let now = sender.0.needs.clock.now();
                for (room, typing) in &rooms {
                    for user in &typing.users {
                        sender.0.schedule.typing(*room, user, true, &typing.servers, now);
                    }
                }
            }
            () = stop.cancelled() => return,
        }
    }
}

/// Announces what changed in a room.
async fn look(
    sender: &Sender,
    room: RoomNumber,
    rooms: &mut HashMap<RoomNumber, Room>,
) -> Result<(), RoomError> {
    let mut users = sender.0.needs.typing.users(room);
    users.retain(|user| user.server_name() == sender.rooms().server_name());
    let before = rooms.remove(&room);
    if users.is_empty() && before.is_none() {
        return Ok(());
    }
    let servers = if let Some(before) = &before {
        before.servers.clone()
    } else {
        let db = sender.rooms().snapshot().await?;
        Arc::new(follow::servers(sender.rooms(), &db, room).await?)
    };
    let now = sender.0.needs.clock.now();
    let before = before.map(|before| before.users).unwrap_or_default();
    for user in users.iter().filter(|user| !before.contains(user)) {
        sender.0.schedule.typing(room, user, true, &servers, now);
    }
    for user in before.iter().filter(|user| !users.contains(user)) {
        sender.0.schedule.typing(room, user, false, &servers, now);
    }
    if !users.is_empty() && !servers.is_empty() {
        rooms.insert(room, Room { users, servers });
    }
    Ok(())
}

pub(crate) async fn typing_edus(
    sender: &Sender,
    db: &Snapshot,
    typing: &BTreeMap<(RoomNumber, OwnedUserId), bool>,
) -> Result<Vec<Box<RawValue>>, RoomError> {
    let mut edus = Vec::with_capacity(typing.len());
    for ((room, user), is_typing) in typing {
        let room_id = sender.rooms().room_id(db, *room).await?;
        let edu = json!({
            "edu_type": "m.typing",
            "content": { "room_id": room_id, "user_id": user, "typing": is_typing },
        });
        edus.extend(serde_json::value::to_raw_value(&edu).ok());
    }
    Ok(edus)
}

/// One EDU with all receipts, as they are now. At most one thread of a user in a room: the form
/// has no place for more.
pub(crate) async fn receipt_edu(
    sender: &Sender,
    db: &Snapshot,
    keys: &BTreeSet<ReceiptKey>,
) -> Result<Option<Box<RawValue>>, RoomError> {
    let mut content: Map<String, Value> = Map::new();
    for key in keys {
        let row = RECEIPTS.at((key.room, key.user, PUBLIC, key.thread.as_str()));
        let user = sender.rooms().users().user_id(db, key.user).await?;
        let (Some(row), Some(user)) = (db.get(row).await?, user) else {
            continue;
        };
        let mut data = json!({ "ts": row.value.ts });
        if !key.thread.is_empty() {
            data["thread_id"] = json!(key.thread);
        }
        let room_id = sender.rooms().room_id(db, key.room).await?;
        let room = content
            .entry(room_id.to_string())
            .or_insert_with(|| json!({ PUBLIC: {} }));
        room[PUBLIC][user.as_str()] = json!({ "event_ids": [row.value.event_id], "data": data });
    }
    if content.is_empty() {
        return Ok(None);
    }
    let edu = json!({ "edu_type": "m.receipt", "content": content });
    Ok(serde_json::value::to_raw_value(&edu).ok())
}
