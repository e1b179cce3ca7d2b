//! The commit of a turn: everything that follows from its events, in one transaction.

use database::{
    Placed, Read, RoomNumber, Slot, Stamp, StoreError, Txn, UserNumber,
    server_log::{self, Concern},
};
use ruma::{OwnedRoomId, OwnedUserId};

use crate::{
    facts::Facts,
    turn::{MembershipStep, Pending, Turn},
};
use crate::{handle::RoomWriter, open_rooms};
use rooms_store::{
    Event, RoomError,
    tables::{
        EVENT_NUMBERS, EVENTS, EventStatus, MEMBER_HISTORY, MEMBERS, Member, Membership,
        ROOM_HEADS, ROOM_LOG, RoomHead, SentEvent, StoredEvent, TIMELINE, TRANSACTIONS,
        Transaction, USER_ROOMS, UserRoom,
    },
};

/// What a new room has besides its events.
pub(crate) struct NewRoom {
    pub(crate) alias: Option<String>,
    pub(crate) creator: OwnedUserId,
    pub(crate) is_public: bool,
}

/// What a transaction's body wrote.
struct Written {
    room: RoomNumber,
    head: RoomHead,
    events: Vec<(Slot, StoredEvent)>,
}

/// Puts a turn on disk; what the room then knows. A turn without events touches no disk.
pub(crate) async fn commit(writer: &RoomWriter, turn: Turn<'_>) -> Result<Facts, RoomError> {
    let Turn {
        mut facts,
        changes,
        pending,
        ..
    } = turn;
    if pending.is_empty() {
        return Ok(facts);
    }
    let room = facts.room.ok_or(RoomError::UnknownRoom)?;
    let before = &facts.head;
    let pending = &pending;
    let (written, stamp) = writer
        .rooms
        .store()
        .transact(|txn| async move {
            let on_disk = txn.get(ROOM_HEADS.at(room)).await?;
            if on_disk
                .as_ref()
                .is_none_or(|head| head.events != before.events)
            {
                return Err(RoomError::Store(StoreError::Conflict));
            }
            write(writer, &txn, room, before.clone(), pending).await
        })
        .await?;
    facts.learn(changes);
    for target in pending.iter().filter_map(|event| event.redacts.as_ref()) {
        writer.rooms.events().redacted(room, target.number, stamp);
        facts.forget_event(target.number);
    }
    remember(writer, pending, &written, stamp)?;
    facts.head = written.head;
    Ok(facts)
}

impl Turn<'_> {
    /// Puts a new room on disk: its events, its number, its alias, its place in the directory.
    pub(crate) async fn commit_new_room(self, new: NewRoom) -> Result<OwnedRoomId, RoomError> {
        let Turn {
            writer,
            facts,
            pending,
            ..
        } = self;
        let room_id = facts.room_id.ok_or(RoomError::UnknownRoom)?;
        let (pending, new, room_id, head) = (&pending, &new, &room_id, &facts.head);
        let (written, stamp) = writer
            .rooms
            .store()
            .transact(|txn| async move {
                let room = writer
                    .rooms
                    .numbers()
                    .intern_room(&txn, room_id.as_str())
                    .await?;
                if txn.get(ROOM_HEADS.at(room)).await?.is_some() {
                    return Err(RoomError::Invalid("a room with this id exists".to_owned()));
                }
                let creator = writer
                    .rooms
                    .users()
                    .intern(&txn, new.creator.as_str())
                    .await?;
                crate::create::write_directory_rows(&txn, room, creator, new).await?;
                write(writer, &txn, room, head.clone(), pending).await
            })
            .await?;
        remember(writer, pending, &written, stamp)?;
        Ok(room_id.clone())
    }
}

/// Writes the events in their order and the head that follows from them.
async fn write(
    writer: &RoomWriter,
    txn: &Txn,
    room: RoomNumber,
    mut head: RoomHead,
    pending: &[Pending],
) -> Result<Written, RoomError> {
    let mut events = Vec::with_capacity(pending.len());
    for event in pending {
        let slot = txn.slot();
        let sender = writer
            .rooms
            .users()
            .intern(txn, event.sender.as_str())
            .await?;
        let stored = StoredEvent {
            status: EventStatus::Accepted,
            event_id: event.id.to_string(),
            sender,
            state_before: head.state,
            replaces: event.replaces,
            redacted_because: None,
            joined_before: head.joined,
            thread: event.thread.clone(),
            transaction: event.transaction.as_ref().map(|transaction| Transaction {
                user: sender,
                device: transaction.device.to_string(),
                id: transaction.id.clone(),
            }),
            json: event.json.clone(),
        };
        if let Some(state_key) = &event.state_key {
            let numbers = writer.rooms.numbers();
            let key = numbers
                .intern_state_key(txn, &event.kind, state_key)
                .await?;
            let change = [(key, Some(event.number))];
            head.state = writer
                .rooms
                .states()
                .update(txn, room, head.state, &change)
                .await?;
            open_rooms::note_openness(txn, room, &event.kind, state_key, &event.json).await?;
        }
        txn.put_placed(EVENTS.at((room, event.number)), &stored, slot);
        txn.put(EVENT_NUMBERS.at((room, event.id.as_str())), &event.number);
        txn.append(TIMELINE.end(room), slot, &event.number);
        txn.append(ROOM_LOG.end(room), slot, &event.number);
        write_transaction(txn, room, &stored, event);
        write_redaction(txn, room, event).await?;
        if let (Some(step), Some(user)) = (event.membership, &event.state_key) {
            let user = writer.rooms.users().intern(txn, user).await?;
            write_membership(txn, room, user, sender, event, step, slot).await?;
            count(&mut head, step);
        }
        head.events += 1;
        server_log::tell(txn, slot, Concern::Room(room));
        events.push((slot, stored));
    }
    txn.put(ROOM_HEADS.at(room), &head);
    Ok(Written { room, head, events })
}

fn write_transaction(txn: &Txn, room: RoomNumber, stored: &StoredEvent, event: &Pending) {
    if let Some(Transaction { user, device, id }) = &stored.transaction {
        let key = (
            *user,
            device.as_str(),
            room,
            event.kind.as_str(),
            id.as_str(),
        );
        let sent = SentEvent {
            event: event.number,
            at: event.at,
        };
        txn.put(TRANSACTIONS.at(key), &sent);
    }
}

/// Rewrites the redacted event in its place.
async fn write_redaction(txn: &Txn, room: RoomNumber, event: &Pending) -> Result<(), RoomError> {
    let Some(target) = &event.redacts else {
        return Ok(());
    };
    let row = EVENTS.at((room, target.number));
    let Placed { value, position } = txn.get(row).await?.ok_or(RoomError::Damaged)?;
    let value = StoredEvent {
        json: target.redacted_json.clone(),
        redacted_because: Some(event.number),
        ..value
    };
    txn.put(
        EVENTS.at((room, target.number)),
        &Placed { value, position },
    );
    Ok(())
}

/// Writes what a member event says to the rows of the room and of the user. A change within one membership (a new display
/// name) keeps the place of the last real change.
async fn write_membership(
    txn: &Txn,
    room: RoomNumber,
    user: UserNumber,
    by: UserNumber,
    event: &Pending,
    step: MembershipStep,
    slot: Slot,
) -> Result<(), RoomError> {
    let membership = step.after;
    let member = Member {
        membership,
        event: event.number,
    };
    let user_room = UserRoom {
        membership,
        event: event.number,
        by,
        forgotten: false,
    };
    if step.before == Some(membership) {
        let old = txn.get(MEMBERS.at((room, user))).await?;
        let own = txn.get(USER_ROOMS.at((user, room))).await?;
        if let (Some(old), Some(own)) = (old, own) {
            let by = if membership == Membership::Join {
                own.value.by
            } else {
                by
            };
            let value = UserRoom { by, ..user_room };
            txn.put(
                MEMBERS.at((room, user)),
                &Placed {
                    value: member,
                    position: old.position,
                },
            );
            txn.put(
                USER_ROOMS.at((user, room)),
                &Placed {
                    value,
                    position: own.position,
                },
            );
            return Ok(());
        }
    }
    txn.put_placed(MEMBERS.at((room, user)), &member, slot);
    txn.put_placed(USER_ROOMS.at((user, room)), &user_room, slot);
    txn.append(MEMBER_HISTORY.end((room, user)), slot, &membership);
    server_log::tell(txn, slot, Concern::User(user));
    Ok(())
}

fn count(head: &mut RoomHead, step: MembershipStep) {
    match step.before {
        Some(Membership::Join) => head.joined -= 1,
        Some(Membership::Invite) => head.invited -= 1,
        Some(Membership::Knock | Membership::Leave | Membership::Ban) | None => {}
    }
    match step.after {
        Membership::Join => head.joined += 1,
        Membership::Invite => head.invited += 1,
        Membership::Knock | Membership::Leave | Membership::Ban => {}
    }
}

/// Keeps the new events in memory: their readers come at once.
fn remember(
    writer: &RoomWriter,
    pending: &[Pending],
    written: &Written,
    stamp: Stamp,
) -> Result<(), RoomError> {
    for (event, (slot, stored)) in pending.iter().zip(&written.events) {
        let position = slot.at(stamp);
        let event = Event::from_stored(written.room, event.number, position, stored.clone())?;
        writer.rooms.events().insert(stamp, event);
    }
    Ok(())
}
