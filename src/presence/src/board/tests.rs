//! The board by itself: single facts, and random histories compared with a model that recounts everything.

use std::collections::{BTreeMap, BTreeSet};

use database::{Random, SeededRandom};

use super::{tick::LARGE, *};

const LIMITS: Limits = Limits {
    idle_after: 300_000,
    offline_after: 30_000,
};
const START: u64 = 1_700_000_000_000;
const ALICE: UserNumber = UserNumber(1);
const BOB: UserNumber = UserNumber(2);
const ROOM: RoomNumber = RoomNumber(1);

fn loaded(rooms: &[u64]) -> Loaded {
    Loaded {
        rooms: rooms.iter().copied().map(RoomNumber).collect(),
        row: PresenceRow::default(),
    }
}

fn board() -> Board {
    let mut board = Board::new(LIMITS);
    board.insert(ALICE, loaded(&[1]));
    board.insert(BOB, loaded(&[1]));
    board
}

fn tick(board: &mut Board, now: u64) -> Told {
    let mut told = Told::default();
    while board.tick(now, &mut told) {}
    told
}

fn state(board: &Board, user: UserNumber, now: u64) -> PresenceState {
    board
        .update(user, now)
        .map_or(PresenceState::Offline, |update| update.state)
}

#[test]
fn a_device_is_online_until_its_last_sync_is_long_enough_ago() {
    let mut board = board();
    let (sync, _) = board.connect(ALICE, "phone", SetPresence::Online, START);
    assert_eq!(board.online(ROOM), 1);
    board.disconnect(ALICE, "phone", sync, START + 1000);
    tick(&mut board, START + 30_999);
    assert_eq!(board.online(ROOM), 1);
    tick(&mut board, START + 31_000);
    assert_eq!(board.online(ROOM), 0);
}

#[test]
fn a_client_that_comes_back_in_time_does_not_flap() {
    let mut board = board();
    let _ = board.connect(BOB, "tv", SetPresence::Offline, START);
    let (sync, _) = board.connect(ALICE, "phone", SetPresence::Online, START);
    assert_eq!(tick(&mut board, START).users, [ALICE]);
    board.disconnect(ALICE, "phone", sync, START + 1000);
    tick(&mut board, START + 20_000);
    let _ = board.connect(ALICE, "phone", SetPresence::Online, START + 25_000);
    assert_eq!(tick(&mut board, START + 40_000).users, []);
    assert_eq!(board.online(ROOM), 1);
}

#[test]
fn idle_users_are_unavailable_and_still_count_as_online() {
    let mut board = board();
    let _ = board.connect(ALICE, "phone", SetPresence::Online, START);
    tick(&mut board, START + 299_999);
    assert_eq!(state(&board, ALICE, START + 299_999), PresenceState::Online);
    tick(&mut board, START + 300_000);
    assert_eq!(
        state(&board, ALICE, START + 300_000),
        PresenceState::Unavailable
    );
    assert_eq!(board.online(ROOM), 1);
    board.active(ALICE, "phone", START + 300_001);
    assert_eq!(state(&board, ALICE, START + 300_001), PresenceState::Online);
}

#[test]
fn the_most_present_device_wins_and_busy_is_kept() {
    let mut board = board();
    let _ = board.connect(ALICE, "tablet", SetPresence::Unavailable, START);
    assert_eq!(state(&board, ALICE, START), PresenceState::Unavailable);
    let _ = board.connect(ALICE, "phone", SetPresence::Online, START);
    assert_eq!(state(&board, ALICE, START), PresenceState::Online);
    let _ = board.put(ALICE, "phone", PresenceState::Busy, None, START);
    let _ = board.connect(ALICE, "phone", SetPresence::Online, START);
    assert_eq!(state(&board, ALICE, START), PresenceState::Busy);
    board.end_devices(ALICE, |device| device == "phone", START);
    assert_eq!(state(&board, ALICE, START), PresenceState::Unavailable);
}

#[test]
fn an_invisible_sync_watches_without_being_online() {
    let mut board = board();
    let _ = board.connect(ALICE, "phone", SetPresence::Offline, START);
    let _ = board.connect(BOB, "phone", SetPresence::Online, START);
    assert_eq!(board.online(ROOM), 1);
    assert!(tick(&mut board, START).presence.contains(&ALICE));
}

#[test]
fn a_log_out_acts_at_once_and_a_late_end_of_its_sync_does_nothing() {
    let mut board = board();
    let (sync, _) = board.connect(ALICE, "phone", SetPresence::Online, START);
    board.end_devices(ALICE, |_| true, START + 1);
    assert_eq!(board.online(ROOM), 0);
    let server = board.server();
    assert_eq!(
        (server.users, server.devices, server.connections),
        (0, 0, 0)
    );
    // The same device id, logged in again.
    let _ = board.connect(ALICE, "phone", SetPresence::Online, START + 2);
    board.disconnect(ALICE, "phone", sync, START + 3);
    assert_eq!(board.server().connections, 1);
}

#[test]
fn strangers_are_told_nothing() {
    let mut board = board();
    let stranger = UserNumber(3);
    board.insert(stranger, loaded(&[2]));
    let _ = board.connect(stranger, "phone", SetPresence::Online, START);
    tick(&mut board, START);
    let since = board.counter();
    let _ = board.connect(ALICE, "phone", SetPresence::Online, START + 600);
    let told = tick(&mut board, START + 600);
    assert!(!told.presence.contains(&stranger) && told.presence.contains(&ALICE));
    let none = Updates {
        updates: Vec::new(),
        next: board.counter(),
    };
    assert_eq!(
        board.updates(stranger, Some(since), &[], 100, START + 600),
        none
    );
    let all = board.updates(stranger, None, &[], 100, START + 600);
    assert_eq!(all.updates.len(), 1, "only oneself");
}

#[test]
fn after_a_restart_the_last_state_is_known_and_ends() {
    let mut board = Board::new(LIMITS);
    let mut last = loaded(&[1]);
    last.row.state = PresenceState::Busy;
    last.row.status_msg = Some("at work".to_owned());
    board.restore(ALICE, last, true, START);
    assert_eq!(state(&board, ALICE, START), PresenceState::Busy);
    assert_eq!(tick(&mut board, START + 29_999).users, []);
    let told = tick(&mut board, START + 30_000);
    assert_eq!(told.users, [ALICE]);
    assert_eq!(told.rows[0].1.state, PresenceState::Offline);
    assert_eq!(told.rows[0].1.status_msg.as_deref(), Some("at work"));
}

#[test]
fn an_answer_is_bounded_and_the_next_one_continues() {
    let mut board = board();
    let _ = board.connect(BOB, "phone", SetPresence::Online, START);
    tick(&mut board, START);
    let since = board.counter();
    for number in 10..30 {
        board.insert(UserNumber(number), loaded(&[1]));
        let _ = board.connect(
            UserNumber(number),
            "phone",
            SetPresence::Online,
            START + 1000,
        );
    }
    tick(&mut board, START + 1000);
    let first = board.updates(BOB, Some(since), &[], 15, START + 1000);
    assert_eq!(first.updates.len(), 15);
    let rest = board.updates(BOB, Some(first.next), &[], 15, START + 1000);
    assert_eq!(rest.updates.len(), 5);
    let both = first.updates.iter().chain(&rest.updates);
    let told: BTreeSet<UserNumber> = both.map(|update| update.user).collect();
    assert_eq!(told.len(), 20);
}

#[test]
fn presence_does_not_spread_through_large_rooms_but_counts_do() {
    let mut board = board();
    for number in 0..=u64::from(LARGE) {
        board.insert(UserNumber(1000 + number), loaded(&[1]));
        let _ = board.connect(UserNumber(1000 + number), "x", SetPresence::Online, START);
    }
    tick(&mut board, START);
    let _ = board.connect(ALICE, "phone", SetPresence::Online, START + 5000);
    let told = tick(&mut board, START + 5000);
    assert_eq!(told.presence.len(), 1, "only oneself");
    assert_eq!(told.online.len() as u64, u64::from(LARGE) + 2);
    assert_eq!(board.online(ROOM), LARGE + 2);
}

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
    /// What one watcher believes, and the change up to which it was told.
    believed: BTreeMap<UserNumber, PresenceState>,
    since: u64,
    last_told: BTreeMap<UserNumber, u64>,
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
            last_told: BTreeMap::new(),
            last_woken: 0,
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.u64() % bound
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
                let longest = [400, 3000, 40_000, 320_000][self.below(4) as usize];
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
        let set = sets[self.below(3) as usize];
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
        let state = states[self.below(4) as usize];
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
        let told = tick(&mut self.board, self.now);
        for user in &told.users {
            if let Some(before) = self.last_told.insert(*user, self.now) {
                assert!(
                    self.now >= before + USER_EVERY,
                    "{user:?} is told too often"
                );
            }
        }
        if told.presence.contains(&WATCHER) || told.online.contains(&WATCHER) {
            assert!(self.now >= self.last_woken + 500, "woken too often");
            self.last_woken = self.now;
        }
        if told.presence.contains(&WATCHER) {
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
