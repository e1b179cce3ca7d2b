//! The room's graph around an event: the state before it, the extremities after it, the current state after it.

use std::collections::HashSet;

use database::StoreError;
use protocol::authorize::AuthEvent;
use rooms_store::{
    RoomError, Verdict,
    state_map::{EventNumber, StateKeyNumber},
    tables::Extremity,
};
use ruma::{EventId, OwnedEventId};

use crate::{
    defects::Defect,
    facts::Pair,
    resolution::NewEvent,
    state_set::StateSet,
    turn::{Fork, Pause, Placing, Resolution, Turn},
};

/// Soft-failed and rejected events that are walked over to find what an event follows.
const MOST_WALKED: usize = 1_000;
/// Pairs in one commit.
const INTERNED_AT_ONCE: usize = 500;

impl Turn<'_> {
    /// The resolution of the states after these events, all of which are placed and stored.
    pub(crate) async fn state_after_all(&mut self, ids: Vec<String>) -> Result<StateSet, Pause> {
        if !self.pending.is_empty() {
            return Err(Pause::CommitFirst);
        }
        let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
        let mut sets = Vec::with_capacity(ids.len());
        for id in ids {
            let id = EventId::parse(&id).map_err(|_| RoomError::Damaged)?;
            let event = self.writer.rooms.event_by_id(&self.db, room, &id).await?;
            let event = event.ok_or(RoomError::UnknownEvent)?;
            let placement = event.placement().ok_or(RoomError::UnknownEvent)?;
            sets.push(StateSet::stored(placement.after()));
        }
        self.resolved(sets, None)
    }

    /// The resolution of some states, if it is known already.
    pub(crate) fn resolved(
        &self,
        mut sets: Vec<StateSet>,
        new: Option<NewEvent>,
    ) -> Result<StateSet, Pause> {
        sets.sort_unstable();
        sets.dedup();
        if let [only] = &*sets {
            return Ok(only.clone());
        }
        match self.facts.resolutions.get(&sets) {
            Some(known) => Ok(known.clone()),
            None => Err(Pause::Resolve(Resolution { sets, new })),
        }
    }

    /// Places an accepted event that does not follow all extremities, and gives the extremities after it.
    pub(crate) async fn forked(
        &mut self,
        number: EventNumber,
        event: &AuthEvent,
        auth: Vec<EventNumber>,
        before: StateSet,
        end: Extremity,
        missing: Vec<OwnedEventId>,
    ) -> Result<(Placing, Vec<Extremity>), Pause> {
        let mut extremities = self.extremities_after(event).await?;
        let mut after = before.clone();
        if let Some(key) = self.own_key(event).await? {
            after.set(key, Some(number));
        }
        let current = if extremities.is_empty() {
            None
        } else {
            let mut sets = vec![after];
            for other in &extremities {
                let ids = vec![other.event_id.clone()];
                sets.push(self.state_after_all(ids).await?);
            }
            let new = NewEvent {
                number,
                event: event.clone(),
                auth,
            };
            Some(self.resolved(sets, Some(new))?)
        };
        extremities.push(end);
        let fork = Fork {
            before,
            current,
            missing,
        };
        Ok((Placing::Fork(fork), extremities))
    }

    /// The old extremities that an accepted event leaves: what it follows, also through soft-failed and rejected events, is
    /// none any more.
    async fn extremities_after(&self, event: &AuthEvent) -> Result<Vec<Extremity>, RoomError> {
        use ruma::state_res::Event as _;
        if self.writer.has(Defect::ExtremityKept) {
            return Ok(self.facts.head.extremities.clone());
        }
        let mut followed: HashSet<OwnedEventId> = HashSet::new();
        let mut ahead: Vec<OwnedEventId> = event.prev_events().cloned().collect();
        while let Some(id) = ahead.pop() {
            if followed.len() > MOST_WALKED || !followed.insert(id.clone()) {
                continue;
            }
            let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
            let Some(held) = self.writer.rooms.event_by_id(&self.db, room, &id).await? else {
                continue;
            };
            if matches!(held.verdict, Verdict::SoftFailed(_) | Verdict::Rejected(_)) {
                let parts = held.parts();
                ahead.extend(parts.previous_events(held.json()).unwrap_or_default());
            }
        }
        let left = self.facts.head.extremities.iter();
        let left = left
            .filter(|end| EventId::parse(&end.event_id).is_ok_and(|id| !followed.contains(&*id)));
        Ok(left.cloned().collect())
    }

    /// The key that a state event sets, interned if no room had it before: the turn goes on with a snapshot that knows it.
    pub(crate) async fn own_key(
        &mut self,
        event: &AuthEvent,
    ) -> Result<Option<StateKeyNumber>, RoomError> {
        let Some(state_key) = event.state_key() else {
            return Ok(None);
        };
        let kind = &event.kind().to_string();
        if let Some(key) = self.state_key_number(kind, state_key).await? {
            return Ok(Some(key));
        }
        let numbers = self.writer.rooms.numbers();
        let store = self.writer.rooms.store();
        let interned = store.transact::<_, StoreError, _>(|txn| async move {
            numbers.intern_state_key(&txn, kind, state_key).await
        });
        let (key, _) = interned.await?;
        self.db = self.writer.rooms.snapshot().await?;
        Ok(Some(key))
    }

    /// Gives numbers to (type, state key) pairs that no room had before, a bounded number in each commit.
    pub(crate) async fn intern(&mut self, pairs: &[Pair]) -> Result<(), RoomError> {
        let numbers = self.writer.rooms.numbers();
        let store = self.writer.rooms.store();
        for pairs in pairs.chunks(INTERNED_AT_ONCE) {
            let interned = store.transact::<_, StoreError, _>(|txn| async move {
                for (kind, state_key) in pairs {
                    numbers.intern_state_key(&txn, kind, state_key).await?;
                }
                Ok(())
            });
            interned.await?;
        }
        if !pairs.is_empty() {
            self.db = self.writer.rooms.snapshot().await?;
        }
        Ok(())
    }
}
