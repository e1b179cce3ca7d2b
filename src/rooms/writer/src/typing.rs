//! Who is typing (client-server API, "Typing Notifications"): in memory only, and gone with the server.
//!
//! Owner: `RoomWriter`. Bound: `ROOMS` rooms of `USERS_OF_A_ROOM` users; users beyond the limit are not shown as typing. Changes are
//! counted: a `/sync` token tells the counter, and the boot id in which it counts.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use database::{Clock, Random, RoomNumber, UserNumber};
use ruma::{OwnedUserId, RoomId, UserId};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::handle::RoomWriter;
use rooms_store::RoomError;

const ROOMS: usize = 4096;
const USERS_OF_A_ROOM: usize = 64;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(2);

/// Who is typing where. Cheap to clone.
#[derive(Clone)]
pub struct Typing(Arc<Parts>);

struct Parts {
    clock: Arc<dyn Clock>,
    boot_id: u64,
    /// Guards all rooms; held for moments, never while waiting.
    rooms: Mutex<TypingRooms>,
    changed: watch::Sender<u64>,
    /// An earlier deadline has come.
    earlier: Notify,
}

#[derive(Default)]
struct TypingRooms {
    counter: u64,
    rooms: HashMap<RoomNumber, TypingRoom>,
    /// Rooms in which nobody types any more, oldest first: the first to be dropped.
    quiet: VecDeque<(RoomNumber, u64)>,
    /// The newest change of a room that was dropped.
    floor: u64,
}

#[derive(Default)]
struct TypingRoom {
    changed_at: u64,
    /// Each with the moment at which it ends.
    users: Vec<(OwnedUserId, Duration)>,
}

impl Typing {
    pub(crate) fn new(clock: Arc<dyn Clock>, random: &dyn Random) -> Self {
        Self(Arc::new(Parts {
            clock,
            boot_id: random.u64(),
            rooms: Mutex::default(),
            changed: watch::Sender::new(0),
            earlier: Notify::new(),
        }))
    }

    /// Names this run of the server: counters of another run say nothing.
    pub fn boot_id(&self) -> u64 {
        self.0.boot_id
    }

    /// How many changes there were.
    pub fn counter(&self) -> u64 {
        *self.0.changed.borrow()
    }

    /// Changes with the counter.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// The rooms that changed after this counter.
    pub fn changed_rooms(&self, after: u64) -> Vec<RoomNumber> {
        let rooms = self.lock();
        let changed = rooms
            .rooms
            .iter()
            .filter(|(_, room)| room.changed_at > after);
        changed.map(|(number, _)| *number).collect()
    }

    /// The counter of a room's last change; 0 if there was none. Of a room that was dropped it says the latest that it can be.
    pub fn changed_at(&self, room: RoomNumber) -> u64 {
        let rooms = self.lock();
        rooms
            .rooms
            .get(&room)
            .map_or(rooms.floor, |room| room.changed_at)
    }

    /// Who is typing in a room.
    pub fn users(&self, room: RoomNumber) -> Vec<OwnedUserId> {
        let rooms = self.lock();
        let users = rooms
            .rooms
            .get(&room)
            .map(|room| room.users.as_slice())
            .unwrap_or_default();
        users.iter().map(|(user, _)| user.clone()).collect()
    }

    /// The user types for so long, counted from now.
    pub(crate) fn start(&self, room: RoomNumber, user: &UserId, timeout: Duration) {
        let end = self.0.clock.monotonic() + timeout.clamp(SHORTEST, LONGEST);
        let mut rooms = self.lock();
        if let Some(known) = rooms.find(room, user) {
            known.1 = end;
        } else if rooms.begin(room, user, end) {
            self.publish(rooms);
        }
        self.0.earlier.notify_one();
    }

    pub(crate) fn stop(&self, room: RoomNumber, user: &UserId) {
        let mut rooms = self.lock();
        if rooms.end(room, |(other, _)| other == user) {
            self.publish(rooms);
        }
    }

    /// Ends what has lasted its time; how long until the next end.
    fn expire(&self) -> Option<Duration> {
        let now = self.0.clock.monotonic();
        let mut rooms = self.lock();
        let over: Vec<RoomNumber> = rooms
            .rooms
            .iter()
            .filter(|(_, room)| room.users.iter().any(|(_, end)| *end <= now))
            .map(|(number, _)| *number)
            .collect();
        for room in &over {
            rooms.end(*room, |(_, end)| *end <= now);
        }
        let ends = rooms
            .rooms
            .values()
            .flat_map(|room| room.users.iter().map(|(_, end)| *end));
        let next = ends.min().map(|end| end.saturating_sub(now));
        if !over.is_empty() {
            self.publish(rooms);
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, TypingRooms> {
        self.0.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who wait. Takes the guard, so that the counter is published in order.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "held until the counter is published"
    )]
    fn publish(&self, rooms: MutexGuard<'_, TypingRooms>) {
        self.0.changed.send_replace(rooms.counter);
    }
}

impl TypingRooms {
    fn find(&mut self, room: RoomNumber, user: &UserId) -> Option<&mut (OwnedUserId, Duration)> {
        self.rooms
            .get_mut(&room)?
            .users
            .iter_mut()
            .find(|(known, _)| known == user)
    }

    /// Whether there was room for one more.
    fn begin(&mut self, room: RoomNumber, user: &UserId, end: Duration) -> bool {
        if !self.rooms.contains_key(&room) && self.rooms.len() >= ROOMS && !self.drop_quiet() {
            return false;
        }
        let entry = self.rooms.entry(room).or_default();
        if entry.users.len() >= USERS_OF_A_ROOM {
            return false;
        }
        entry.users.push((user.to_owned(), end));
        self.counter += 1;
        entry.changed_at = self.counter;
        true
    }

    /// Whether anybody was taken out.
    fn end(
        &mut self,
        room: RoomNumber,
        is_over: impl Fn(&(OwnedUserId, Duration)) -> bool,
    ) -> bool {
        let Some(entry) = self.rooms.get_mut(&room) else {
            return false;
        };
        let before = entry.users.len();
        entry.users.retain(|user| !is_over(user));
        if entry.users.len() == before {
            return false;
        }
        self.counter += 1;
        entry.changed_at = self.counter;
        if entry.users.is_empty() {
            self.quiet.push_back((room, self.counter));
            self.compact();
        }
        true
    }

    /// Drops the room that has been quiet for longest.
    fn drop_quiet(&mut self) -> bool {
        while let Some((room, changed_at)) = self.quiet.pop_front() {
            let is_quiet = self
                .rooms
                .get(&room)
                .is_some_and(|entry| entry.changed_at == changed_at);
            if is_quiet {
                self.rooms.remove(&room);
                self.floor = self.floor.max(changed_at);
                return true;
            }
        }
        false
    }

    /// Forgets marks of rooms that have changed since.
    fn compact(&mut self) {
        if self.quiet.len() > 2 * ROOMS {
            let rooms = &self.rooms;
            self.quiet
                .retain(|(room, at)| rooms.get(room).is_some_and(|r| r.changed_at == *at));
        }
    }
}

impl RoomWriter {
    /// The user types for so long from now on; `None`: no longer.
    pub async fn set_typing(
        &self,
        room_id: &RoomId,
        user: UserNumber,
        user_id: &UserId,
        timeout: Option<Duration>,
    ) -> Result<(), RoomError> {
        let db = self.rooms.snapshot().await?;
        let room = self
            .rooms
            .number(&db, room_id)
            .await?
            .ok_or(RoomError::NotInRoom)?;
        if !self.rooms.is_joined(&db, room, user).await? {
            return Err(RoomError::NotInRoom);
        }
        match timeout {
            Some(timeout) => self.shared.typing.start(room, user_id, timeout),
            None => self.shared.typing.stop(room, user_id),
        }
        Ok(())
    }
}

/// Starts the task that ends what has lasted its time.
pub(crate) fn start(writer: &RoomWriter) {
    writer.shared.tasks.spawn(run(
        writer.shared.typing.clone(),
        writer.shared.stop.clone(),
    ));
}

async fn run(typing: Typing, stop: CancellationToken) {
    loop {
        let next = typing.expire();
        let wait = async {
            match next {
                Some(next) => tokio::time::sleep(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wait => {}
            () = typing.0.earlier.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use database::{MockClock, SeededRandom};
    use ruma::user_id;

    use super::*;

    const ROOM: RoomNumber = RoomNumber(1);

    fn typing() -> (Typing, Arc<MockClock>) {
        let clock = Arc::new(MockClock::default());
        (Typing::new(clock.clone(), &SeededRandom::new(1)), clock)
    }

    #[test]
    fn who_types_is_shown_until_the_time_is_over() {
        let (typing, clock) = typing();
        let alice = user_id!("@alice:x");

        typing.start(ROOM, alice, Duration::from_secs(10));
        clock.advance(Duration::from_secs(9));
        typing.expire();
        assert_eq!(typing.users(ROOM), [alice]);
        assert_eq!((typing.counter(), typing.changed_at(ROOM)), (1, 1));

        clock.advance(Duration::from_secs(1));
        typing.expire();
        assert_eq!(typing.users(ROOM), Vec::<OwnedUserId>::new());
        assert_eq!(typing.changed_rooms(1), [ROOM]);
        assert_eq!(typing.changed_rooms(2), []);
    }

    #[test]
    fn typing_on_is_no_change() {
        let (typing, clock) = typing();
        let alice = user_id!("@alice:x");

        typing.start(ROOM, alice, Duration::from_secs(10));
        clock.advance(Duration::from_secs(9));
        typing.start(ROOM, alice, Duration::from_secs(10));
        clock.advance(Duration::from_secs(9));
        typing.expire();
        assert_eq!((typing.users(ROOM).len(), typing.counter()), (1, 1));

        typing.stop(ROOM, alice);
        typing.stop(ROOM, alice);
        assert_eq!((typing.users(ROOM).len(), typing.counter()), (0, 2));
    }

    #[test]
    fn rooms_are_bounded_and_what_was_dropped_counts_as_changed() {
        let (typing, _) = typing();
        let alice = user_id!("@alice:x");

        for room in 1..=ROOMS as u64 {
            typing.start(RoomNumber(room), alice, LONGEST);
        }
        let one_more = RoomNumber(0);
        typing.start(one_more, alice, LONGEST);
        assert!(typing.users(one_more).is_empty());

        typing.stop(ROOM, alice);
        let stopped = typing.counter();
        typing.start(one_more, alice, LONGEST);
        assert_eq!(typing.users(one_more), [alice]);
        assert_eq!(typing.changed_at(ROOM), stopped);
    }
}
