//! The cases that `ruma-state-res` and MSC4297 publish, in this room's people.

use ruma::RoomVersionId;
use serde_json::{Value, json};

use super::{
    room::{Room, pair},
    with,
};

/// An event of a fork: name, type, state key, sender, time, content.
type Sent = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    i64,
    Value,
);

struct Case {
    what: &'static str,
    common: Vec<Sent>,
    forks: [Vec<Sent>; 2],
    /// What the resolution changes in the common state; an event that is not there has an empty name.
    expected: Vec<(&'static str, &'static str, &'static str)>,
}

fn levels(bob: i32) -> Value {
    json!({ "users": { "@alice:x": 100, "@bob:x": bob } })
}

fn ban() -> Sent {
    let content = json!({ "membership": "ban" });
    ("ban", "m.room.member", "@bob:x", "@alice:x", 20, content)
}

fn topic(name: &'static str, sender: &'static str, ts: i64) -> Sent {
    (
        name,
        "m.room.topic",
        "",
        sender,
        ts,
        json!({ "topic": name }),
    )
}

fn power(name: &'static str, sender: &'static str, content: Value) -> Sent {
    (name, "m.room.power_levels", "", sender, 20, content)
}

fn join(name: &'static str, user: &'static str) -> Sent {
    let content = json!({ "membership": "join" });
    (name, "m.room.member", user, user, 21, content)
}

fn rule(name: &'static str, rule: &str, ts: i64) -> Sent {
    let content = json!({ "join_rule": rule });
    (name, "m.room.join_rules", "", "@alice:x", ts, content)
}

fn cases_of_power() -> Vec<Case> {
    let demoted = json!({ "users": { "@alice:x": 100, "@bob:x": 50 }, "users_default": -1 });
    vec![
        Case {
            what: "power levels of a user who is banned",
            common: vec![],
            forks: [vec![ban()], vec![power("bobs", "@bob:x", levels(50))]],
            expected: vec![
                ("m.room.member", "@bob:x", "ban"),
                ("m.room.power_levels", "", "p1"),
            ],
        },
        Case {
            what: "topic of a user who is demoted",
            common: vec![],
            forks: [
                vec![
                    topic("alices", "@alice:x", 20),
                    power("p2", "@alice:x", levels(0)),
                ],
                vec![topic("bobs", "@bob:x", 20)],
            ],
            expected: vec![
                ("m.room.topic", "", "alices"),
                ("m.room.power_levels", "", "p2"),
            ],
        },
        Case {
            what: "power levels of an administrator and of a moderator",
            common: vec![],
            forks: [
                vec![power("p2", "@alice:x", levels(0))],
                vec![power("p3", "@bob:x", demoted)],
            ],
            expected: vec![("m.room.power_levels", "", "p2")],
        },
    ]
}

fn cases_of_members() -> Vec<Case> {
    vec![
        Case {
            what: "topic of a user who is banned",
            common: vec![topic("old", "@alice:x", 19)],
            forks: [vec![ban()], vec![topic("bobs", "@bob:x", 20)]],
            expected: vec![
                ("m.room.member", "@bob:x", "ban"),
                ("m.room.topic", "", "old"),
            ],
        },
        Case {
            what: "a join and a change to invite only",
            common: vec![power("p2", "@bob:x", levels(50))],
            forks: [
                vec![rule("private", "invite", 21)],
                vec![join("ella", "@ella:x")],
            ],
            expected: vec![
                ("m.room.join_rules", "", "private"),
                ("m.room.member", "@ella:x", ""),
            ],
        },
        Case {
            what: "two joins",
            common: vec![],
            forks: [vec![join("dora", "@dora:x")], vec![join("ella", "@ella:x")]],
            expected: vec![
                ("m.room.member", "@dora:x", "dora"),
                ("m.room.member", "@ella:x", "ella"),
            ],
        },
        Case {
            what: "join rules of one sender, decided by time and not by id",
            common: vec![],
            forks: [
                vec![rule("b", "restricted", 20)],
                vec![rule("a", "public", 21)],
            ],
            expected: vec![("m.room.join_rules", "", "a")],
        },
    ]
}

#[test]
fn published_cases_resolve_as_published() {
    let versions = [
        RoomVersionId::V2,
        RoomVersionId::V6,
        RoomVersionId::V10,
        RoomVersionId::V11,
    ];
    for version in versions {
        for case in cases_of_power().into_iter().chain(cases_of_members()) {
            let mut room = Room::new(&version);
            room.public_chat();
            let send = |room: &mut Room, (name, kind, key, sender, ts, content): &Sent| {
                room.add(name, kind, key, sender, *ts, content);
                room.state.insert(pair(kind, key), room.id(name));
            };
            for sent in &case.common {
                send(&mut room, sent);
            }
            let common = room.state.clone();
            let sets = case.forks.each_ref().map(|fork| {
                room.state = common.clone();
                for sent in fork {
                    send(&mut room, sent);
                }
                room.state.clone()
            });
            let mut expected = common;
            for (kind, key, name) in &case.expected {
                match *name {
                    "" => expected.remove(&pair(kind, key)),
                    _ => expected.insert(pair(kind, key), room.id(name)),
                };
            }
            let what = case.what;
            assert_eq!(
                room.resolve(&sets),
                Ok(expected.clone()),
                "{version}: {what}"
            );
            let [left, right] = sets;
            assert_eq!(
                room.resolve(&[right, left]),
                Ok(expected),
                "{version}: {what}"
            );
        }
    }
}

/// MSC4297, "Problem A": two stale states, of which only one has the join rules on which both are based.
#[test]
fn version_2_1_begins_with_an_empty_state() {
    for (version, has_rules) in [(RoomVersionId::V11, false), (RoomVersionId::V12, true)] {
        let mut room = Room::new(&version);
        let mut state = room.public_chat();
        let private = json!({ "join_rule": "invite" });
        let named = json!({ "membership": "join", "displayname": "n" });
        let leave = json!({ "membership": "leave" });
        let (bob, carol) = ("@bob:x", "@carol:x");
        room.add("private", "m.room.join_rules", "", "@alice:x", 10, &private);
        let rules = pair("m.room.join_rules", "");
        room.state.insert(rules.clone(), room.id("private"));
        room.add("left", "m.room.member", "@alice:x", "@alice:x", 11, &leave);
        room.add("bob2", "m.room.member", bob, bob, 12, &named);
        room.add("carol2", "m.room.member", carol, carol, 13, &named);
        state.insert(pair("m.room.member", "@alice:x"), room.id("left"));
        let mut of_bob = with(&state, &room, &["private", "bob2"]);
        let mut of_carol = with(&state, &room, &["rules", "carol2"]);
        of_bob.remove(&pair("m.room.member", carol));
        of_bob.insert(pair("m.room.member", carol), room.id("carol"));
        of_carol.insert(pair("m.room.member", bob), room.id("bob"));

        let resolved = room.resolve(&[of_bob, of_carol]).expect("a state");
        assert_eq!(
            resolved.get(&rules),
            has_rules.then(|| room.id("private")).as_ref(),
            "{version}"
        );
        let of = |user: &str| &resolved[&pair("m.room.member", user)];
        assert_eq!(*of(bob), room.id("bob2"), "{version}");
        assert_eq!(*of(carol), room.id("carol2"), "{version}");
    }
}

/// MSC4297, "Problem B": a stale state has the first power levels, and the newest are based on some that neither state has.
#[test]
fn version_2_1_considers_what_lies_between_conflicted_events() {
    for (version, expected) in [(RoomVersionId::V11, "p0"), (RoomVersionId::V12, "p2")] {
        let mut room = Room::new(&version);
        room.public_chat();
        let mut levels = json!({ "users": { "@bob:x": 50, "@carol:x": 50 } });
        if version == RoomVersionId::V11 {
            levels["users"]["@alice:x"] = json!(100);
        }
        room.add("p2", "m.room.power_levels", "", "@bob:x", 10, &levels);
        room.state
            .insert(pair("m.room.power_levels", ""), room.id("p2"));
        let state = room.state.clone();
        let join = json!({ "membership": "join" });
        let named = json!({ "membership": "join", "displayname": "e" });
        room.add("zara", "m.room.member", "@zara:x", "@zara:x", 11, &join);
        room.add("eve", "m.room.member", "@eve:x", "@eve:x", 12, &join);
        let eve = pair("m.room.member", "@eve:x");
        room.state.insert(eve.clone(), room.id("eve"));
        room.add("eve2", "m.room.member", "@eve:x", "@eve:x", 12, &named);

        let stale = with(&state, &room, &["p0", "eve2"]);
        let newest = with(&state, &room, &["zara"]);
        let resolved = room.resolve(&[stale, newest]).expect("a state");
        let levels = &resolved[&pair("m.room.power_levels", "")];
        assert_eq!(*levels, room.id(expected), "{version}");
        let zara = &resolved[&pair("m.room.member", "@zara:x")];
        assert_eq!(*zara, room.id("zara"), "{version}");
        assert_eq!(resolved[&eve], room.id("eve2"), "{version}");
    }
}
