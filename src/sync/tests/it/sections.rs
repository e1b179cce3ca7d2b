//! Which rooms are told where, and what is told of them.

use rooms_history::Markers;
use rooms_writer::{Change, Preset};
use serde_json::{Value, json};
use sync::StateAfter;

use crate::world::{Ask, World, events, ids, next_batch};

#[tokio::test]
async fn a_quiet_user_is_told_nothing_but_a_token_and_their_keys() {
    let world = World::new().await;
    let [alice] = world.people(["alice"]).await;
    alice.create_room(Preset::PublicChat).await;
    let token = alice.token().await;

    let answer = alice.sync(&Ask::since(&token)).await;

    let quiet = json!({
        "next_batch": next_batch(&answer),
        "device_one_time_keys_count": { "signed_curve25519": 0 },
        "device_unused_fallback_key_types": [],
        "org.matrix.msc2732.device_unused_fallback_key_types": [],
    });
    assert_eq!(answer, quiet);
}

#[tokio::test]
async fn an_initial_sync_tells_state_timeline_summary_and_counts() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    let sent = bob.send(&room, "hello").await;

    let answer = alice
        .sync(&Ask::default().filter(json!({"room": {"timeline": {"limit": 1}}})))
        .await;

    let joined = &answer["rooms"]["join"][room.as_str()];
    assert_eq!(ids(&joined["timeline"]), [sent.to_string()]);
    assert_eq!(joined["timeline"]["limited"], true);
    assert_eq!(joined["summary"]["m.joined_member_count"], 2);
    assert_eq!(joined["summary"]["m.heroes"], json!(["@bob:localhost"]));
    assert_eq!(joined["unread_notifications"]["notification_count"], 1);
    let state = events(&joined["state"]);
    let kinds: Vec<&str> = state
        .iter()
        .filter_map(|event| event["type"].as_str())
        .collect();
    assert_eq!(kinds[0], "m.room.create");
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == "m.room.member")
            .count(),
        2
    );
    assert!(events(&joined["timeline"])[0].get("room_id").is_none());
    assert!(answer["account_data"]["events"][0]["type"] == "m.push_rules");
}

#[tokio::test]
async fn a_room_that_is_newly_joined_comes_whole_and_limited() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    let token = bob.token().await;
    bob.join(&room).await;

    let answer = bob.sync(&Ask::since(&token)).await;

    let joined = &answer["rooms"]["join"][room.as_str()];
    assert_eq!(joined["timeline"]["limited"], true);
    let told: usize = events(&joined["state"]).len() + events(&joined["timeline"]).len();
    assert!(told >= 7, "{joined}");
    let again = bob.sync(&Ask::since(&next_batch(&answer))).await;
    assert!(again.get("rooms").is_none(), "{again}");
}

#[tokio::test]
async fn join_leave_join_is_one_join() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    let token = bob.token().await;
    bob.join(&room).await;
    bob.leave(&room).await;
    bob.join(&room).await;

    let answer = bob.sync(&Ask::since(&token)).await;

    assert!(answer["rooms"]["join"].get(room.as_str()).is_some());
    assert!(answer["rooms"].get("leave").is_none());
}

#[tokio::test]
async fn a_leave_is_told_once_with_nothing_that_came_after_it() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let visibility = (
        "m.room.history_visibility",
        json!({ "history_visibility": "joined" }),
    );
    let room = alice
        .create_room_with(Preset::PublicChat, &[visibility])
        .await;
    bob.join(&room).await;
    let token = bob.token().await;
    bob.leave(&room).await;
    alice.send(&room, "gone").await;
    alice
        .set_state(&room, "m.room.topic", json!({ "topic": "gone" }))
        .await
        .expect("may");

    let answer = bob.sync(&Ask::since(&token)).await;

    let left = &answer["rooms"]["leave"][room.as_str()];
    let timeline = events(&left["timeline"]);
    assert_eq!(timeline.len(), 1, "{left}");
    assert_eq!(timeline[0]["content"]["membership"], "leave");
    assert!(events(&left["state"]).is_empty());
    let again = bob.sync(&Ask::since(&next_batch(&answer))).await;
    assert!(again.get("rooms").is_none());
}

#[tokio::test]
async fn a_left_room_is_in_an_initial_sync_only_if_asked_for() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    alice
        .set_state(&room, "m.made.up", json!({ "key": "before" }))
        .await
        .expect("may");
    bob.leave(&room).await;
    alice
        .set_state(&room, "m.made.up", json!({ "key": "after" }))
        .await
        .expect("may");

    assert!(bob.sync(&Ask::default()).await.get("rooms").is_none());
    let filter = json!({ "room": { "include_leave": true, "timeline": { "limit": 0 } } });
    let answer = bob.sync(&Ask::default().filter(filter)).await;

    let left = &answer["rooms"]["leave"][room.as_str()];
    assert!(events(&left["timeline"]).is_empty());
    let state = events(&left["state"]);
    let made_up = state
        .iter()
        .find(|event| event["type"] == "m.made.up")
        .expect("is told");
    assert_eq!(made_up["content"]["key"], "before");
    let own = state
        .iter()
        .find(|event| event["state_key"] == bob.user_id.as_str());
    assert_eq!(own.expect("is told")["content"]["membership"], "leave");
}

#[tokio::test]
async fn a_forgotten_room_is_told_to_tokens_from_before_the_leave_only() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    let token = bob.token().await;
    bob.leave(&room).await;
    world
        .writer
        .forget(&room, bob.number)
        .await
        .expect("has left");

    let answer = bob.sync(&Ask::since(&token)).await;
    assert!(answer["rooms"]["leave"].get(room.as_str()).is_some());
    let filter = json!({ "room": { "include_leave": true } });
    assert!(
        bob.sync(&Ask::default().filter(filter))
            .await
            .get("rooms")
            .is_none()
    );
}

#[tokio::test]
async fn a_rejected_invite_is_told_as_left() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PrivateChat).await;
    let token = bob.token().await;
    alice.invite(&room, &bob).await;
    let answer = bob.sync(&Ask::since(&token)).await;
    let invited = &answer["rooms"]["invite"][room.as_str()]["invite_state"];
    assert!(
        events(invited)
            .iter()
            .any(|event| event["type"] == "m.room.create")
    );

    bob.leave(&room).await;
    let answer = bob.sync(&Ask::since(&next_batch(&answer))).await;

    let left = &answer["rooms"]["leave"][room.as_str()];
    assert_eq!(events(&left["timeline"]).len(), 1);
    assert!(left.get("state").is_none());
}

#[tokio::test]
async fn ignored_users_neither_invite_nor_speak() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    let content = json!({ "ignored_users": { bob.user_id.as_str(): {} } }).to_string();
    world
        .users
        .set_account_data(alice.number, None, "m.ignored_user_list", &content)
        .await
        .expect("is stored");
    let token = alice.token().await;
    let private = bob.create_room(Preset::PrivateChat).await;
    bob.invite(&private, &alice).await;
    bob.send(&room, "hello?").await;
    bob.set_state(&room, "m.room.topic", json!({ "topic": "x" }))
        .await
        .expect_err("may not");

    let answer = alice.sync(&Ask::since(&token)).await;

    assert!(answer.get("rooms").is_none(), "{answer}");
}

#[tokio::test]
async fn state_that_the_filter_keeps_out_of_the_timeline_is_told_as_state() {
    let world = World::new().await;
    let [alice] = world.people(["alice"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    let token = alice.token().await;
    alice.send(&room, "one").await;
    let topic = alice
        .set_state(&room, "m.room.topic", json!({ "topic": "x" }))
        .await
        .expect("may");
    alice.send(&room, "two").await;
    let filter = json!({ "room": { "timeline": { "types": ["m.room.message"] } } });

    let answer = alice.sync(&Ask::since(&token).filter(filter)).await;

    let joined = &answer["rooms"]["join"][room.as_str()];
    assert_eq!(events(&joined["timeline"]).len(), 2);
    assert_eq!(ids(&joined["state"]), [topic.to_string()]);
}

#[tokio::test]
async fn state_after_is_the_state_behind_the_timeline() {
    let world = World::new().await;
    let [alice] = world.people(["alice"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    let token = alice.token().await;
    let topic = alice
        .set_state(&room, "m.room.topic", json!({ "topic": "x" }))
        .await
        .expect("may");
    let ask = Ask {
        state_after: StateAfter::Both,
        ..Ask::since(&token)
    };

    let answer = alice.sync(&ask).await;

    let joined = &answer["rooms"]["join"][room.as_str()];
    assert_eq!(ids(&joined["state_after"]), [topic.to_string()]);
    assert_eq!(
        joined["state_after"],
        joined["org.matrix.msc4222.state_after"]
    );
    assert!(joined.get("state").is_none());
    assert_eq!(ids(&joined["timeline"]), [topic.to_string()]);
}

#[tokio::test]
async fn lazily_loaded_members_are_those_who_speak_and_those_who_changed_in_a_gap() {
    let world = World::new().await;
    let [alice, bob, carol, dave] = world.people(["alice", "bob", "carol", "dave"]).await;
    let named = ("m.room.name", json!({ "name": "named" }));
    let room = alice.create_room_with(Preset::PublicChat, &[named]).await;
    bob.join(&room).await;
    carol.join(&room).await;
    bob.send(&room, "hello").await;
    let filter =
        json!({ "room": { "state": { "lazy_load_members": true }, "timeline": { "limit": 1 } } });
    let members = |room: &Value| -> Vec<String> {
        let state = events(&room["state"]);
        let members = state
            .iter()
            .filter(|event| event["type"] == "m.room.member");
        members
            .filter_map(|event| Some(event["state_key"].as_str()?.to_owned()))
            .collect()
    };

    let answer = alice.sync(&Ask::default().filter(filter.clone())).await;
    let joined = &answer["rooms"]["join"][room.as_str()];
    assert_eq!(
        members(joined),
        [alice.user_id.as_str(), bob.user_id.as_str()]
    );

    dave.join(&room).await;
    carol.send(&room, "welcome").await;
    let answer = alice
        .sync(&Ask::since(&next_batch(&answer)).filter(filter))
        .await;
    let joined = &answer["rooms"]["join"][room.as_str()];
    let mut told = members(joined);
    told.sort();
    assert_eq!(told, [carol.user_id.as_str(), dave.user_id.as_str()]);
    assert_eq!(joined["summary"]["m.joined_member_count"], 4);
}

#[tokio::test]
async fn receipts_are_told_private_ones_to_their_owner_only() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    let first = alice.send(&room, "one").await;
    let second = alice.send(&room, "two").await;
    let [alices, bobs] = [alice.token().await, bob.token().await];
    let markers = Markers {
        fully_read: Some(second.clone()),
        read: Some(first.clone()),
        read_private: Some(second.clone()),
        thread: None,
    };
    bob.read(&room, markers).await.expect("is inside");

    let told = |answer: &Value| events(&answer["rooms"]["join"][room.as_str()]["ephemeral"]);
    let to_alice = alice.sync(&Ask::since(&alices)).await;
    let [receipt] = &told(&to_alice)[..] else {
        panic!("{to_alice}")
    };
    assert!(receipt["content"][first.as_str()]["m.read"][bob.user_id.as_str()]["ts"].is_u64());
    assert!(receipt["content"].get(second.as_str()).is_none());
    let to_bob = bob.sync(&Ask::since(&bobs)).await;
    let [receipt] = &told(&to_bob)[..] else {
        panic!("{to_bob}")
    };
    assert!(receipt["content"][second.as_str()]["m.read.private"].is_object());
    let joined = &to_bob["rooms"]["join"][room.as_str()];
    assert_eq!(joined["unread_notifications"]["notification_count"], 0);
    assert_eq!(joined["account_data"]["events"][0]["type"], "m.fully_read");
}

#[tokio::test]
async fn tags_are_told_with_their_room() {
    let world = World::new().await;
    let [alice] = world.people(["alice"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    let token = alice.token().await;
    let db = world.rooms.snapshot().await.expect("reads");
    let number = world.rooms.require(&db, &room).await.expect("is there");
    world
        .users
        .set_account_data(alice.number, Some(number), "m.tag", r#"{"tags":{}}"#)
        .await
        .expect("is stored");

    let answer = alice.sync(&Ask::since(&token)).await;

    let joined = &answer["rooms"]["join"][room.as_str()];
    assert_eq!(joined["account_data"]["events"][0]["type"], "m.tag");
    assert!(answer.get("account_data").is_none());
}

#[tokio::test]
async fn full_state_tells_everything_again_but_no_old_events() {
    let world = World::new().await;
    let [alice] = world.people(["alice"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    let token = alice.token().await;
    let ask = Ask {
        full_state: true,
        ..Ask::since(&token)
    };

    let answer = alice.sync(&ask).await;

    let joined = &answer["rooms"]["join"][room.as_str()];
    assert!(events(&joined["timeline"]).is_empty());
    assert!(events(&joined["state"]).len() >= 6);
}

#[tokio::test]
async fn a_room_that_the_filter_leaves_out_is_not_told() {
    let world = World::new().await;
    let [alice] = world.people(["alice"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    for filter in [json!({ "not_rooms": [room] }), json!({ "rooms": [] })] {
        let answer = alice
            .sync(&Ask::default().filter(json!({ "room": filter })))
            .await;
        assert!(answer.get("rooms").is_none());
    }
}

#[tokio::test]
async fn a_token_from_the_future_is_refused() {
    let world = World::new().await;
    let [alice] = world.people(["alice"]).await;
    let ask = Ask::since("s1_ffffffffffffffff_0_0");
    alice.try_sync(&ask).await.expect_err("no such stamp yet");
}

#[tokio::test]
async fn a_kick_of_somebody_who_left_since_is_no_news() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    bob.leave(&room).await;
    let token = bob.token().await;
    alice
        .change(&room, &bob, Change::Ban)
        .await
        .expect("may ban");
    let answer = bob.sync(&Ask::since(&token)).await;
    let left = &answer["rooms"]["leave"][room.as_str()];
    assert_eq!(events(&left["timeline"])[0]["content"]["membership"], "ban");
    assert!(left.get("state").is_none());
}

#[tokio::test]
async fn only_the_fields_that_a_client_wants_are_told_of_events() {
    let world = World::new().await;
    let [alice] = world.people(["alice"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    let token = alice.token().await;
    alice.send(&room, "hello").await;

    let filter = json!({ "event_fields": ["type", "content.body"] });
    let answer = alice.sync(&Ask::since(&token).filter(filter.clone())).await;
    let timeline = &answer["rooms"]["join"][room.as_str()]["timeline"];
    let expected = json!([{ "type": "m.room.message", "content": { "body": "hello" } }]);
    assert_eq!(timeline["events"], expected);

    let mut filter = filter;
    filter["room"] = json!({ "timeline": { "limit": 1 } });
    let whole = alice.sync(&Ask::default().filter(filter)).await;
    let state = events(&whole["rooms"]["join"][room.as_str()]["state"]);
    assert!(
        state.contains(&json!({ "type": "m.room.create" })),
        "{state:?}"
    );
}
