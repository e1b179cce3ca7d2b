mod plain;
mod published;
mod random;
mod room;

use ruma::{RoomVersionId, event_id};
use serde_json::json;

use self::room::{Room, pair};
use super::*;
use crate::room_version::rules;

/// A room of version 1 whose events have chosen depths.
fn version_1() -> (Room, StateSet) {
    let mut room = Room::new(&RoomVersionId::V1);
    let state = room.public_chat();
    (room, state)
}

fn with(state: &StateSet, room: &Room, ids: &[&str]) -> StateSet {
    let mut state = state.clone();
    for id in ids {
        let event = room.event(&room.id(id)).expect("an event");
        state.insert(
            event.state_pair().expect("a state event"),
            event.id().to_owned(),
        );
    }
    state
}

#[test]
fn one_state_and_equal_states_need_no_events() {
    let (room, state) = version_1();
    let nothing = |_: &EventId| None;
    for rules in [
        RoomVersionRules::V1,
        RoomVersionRules::V11,
        RoomVersionRules::V12,
    ] {
        assert_eq!(resolve(&rules, &[], vec![], nothing), Ok(StateSet::new()));
        let one = resolve(&rules, std::slice::from_ref(&state), vec![], nothing);
        assert_eq!(one.as_ref(), Ok(&state));
        let equal = [state.clone(), state.clone(), state.clone()];
        assert_eq!(resolve(&rules, &equal, room.chains(&equal), nothing), one);
    }
}

#[test]
fn version_1_takes_the_deepest_allowed_event() {
    let (mut room, state) = version_1();
    let topic = json!({ "topic": "t" });
    room.add("low", "m.room.topic", "", "@alice:x", 1, &topic)
        .depth(20);
    room.add("high", "m.room.topic", "", "@alice:x", 1, &topic)
        .depth(30);
    room.add("forbidden", "m.room.topic", "", "@carol:x", 1, &topic)
        .depth(40);
    let sets = [&["low"], &["high"], &["forbidden"]].map(|ids| with(&state, &room, ids));
    let resolved = room.resolve(&sets).expect("a state");
    assert_eq!(resolved[&pair("m.room.topic", "")], room.id("high"));

    // At the same depth, the lesser SHA-1 of the id wins.
    room.add("a1", "m.room.topic", "", "@alice:x", 1, &topic)
        .depth(50);
    room.add("a2", "m.room.topic", "", "@alice:x", 1, &topic)
        .depth(50);
    let sets = [&["a1"], &["a2"]].map(|ids| with(&state, &room, ids));
    let resolved = room.resolve(&sets).expect("a state");
    let sha1 = |name: &str| {
        use sha1::Digest as _;
        sha1::Sha1::digest(room.id(name).as_str().as_bytes())
    };
    let expected = if sha1("a1") < sha1("a2") { "a1" } else { "a2" };
    assert_eq!(resolved[&pair("m.room.topic", "")], room.id(expected));

    // A place that no event may have keeps the least deep one.
    room.add("worse", "m.room.topic", "", "@carol:x", 1, &topic)
        .depth(41);
    let sets = [&["forbidden"], &["worse"]].map(|ids| with(&state, &room, ids));
    let resolved = room.resolve(&sets).expect("a state");
    assert_eq!(resolved[&pair("m.room.topic", "")], room.id("forbidden"));
}

#[test]
fn version_1_stops_at_the_first_power_levels_that_are_not_allowed() {
    let (mut room, state) = version_1();
    let levels = |bob: i32| json!({ "users": { "@alice:x": 100, "@bob:x": bob } });
    room.add("p1", "m.room.power_levels", "", "@alice:x", 1, &levels(0))
        .depth(20);
    room.add("p2", "m.room.power_levels", "", "@bob:x", 1, &levels(50))
        .depth(21);
    room.add("p3", "m.room.power_levels", "", "@alice:x", 1, &levels(70))
        .depth(22);
    let sets = [&["p1"], &["p2"], &["p3"]].map(|ids| with(&state, &room, ids));
    let resolved = room.resolve(&sets).expect("a state");
    assert_eq!(
        resolved[&pair("m.room.power_levels", "")],
        room.id("p1"),
        "bob lost his power"
    );

    let sets = [&["p1"], &["p3"]].map(|ids| with(&state, &room, ids));
    let resolved = room.resolve(&sets).expect("a state");
    assert_eq!(resolved[&pair("m.room.power_levels", "")], room.id("p3"));
}

#[test]
fn version_1_resolves_members_by_the_join_rules_before_them() {
    let (mut room, state) = version_1();
    let join = json!({ "membership": "join" });
    room.add(
        "r1",
        "m.room.join_rules",
        "",
        "@alice:x",
        1,
        &json!({ "join_rule": "public" }),
    )
    .depth(20);
    room.add(
        "r2",
        "m.room.join_rules",
        "",
        "@alice:x",
        1,
        &json!({ "join_rule": "invite" }),
    )
    .depth(21);
    room.add(
        "kick",
        "m.room.member",
        "@bob:x",
        "@alice:x",
        1,
        &json!({ "membership": "leave" }),
    )
    .depth(22);
    room.add("rejoin", "m.room.member", "@bob:x", "@bob:x", 1, &join)
        .depth(23);
    room.add("dave", "m.room.member", "@dave:x", "@dave:x", 1, &join)
        .depth(24);
    let sets = [
        with(&state, &room, &["r1", "rejoin", "dave"]),
        with(&state, &room, &["r2", "kick"]),
    ];
    let resolved = room.resolve(&sets).expect("a state");
    assert_eq!(resolved[&pair("m.room.join_rules", "")], room.id("r2"));
    assert_eq!(resolved[&pair("m.room.member", "@bob:x")], room.id("kick"));
    assert_eq!(
        resolved[&pair("m.room.member", "@dave:x")],
        room.id("dave"),
        "a place that one state lacks is no conflict in version 1"
    );
}

#[test]
fn missing_events_are_named() {
    for version in [
        RoomVersionId::V1,
        RoomVersionId::V2,
        RoomVersionId::V11,
        RoomVersionId::V12,
    ] {
        let mut room = Room::new(&version);
        let state = room.public_chat();
        for (name, topic) in [("t1", "a"), ("t2", "b")] {
            room.add(
                name,
                "m.room.topic",
                "",
                "@alice:x",
                9,
                &json!({ "topic": topic }),
            );
        }
        let sets = [&["t1"], &["t2"]].map(|ids| with(&state, &room, ids));
        let chains = room.chains(&sets);
        for name in ["t2", "p1", "alice"] {
            let missing = room.id(name);
            let lookup = |id: &EventId| room.event(id).filter(|_| *id != *missing);
            let result = resolve(room.rules, &sets, chains.clone(), lookup);
            assert_eq!(
                result,
                Err(ResolveError::Missing(missing.clone())),
                "{version}"
            );
        }
    }
}

#[test]
fn a_message_is_no_state() {
    let mut room = Room::new(&RoomVersionId::V11);
    let state = room.public_chat();
    room.add_message("message", "@alice:x");
    let mut other = state.clone();
    other.insert(pair("m.room.topic", ""), room.id("message"));
    let error = room.resolve(&[state, other]).expect_err("no state");
    assert_eq!(error, ResolveError::NotState(room.id("message")));
}

/// Servers choose event ids in room version 2, so hostile ones can reference each other's events in a circle.
#[test]
fn cycles_of_auth_events_end() {
    let mut room = Room::new(&RoomVersionId::V2);
    let state = room.public_chat();
    let levels = json!({ "users": { "@alice:x": 100 } });
    room.add("p8", "m.room.power_levels", "", "@alice:x", 1, &levels)
        .auth(&["create", "alice", "p9"]);
    room.add("p9", "m.room.power_levels", "", "@alice:x", 1, &levels)
        .auth(&["create", "alice", "p8"]);
    let sets = [&["p8"], &["p9"]].map(|ids| with(&state, &room, ids));
    assert_eq!(room.resolve(&sets), Err(ResolveError::Cycle));

    let topic = json!({ "topic": "t" });
    room.add("t8", "m.room.topic", "", "@alice:x", 1, &topic)
        .auth(&["create", "alice", "p8"]);
    room.add("t9", "m.room.topic", "", "@alice:x", 1, &topic);
    let sets = [&["t8"], &["t9"]].map(|ids| with(&state, &room, ids));
    let no_difference = vec![HashSet::new(); 2];
    let result = resolve(room.rules, &sets, no_difference, |id| room.event(id));
    assert_eq!(result, Err(ResolveError::Cycle));

    let cyclic = |id: &str| room.id(id);
    let conflicted = HashSet::from([cyclic("t8"), cyclic("t9")]);
    let lookup = |id: &EventId| room.event(id);
    let found = v2::subgraph(&conflicted, &Events::new(&lookup)).expect("it ends");
    assert!(found.iter().all(|id| conflicted.contains(id)));
}

/// Each of many events is based on the end of a long chain of power levels that is not the mainline.
#[test]
fn each_event_is_looked_up_once_however_long_the_chains() {
    let mut room = Room::new(&RoomVersionId::V11);
    let state = room.public_chat();
    let levels = json!({ "users": { "@alice:x": 100, "@bob:x": 50 } });
    let count = 400;
    let mut last = "p1".to_owned();
    for number in 0..count {
        let name = format!("side{number}");
        room.add(&name, "m.room.power_levels", "", "@bob:x", 10, &levels)
            .auth(&["create", "bob", &last]);
        last = name;
    }
    let mut fork = with(&state, &room, &[&last]);
    for number in 0..count {
        let name = format!("event{number}");
        room.add(&name, "org.example", &name, "@bob:x", 10, &json!({}))
            .auth(&["create", "bob", &last]);
        fork = with(&fork, &room, &[&name]);
    }
    room.add(
        "demoted",
        "m.room.power_levels",
        "",
        "@alice:x",
        11,
        &json!({ "users": { "@alice:x": 100 } }),
    );
    let other = with(&state, &room, &["demoted"]);
    let sets = [fork, other];
    let calls = std::cell::Cell::new(0);
    let lookup = |id: &EventId| {
        calls.set(calls.get() + 1);
        room.event(id)
    };
    resolve(room.rules, &sets, room.chains(&sets), lookup).expect("a state");
    assert!(calls.get() <= 2 * count + 20, "{} lookups", calls.get());
}

#[test]
fn rejected_events_authorize_nothing() {
    let mut room = Room::new(&RoomVersionId::V11);
    let state = room.public_chat();
    let topic = |text: &str| json!({ "topic": text });
    room.add(
        "p2",
        "m.room.power_levels",
        "",
        "@alice:x",
        8,
        &json!({ "users": { "@carol:x": 100 } }),
    );
    room.add("t1", "m.room.topic", "", "@alice:x", 9, &topic("a"));
    room.add("t2", "m.room.topic", "", "@carol:x", 10, &topic("b"))
        .auth(&["create", "carol", "p2"]);
    let mut old = with(&state, &room, &["t1"]);
    let mut new = with(&state, &room, &["t2"]);
    // Without power levels in the states, those among the auth events count.
    old.remove(&pair("m.room.power_levels", ""));
    new.remove(&pair("m.room.power_levels", ""));
    let sets = [old, new];
    let chains = vec![HashSet::new(); 2];
    let resolved =
        resolve(room.rules, &sets, chains.clone(), |id| room.event(id)).expect("a state");
    assert_eq!(resolved[&pair("m.room.topic", "")], room.id("t2"));
    let rejected = room.id("p2");
    let lookup = |id: &EventId| match *id == *rejected {
        true => room.event(id).map(AuthEvent::rejected),
        false => room.event(id),
    };
    let resolved = resolve(room.rules, &sets, chains, lookup).expect("a state");
    assert_eq!(resolved[&pair("m.room.topic", "")], room.id("t1"));
}

#[test]
fn the_difference_is_what_some_chains_lack() {
    let set = |ids: &[&str]| {
        ids.iter()
            .map(|id| OwnedEventId::try_from(*id).expect("an id"))
            .collect()
    };
    let found = difference(vec![
        set(&["$a", "$b"]),
        set(&["$a", "$c"]),
        set(&["$a", "$b", "$c"]),
    ]);
    assert_eq!(found, set(&["$b", "$c"]));
    assert_eq!(difference(vec![]), HashSet::new());
    assert_eq!(difference(vec![set(&["$a"])]), HashSet::new());
    assert!(!found.contains(event_id!("$a")));
}

#[test]
fn every_version_has_an_algorithm() {
    for version in crate::room_version::SUPPORTED {
        let mut room = Room::new(&version);
        let state = room.public_chat();
        room.add(
            "t1",
            "m.room.topic",
            "",
            "@alice:x",
            9,
            &json!({ "topic": "a" }),
        )
        .depth(10);
        room.add(
            "t2",
            "m.room.topic",
            "",
            "@alice:x",
            10,
            &json!({ "topic": "b" }),
        )
        .depth(11);
        let sets = [&["t1"], &["t2"]].map(|ids| with(&state, &room, ids));
        let resolved = room.resolve(&sets).expect("a state");
        assert_eq!(resolved, with(&state, &room, &["t2"]), "{version}");
        assert!(rules(&version).is_some());
    }
}
