//! The room's log: each accepted event as it arrives, and each change of the current state that no event shows.

use database::{
    Slot,
    server_log::{self, Concern},
};
use rooms_store::{
    RoomError, RoomHead,
    state_map::{EventNumber, StateKeyNumber, StateRoot},
    tables::{LogEntry, ROOM_LOG, TIMELINE},
};

use crate::{
    commit::Writing,
    defects::Defect,
    derive::{self, Derived},
};

impl Writing<'_> {
    /// Moves the current state to `current` and enters the event into timeline and log. A change of the state that the event
    /// does not show is an entry of its own: before the event, so that a timeline can begin with it; behind it where the
    /// event is a state event that is not in force, so that no timeline shows it.
    pub(crate) async fn log(
        &self,
        head: &mut RoomHead,
        current: StateRoot,
        own: Option<StateKeyNumber>,
        may_differ: bool,
    ) -> Result<Slot, RoomError> {
        let Self {
            writer,
            txn,
            room,
            event,
        } = *self;
        let old = head.state;
        let changes = if may_differ && old != current {
            writer.rooms.states().diff(txn, room, old, current).await?
        } else {
            Vec::new()
        };
        let is_in_force = match own {
            Some(_) if !may_differ => true,
            Some(key) => {
                let states = writer.rooms.states();
                states.get(txn, room, current, key).await? == Some(event.number)
            }
            None => true,
        };
        let others: Vec<_> = changes
            .into_iter()
            .filter(|change| !is_in_force || Some(change.key) != own)
            .collect();
        let derived = Derived { writer, txn, room };
        let mut resolution = None;
        if !others.is_empty() && is_in_force {
            let slot = txn.slot();
            let state = match own {
                Some(key) => {
                    let states = writer.rooms.states();
                    let before = states.get(txn, room, old, key).await?;
                    self.updated(current, key, before).await?
                }
                None => current,
            };
            self.enter(ROOM_LOG.end(room), slot, None, state);
            resolution = Some(slot);
        }
        let slot = txn.slot();
        txn.append(TIMELINE.end(room), slot, &event.number);
        let state = if is_in_force { current } else { old };
        self.enter(ROOM_LOG.end(room), slot, Some(event.number), state);
        if !is_in_force {
            let slot = txn.slot();
            self.enter(ROOM_LOG.end(room), slot, None, current);
            resolution = Some(slot);
        }
        head.state = current;
        if let Some(at) = resolution
            && !writer.has(Defect::MembershipByEvent)
        {
            for change in &others {
                derived.apply(head, *change, at, None).await?;
            }
        }
        if let Some(key) = own.filter(|_| is_in_force) {
            let change = derive::own_change(key, event.replaces, event.number);
            let change = if may_differ {
                let states = writer.rooms.states();
                let before = states.get(txn, room, old, key).await?;
                derive::own_change(key, before, event.number)
            } else {
                change
            };
            derived.apply(head, change, slot, Some(event)).await?;
        }
        Ok(slot)
    }

    fn enter(
        &self,
        end: database::LogEnd<LogEntry>,
        slot: Slot,
        event: Option<EventNumber>,
        state: StateRoot,
    ) {
        self.txn.append(end, slot, &LogEntry { event, state });
        server_log::tell(self.txn, slot, Concern::Room(self.room));
    }
}
