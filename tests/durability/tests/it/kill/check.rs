//! The checks after a restart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::load::{Made, Report, Sent, room_named};
use super::{People, Round};
use crate::client::{Client, Event, ask_to_register, assert_same, escaped, text};
use crate::server::Server;

/// The state of a complete room of [`room_named`], without members.
const WHOLE: [&str; 9] = [
    "m.room.create",
    "m.room.power_levels",
    "m.room.join_rules",
    "m.room.history_visibility",
    "m.room.guest_access",
    "m.room.name",
    "m.room.topic",
    "m.room.canonical_alias",
    "org.example.mark",
];

pub(super) async fn events(people: &People, round: &mut Round, report: &Report) {
    for room in &round.rooms {
        let timeline = people.senders[0].messages(room).await;
        let sent: Vec<&Sent> = report
            .sent
            .iter()
            .filter(|sent| &sent.room == room)
            .collect();
        assert_acknowledged_once(&timeline, &sent);
        assert_order(&timeline, &sent);
        assert_nothing_foreign(&timeline, &sent);
    }
    repeat_unanswered(people, report).await;
    round.watcher.catch_up().await;
    for room in &round.rooms {
        let timeline = people.senders[0].messages(room).await;
        for sent in report.sent.iter().filter(|sent| &sent.room == room) {
            let count = timeline
                .iter()
                .filter(|event| event.body == sent.body)
                .count();
            assert_eq!(count, 1, "{} after its repetition", sent.body);
        }
        // The syncs of one client, and `/messages`.
        assert_same(&round.watcher.messages(room), &timeline);
    }
}

/// Every room of the host is complete; a room whose creation was not acknowledged is complete or
/// missing. Adds the rooms of this round to `here`, which has those of earlier rounds.
pub(super) async fn rooms(people: &People, report: &Report, here: &mut BTreeSet<String>) {
    let (host, guest) = (&people.host, &people.guest);
    let joined: BTreeSet<String> = host.joined_rooms().await.into_iter().collect();
    let invitations = guest.sync("").await["rooms"]["invite"].clone();
    let invited: BTreeSet<String> = invitations
        .as_object()
        .map(|rooms| rooms.keys().cloned().collect())
        .unwrap_or_default();
    assert_eq!(joined, invited, "rooms of the host, and invites to them");
    for made in &report.rooms {
        let found = room_of_alias(host, &made.name).await;
        if let Some(id) = &made.id {
            assert_eq!(found.as_ref(), Some(id), "alias of {}", made.name);
        }
        let id = if let Some(id) = found {
            assert!(
                joined.contains(&id),
                "{} has an alias but no member",
                made.name
            );
            assert_whole(host, guest, made, &id).await;
            id
        } else {
            host.create_room(&room_named(&made.name, &guest.user)).await
        };
        here.insert(id);
    }
    assert!(
        joined.is_subset(here),
        "rooms without their alias: {joined:?}"
    );
}

pub(super) async fn accounts(server: &Server, report: &Report) {
    for made in &report.accounts {
        if made.id.is_none() {
            let answer = ask_to_register(&server.http(), &made.name)
                .await
                .expect("it runs");
            let in_use = answer.body["errcode"] == "M_USER_IN_USE";
            assert!(answer.status == 200 || in_use, "{}", answer.body);
        }
        let client = Client::login(server, &made.name).await;
        assert_eq!(
            client.read("/v3/account/whoami").await["user_id"],
            client.user
        );
    }
}

fn assert_acknowledged_once(timeline: &[Event], sent: &[&Sent]) {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for event in timeline {
        places.entry(&event.id).or_default().push(&event.body);
    }
    for sent in sent {
        if let Some(id) = &sent.event_id {
            let found = places.get(id.as_str());
            assert_eq!(
                found,
                Some(&vec![sent.body.as_str()]),
                "acknowledged as {id}"
            );
        }
    }
}

/// An event that was acknowledged before another was sent precedes it.
fn assert_order(timeline: &[Event], sent: &[&Sent]) {
    let by_body: BTreeMap<&str, &Sent> = sent
        .iter()
        .map(|sent| (sent.body.as_str(), *sent))
        .collect();
    let mut latest: Option<&Sent> = None;
    for event in timeline {
        let Some(sent) = by_body.get(event.body.as_str()) else {
            continue;
        };
        if let Some(latest) = latest {
            assert!(
                sent.ended > latest.began,
                "{} stands behind {}",
                sent.body,
                latest.body
            );
        }
        if latest.is_none_or(|latest| latest.began < sent.began) {
            latest = Some(sent);
        }
    }
}

fn assert_nothing_foreign(timeline: &[Event], sent: &[&Sent]) {
    let bodies: BTreeSet<&str> = sent.iter().map(|sent| sent.body.as_str()).collect();
    let mut seen = BTreeSet::new();
    for event in timeline {
        assert!(
            bodies.contains(event.body.as_str()),
            "nobody sent {}",
            event.body
        );
        assert!(seen.insert(&event.body), "{} is there twice", event.body);
    }
}

/// Repeating an unacknowledged send creates one event; repeating an acknowledged one returns the
/// same event.
async fn repeat_unanswered(people: &People, report: &Report) {
    for sender in 0..people.senders.len() {
        let last: Vec<&Sent> = report
            .sent
            .iter()
            .rev()
            .filter(|sent| sent.sender == sender)
            .take(2)
            .collect();
        for sent in last {
            let client = &people.senders[sender];
            let answer = client.try_send(&sent.room, &sent.body, &sent.body).await;
            let id = text(&answer.expect("the server runs").expect_ok()["event_id"]);
            if let Some(acknowledged) = &sent.event_id {
                assert_eq!(&id, acknowledged, "{} was repeated", sent.body);
            }
        }
    }
}

async fn room_of_alias(client: &Client, name: &str) -> Option<String> {
    let alias = escaped(&format!("#{name}:localhost"));
    let answer = client
        .get(&format!("/v3/directory/room/{alias}"))
        .await
        .expect("it runs");
    match answer.status {
        404 => None,
        _ => Some(text(&answer.expect_ok()["room_id"])),
    }
}

async fn assert_whole(host: &Client, guest: &Client, made: &Made, id: &str) {
    let name = &made.name;
    let state = host.read(&format!("/v3/rooms/{}/state", escaped(id))).await;
    let state = state.as_array().expect("a list");
    for kind in WHOLE {
        let count = state.iter().filter(|event| event["type"] == kind).count();
        assert_eq!(count, 1, "{kind} of {name}");
    }
    for (member, membership) in [(host, "join"), (guest, "invite")] {
        let is_there = |event: &&Value| event["state_key"] == member.user;
        let event = state
            .iter()
            .filter(|event| event["type"] == "m.room.member")
            .find(is_there);
        let found = event.map(|event| &event["content"]["membership"]);
        assert_eq!(found, Some(&json!(membership)), "{} in {name}", member.user);
    }
    let listed = format!("/v3/directory/list/room/{}", escaped(id));
    let listed = host.read(&listed).await;
    assert_eq!(listed["visibility"], "public", "{name} in the directory");
}
