//! Random histories, compared with a model that recounts everything.

use std::collections::{BTreeMap, BTreeSet};

use database::{Random, SeededRandom};

use super::*;

/// A device as the model knows it.
#[derive(Clone, Debug)]
struct Known {
    syncs: Vec<u32>,
    wanted: PresenceState,
    by_put: bool,
    until: u64,
    active_at: u64,
}

/// Users of the model: devices and rooms, and no derived state.
#[derive(Default)]
struct Model {
    devices: BTreeMap<(u64, u64), Known>,
    rooms: BTreeSet<(u64, u64)>,
}

impl Model {
    fn state(&self, user: u64, now: u64) -> PresenceState {
        let own = self.devices.iter().filter(|((owner, _), _)| *owner == user);
        let states = own.map(|(_, device)| match device.wanted {
            PresenceState::Online if now >= device.active_at + LIMITS.idle_after => {
                PresenceState::Unavailable
            }
            wanted => wanted,
        });
        states.max().unwrap_or_default()
    }

    fn expire(&mut self, now: u64) {
        self.devices
            .retain(|_, device| !device.syncs.is_empty() || device.until > now);
    }

    fn online(&self, room: u64, now: u64) -> BTreeSet<UserNumber> {
        let members = self.rooms.iter().filter(|(_, other)| *other == room);
        let online = members.filter(|(user, _)| self.state(*user, now) != PresenceState::Offline);
        online.map(|(user, _)| UserNumber(*user)).collect()
    }
}

const USERS: u64 = 7;
const ROOMS: u64 = 5;

struct Run {
    board: Board,
    model: Model,
    random: SeededRandom,
    now: u64,
    /// What one watcher believes, and the change up to which it was published.
    believed: BTreeMap<UserNumber, PresenceState>,
    since: u64,
    last_published: BTreeMap<UserNumber, u64>,
    last_woken: u64,
}

/// Watches invisibly, and is in all rooms.
const WATCHER: UserNumber = UserNumber(99);

impl Run {
    fn new(seed: u64) -> Self {
        let mut board = Board::new(LIMITS);
        let every: Vec<u64> = (0..ROOMS).collect();
        board.insert(WATCHER, loaded(&every));
        let _ = board.connect(WATCHER, "eye", SetPresence::Offline, START);
        Self {
            board,
            model: Model::default(),
            random: SeededRandom::new(seed),
            now: START,
            believed: BTreeMap::new(),
            since: 0,
            last_published: BTreeMap::new(),
            last_woken: 0,
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.u64() % bound
    }

    fn pick<T: Copy>(&self, list: &[T]) -> T {
        let at = usize::try_from(self.below(list.len() as u64)).expect("an index");
        list[at]
    }

    fn hold(&mut self, user: u64) {
        let own = self.model.rooms.iter().filter(|(owner, _)| *owner == user);
        let rooms: Vec<u64> = own.map(|(_, room)| *room).collect();
        self.board.insert(UserNumber(user), loaded(&rooms));
    }

    fn step(&mut self) {
        let (user, device) = (self.below(USERS), self.below(3));
        let name = format!("device{device}");
        match self.below(9) {
            0 | 1 => self.connect(user, device, &name),
            2 => self.disconnect(user, device, &name),
            3 => self.put(user, device, &name),
            4 => {
                self.board.active(UserNumber(user), &name, self.now);
                if let Some(known) = self.model.devices.get_mut(&(user, device))
                    && known.wanted >= PresenceState::Online
                {
                    known.active_at = self.now;
                }
            }
            5 => {
                let all = self.below(4) == 0;
                let ends = |other: &str| all || other == name;
                self.board.end_devices(UserNumber(user), ends, self.now);
                let ends = |other: u64| all || other == device;
                self.model
                    .devices
                    .retain(|(owner, other), _| *owner != user || !ends(*other));
            }
            6 | 7 => {
                let room = self.below(ROOMS);
                let joins = self.below(3) > 0;
                if joins {
                    self.model.rooms.insert((user, room));
                } else {
                    self.model.rooms.remove(&(user, room));
                }
                let (user, room) = (UserNumber(user), RoomNumber(room));
                self.board.set_membership(user, room, joins, self.now);
            }
            _ => {
                let longest = self.pick(&[400, 3000, 40_000, 320_000]);
                self.pass(self.below(longest));
            }
        }
        self.tick();
        self.compare();
    }

    fn connect(&mut self, user: u64, device: u64, name: &str) {
        let sets = [
            SetPresence::Online,
            SetPresence::Unavailable,
            SetPresence::Offline,
        ];
        let set = self.pick(&sets);
        self.hold(user);
        let (sync, is_new) = self.board.connect(UserNumber(user), name, set, self.now);
        assert_eq!(is_new, !self.model.devices.contains_key(&(user, device)));
        let known = self.model.devices.entry((user, device)).or_insert(Known {
            syncs: Vec::new(),
            wanted: PresenceState::Offline,
            by_put: false,
            until: 0,
            active_at: self.now,
        });
        known.syncs.push(sync);
        if known.wanted == PresenceState::Busy {
            return;
        }
        match set {
            SetPresence::Online => {
                if known.wanted != PresenceState::Online {
                    known.active_at = self.now;
                }
                known.wanted = PresenceState::Online;
                known.by_put = false;
            }
            SetPresence::Unavailable => {
                known.wanted = PresenceState::Unavailable;
                known.by_put = false;
            }
            SetPresence::Offline if known.by_put => {}
            SetPresence::Offline => known.wanted = PresenceState::Offline,
        }
    }

    fn disconnect(&mut self, user: u64, device: u64, name: &str) {
        let Some(known) = self.model.devices.get_mut(&(user, device)) else {
            return;
        };
        if let Some(sync) = known.syncs.pop() {
            known.until = self.now + LIMITS.offline_after;
            self.board
                .disconnect(UserNumber(user), name, sync, self.now);
        }
    }

    fn put(&mut self, user: u64, device: u64, name: &str) {
        let states = [
            PresenceState::Offline,
            PresenceState::Unavailable,
            PresenceState::Online,
            PresenceState::Busy,
        ];
        let state = self.pick(&states);
        self.hold(user);
        let _ = self
            .board
            .put(UserNumber(user), name, state, None, self.now);
        let known = self.model.devices.entry((user, device)).or_insert(Known {
            syncs: Vec::new(),
            wanted: state,
            by_put: true,
            until: 0,
            active_at: self.now,
        });
        known.wanted = state;
        known.by_put = true;
        known.until = self.now + LIMITS.offline_after;
        if state >= PresenceState::Online {
            known.active_at = self.now;
        }
    }

    /// Time passes, and the board ticks whenever it wants to.
    fn pass(&mut self, millis: u64) {
        let end = self.now + millis;
        while let Some(next) = self.board.next_tick().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.tick();
        }
        self.now = end;
    }

    fn tick(&mut self) {
        let publication = tick(&mut self.board, self.now);
        for user in &publication.users {
            if let Some(before) = self.last_published.insert(*user, self.now) {
                assert!(
                    self.now >= before + USER_EVERY,
                    "{user:?} is told too often"
                );
            }
        }
        if publication.presence.contains(&WATCHER) || publication.online.contains(&WATCHER) {
            assert!(self.now >= self.last_woken + 500, "woken too often");
            self.last_woken = self.now;
        }
        if publication.presence.contains(&WATCHER) {
            let updates = self
                .board
                .updates(WATCHER, Some(self.since), &[], 3, self.now);
            self.since = updates.next;
            for update in updates.updates {
                self.believed.insert(update.user, update.state);
            }
        }
    }

    fn compare(&mut self) {
        self.model.expire(self.now);
        for room in 0..ROOMS {
            let online: BTreeSet<UserNumber> = self.board.online_in(RoomNumber(room)).collect();
            let expected = self.model.online(room, self.now);
            assert_eq!(online, expected);
            assert_eq!(self.board.online(RoomNumber(room)) as usize, expected.len());
        }
        let syncs = self.model.devices.values().map(|device| device.syncs.len());
        let connected = syncs.clone().filter(|syncs| *syncs > 0).count();
        let users = (0..USERS).filter(|user| self.model.state(*user, self.now).is_online());
        let server = self.board.server();
        let expected = (users.count(), connected + 1, syncs.sum::<usize>() + 1);
        assert_eq!((server.users, server.devices, server.connections), expected);
    }

    /// Once nothing happens any more, the watcher knows the state of all whose room it shares.
    fn settle(&mut self) {
        self.pass(5000);
        loop {
            let updates = self
                .board
                .updates(WATCHER, Some(self.since), &[], 3, self.now);
            if updates.updates.is_empty() {
                break;
            }
            self.since = updates.next;
            for update in updates.updates {
                self.believed.insert(update.user, update.state);
            }
        }
        self.model.expire(self.now);
        for user in 0..USERS {
            if self.model.rooms.iter().any(|(owner, _)| *owner == user) {
                let believed = self.believed.get(&UserNumber(user)).copied();
                let actual = self.model.state(user, self.now);
                assert_eq!(believed.unwrap_or_default(), actual, "of user {user}");
            }
        }
    }
}

#[test]
fn random_histories_count_exactly_and_no_watcher_misses_a_change() {
    for seed in 0..60 {
        let mut run = Run::new(seed);
        for _ in 0..400 {
            run.step();
        }
        run.settle();
    }
}
