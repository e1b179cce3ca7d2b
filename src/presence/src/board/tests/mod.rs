//! The board by itself: single facts. `model` has random histories.

mod model;

use std::collections::BTreeSet;

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

fn tick(board: &mut Board, now: u64) -> Publication {
    let mut publication = Publication::default();
    while board.tick(now, &mut publication) {}
    publication
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
    board.insert(ALICE, loaded(&[1]));
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
    let publication = tick(&mut board, START + 600);
    assert!(!publication.presence.contains(&stranger) && publication.presence.contains(&ALICE));
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
    tick(&mut board, START + 1000);
    assert_eq!(tick(&mut board, START + 29_999).users, []);
    let publication = tick(&mut board, START + 30_000);
    assert_eq!(publication.users, [ALICE]);
    assert_eq!(publication.rows[0].1.state, PresenceState::Offline);
    assert_eq!(publication.rows[0].1.status_msg.as_deref(), Some("at work"));
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
    let publication: BTreeSet<UserNumber> = both.map(|update| update.user).collect();
    assert_eq!(publication.len(), 20);
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
    let publication = tick(&mut board, START + 5000);
    assert_eq!(publication.presence.len(), 1, "only oneself");
    assert_eq!(publication.online.len() as u64, u64::from(LARGE) + 2);
    assert_eq!(board.online(ROOM), LARGE + 2);
}
