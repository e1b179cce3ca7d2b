//! The commit of a turn: everything that follows from its events, in one transaction.

use database::{Placed, Position, Read, RoomNumber, Slot, Stamp, StoreError, Txn};
use rooms_store::{
    Event, Place, Placement, Residency, RoomError, RoomHead, Verdict,
    state_map::{EventNumber, StateKeyNumber, StateRoot},
    tables::{
        AUTH_EDGES, AUTH_WAITERS, AuthEdges, EARLY_REDACTIONS, EVENT_NUMBERS, EVENTS, ROOM_HEADS,
        SentEvent, StoredEvent, TRANSACTIONS, Transaction,
    },
};
use ruma::{OwnedRoomId, OwnedUserId};

use crate::{
    defects::Defect,
    derive::Derived,
    facts::Facts,
    handle::RoomWriter,
    relations::RelationIndex,
    turn::{Fork, Pending, Placing, Turn},
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
    events: Vec<(At, StoredEvent)>,
}

/// The position of an event: the slot of this commit, or one in a gap.
#[derive(Clone, Copy)]
pub(crate) enum At {
    Slot(Slot),
    Gap(Position),
}

/// Commits a turn; what the room then knows. A turn without events writes nothing.
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
            let stored = txn.get(ROOM_HEADS.at(room)).await?;
            if stored.is_none_or(|head| head.revision != before.revision) {
                return Err(RoomError::Store(StoreError::Conflict));
            }
            write(writer, &txn, room, before.clone(), pending).await
        })
        .await?;
    let is_forked = pending
        .iter()
        .any(|event| matches!(event.placing, Placing::Fork(_)));
    let has_stale_cache = writer.has(Defect::ResolutionCached);
    if is_forked && !has_stale_cache {
        facts.forget_state();
    }
    facts.learn(changes);
    for target in pending.iter().filter_map(|event| event.redacts.as_ref()) {
        writer.rooms.events().rewritten(room, target.number, stamp);
        facts.forget_event(target.number);
    }
    for event in pending.iter().filter(|event| !event.is_new) {
        writer.rooms.events().rewritten(room, event.number, stamp);
        if !has_stale_cache {
            facts.resolutions.clear();
        }
    }
    remember(writer, pending, &written, stamp)?;
    facts.head = written.head;
    facts.has_waiters |= pending.iter().any(|event| !event.waits_for.is_empty());
    if pending.iter().any(|event| event.kind == "m.room.create") {
        let db = writer.rooms.snapshot().await?;
        facts.find_create(writer, &db).await?;
    }
    Ok(facts)
}

impl Turn<'_> {
    /// Commits a new room: its events, its number, its alias, its place in the directory.
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
                let numbers = writer.rooms.numbers();
                let room = numbers.intern_room(&txn, room_id.as_str()).await?;
                if txn.get(ROOM_HEADS.at(room)).await?.is_some() {
                    return Err(RoomError::Invalid("a room with this id exists".to_owned()));
                }
                let users = writer.rooms.users();
                let creator = users.intern(&txn, new.creator.as_str()).await?;
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
    let mut relations = RelationIndex::new(txn, room, writer.shared.config.relations);
    let was_resident = head.residency == Residency::Resident;
    for event in pending {
        let (at, stored) = Writing {
            writer,
            txn,
            room,
            event,
        }
        .write(&mut head, &mut relations)
        .await?;
        events.push((at, stored));
    }
    relations.finish().await?;
    if !was_resident && head.residency == Residency::Resident {
        let slot = txn.slot();
        let derived = Derived { writer, txn, room };
        derived.settle_outside(&mut head, slot).await?;
    }
    head.revision += 1;
    txn.put(ROOM_HEADS.at(room), &head);
    Ok(Written { room, head, events })
}

/// One event, on its way into the transaction.
pub(crate) struct Writing<'a> {
    pub(crate) writer: &'a RoomWriter,
    pub(crate) txn: &'a Txn,
    pub(crate) room: RoomNumber,
    pub(crate) event: &'a Pending,
}

impl Writing<'_> {
    async fn write(
        &self,
        head: &mut RoomHead,
        relations: &mut RelationIndex<'_>,
    ) -> Result<(At, StoredEvent), RoomError> {
        let Self {
            writer,
            txn,
            room,
            event,
        } = *self;
        let users = writer.rooms.users();
        let sender = users.intern(txn, event.sender.as_str()).await?;
        let mut stored = StoredEvent {
            verdict: event.verdict.clone(),
            place: Place::Outlier,
            event_id: event.id.to_string(),
            sender,
            replaces: event.replaces,
            redacted_because: event.redacted_because,
            thread: event.thread.clone(),
            transaction: event.transaction.as_ref().map(|transaction| Transaction {
                user: sender,
                device: transaction.id.device.to_string(),
                id: transaction.id.id.clone(),
            }),
            json: event.json.clone(),
        };
        let at = match &event.placing {
            Placing::Outlier => At::Slot(txn.slot()),
            Placing::Filled(fill) => {
                stored.place = Place::Backfilled;
                self.fill(fill);
                At::Gap(fill.position)
            }
            Placing::OnHead => {
                let before = head.state;
                At::Slot(self.place(head, before, None, &mut stored).await?)
            }
            Placing::Fork(fork) => {
                let before = fork.before.store(&writer.rooms, txn, room).await?;
                let slot = self.place(head, before, Some(fork), &mut stored).await?;
                At::Slot(slot)
            }
        };
        match at {
            At::Slot(slot) => txn.put_placed(EVENTS.at((room, event.number)), &stored, slot),
            At::Gap(position) => {
                let value = stored.clone();
                txn.put(EVENTS.at((room, event.number)), &Placed { value, position });
            }
        }
        txn.put(EVENT_NUMBERS.at((room, event.id.as_str())), &event.number);
        self.write_auth();
        self.write_transaction(&stored);
        if event.is_accepted() {
            relations.add(event, &stored, at).await?;
        }
        self.write_redaction(relations).await?;
        Ok((at, stored))
    }

    /// Places an event between its states, moves the current state, and enters both into the logs.
    async fn place(
        &self,
        head: &mut RoomHead,
        before: StateRoot,
        fork: Option<&Fork>,
        stored: &mut StoredEvent,
    ) -> Result<Slot, RoomError> {
        let Self {
            txn, room, event, ..
        } = *self;
        let own = self.own_key().await?;
        let is_rejected = matches!(event.verdict, Verdict::Rejected(_));
        let after = match own.filter(|_| !is_rejected) {
            Some(key) => self.updated(before, key, Some(event.number)).await?,
            None => before,
        };
        stored.place = Place::Placed(Placement {
            state_before: before,
            state_after: (after != before).then_some(after),
            joined_before: head.joined,
        });
        if !event.is_accepted() {
            return Ok(txn.slot());
        }
        let current = match fork.map(|fork| &fork.current) {
            None | Some(None) => after,
            Some(Some(resolved)) => {
                let rooms = &self.writer.rooms;
                resolved.store(rooms, txn, room).await?
            }
        };
        let slot = self.log(head, current, own, fork.is_some()).await?;
        if let Some(fork) = fork {
            self.open_gap(fork, slot);
        }
        Ok(slot)
    }

    async fn own_key(&self) -> Result<Option<StateKeyNumber>, RoomError> {
        let Some(state_key) = &self.event.state_key else {
            return Ok(None);
        };
        let numbers = self.writer.rooms.numbers();
        let key = numbers.intern_state_key(self.txn, &self.event.kind, state_key);
        Ok(Some(key.await?))
    }

    pub(crate) async fn updated(
        &self,
        root: StateRoot,
        key: StateKeyNumber,
        event: Option<EventNumber>,
    ) -> Result<StateRoot, RoomError> {
        let states = self.writer.rooms.states();
        let change = [(key, event)];
        Ok(states.update(self.txn, self.room, root, &change).await?)
    }

    /// The edges from which auth chains are walked, and what the verdict waits for.
    fn write_auth(&self) {
        let Self {
            txn, room, event, ..
        } = *self;
        if event.state_key.is_some() {
            let edges = AuthEdges(event.auth.clone());
            txn.put(AUTH_EDGES.at((room, event.number)), &edges);
        }
        for id in &event.settled {
            txn.delete(AUTH_WAITERS.at((room, id.as_str(), event.number)));
        }
        for id in &event.waits_for {
            txn.put(AUTH_WAITERS.at((room, id.as_str(), event.number)), &());
        }
    }

    fn write_transaction(&self, stored: &StoredEvent) {
        if let Some(Transaction { user, device, id }) = &stored.transaction
            && let Some(crate::send::Transaction { scope, .. }) = &self.event.transaction
        {
            let key = (
                *user,
                device.as_str(),
                self.room,
                scope.as_str(),
                id.as_str(),
            );
            let sent = SentEvent {
                event: self.event.number,
                at: self.event.at,
            };
            self.txn.put(TRANSACTIONS.at(key), &sent);
        }
    }

    /// Rewrites the redacted event in its place, or notes that its target is not there yet.
    async fn write_redaction(&self, relations: &mut RelationIndex<'_>) -> Result<(), RoomError> {
        let Self {
            txn, room, event, ..
        } = *self;
        if let Some(target) = &event.redacts_later {
            let key = (room, target.as_str(), event.number);
            txn.put(EARLY_REDACTIONS.at(key), &());
        }
        let Some(target) = &event.redacts else {
            return Ok(());
        };
        let row = EVENTS.at((room, target.number));
        let Placed { value, position } = txn.get(row).await?.ok_or(RoomError::Damaged)?;
        relations.remove(target.number, &value, position).await?;
        let value = StoredEvent {
            json: target.redacted_json.clone(),
            redacted_because: Some(event.number),
            ..value
        };
        let row = EVENTS.at((room, target.number));
        txn.put(row, &Placed { value, position });
        Ok(())
    }
}

/// Keeps the new events in memory: their readers come at once.
fn remember(
    writer: &RoomWriter,
    pending: &[Pending],
    written: &Written,
    stamp: Stamp,
) -> Result<(), RoomError> {
    for (event, (at, stored)) in pending.iter().zip(&written.events) {
        let position = match at {
            At::Slot(slot) => slot.at(stamp),
            At::Gap(position) => *position,
        };
        let event = Event::from_stored(written.room, event.number, position, stored.clone())?;
        writer.rooms.events().insert(stamp, event);
    }
    Ok(())
}
