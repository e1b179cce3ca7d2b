//! Creating rooms.

use std::collections::HashSet;

use database::StoreError;
use rooms_store::{Membership, RoomError};
use rooms_writer::Preset;
use serde_json::json;

use rooms_testing::{TestRooms, asked};

#[tokio::test]
async fn rooms_made_in_the_same_millisecond_differ() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;

    let mut ids = HashSet::new();
    for _ in 0..50 {
        ids.insert(house.public_room(&alice).await);
    }

    assert_eq!(ids.len(), 50);
}

#[tokio::test]
async fn a_room_of_every_supported_version_can_be_made_and_talked_in() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    for version in ["6", "7", "8", "9", "10", "11", "12"] {
        let mut request = asked(&alice, Preset::PrivateChat);
        request.version = Some(version.to_owned());

        let room = house.writer.create_room(request).await.expect("a room");
        house.say(&room, &alice, "hello").await.expect("a message");

        let create = house
            .state(&room, "m.room.create", "")
            .await
            .expect("a create event");
        assert_eq!(create["room_version"], version);
    }
}

#[tokio::test]
async fn an_unknown_version_is_refused() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    for version in ["0", "13", "org.example.unknown", "nonsense"] {
        let mut request = asked(&alice, Preset::PrivateChat);
        request.version = Some(version.to_owned());

        let refused = house.writer.create_room(request).await;

        assert!(
            matches!(refused, Err(RoomError::UnsupportedVersion(_))),
            "{version}"
        );
    }
}

#[tokio::test]
async fn a_creation_that_fails_on_disk_leaves_nothing() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    house.public_room(&alice).await;
    let mut request = asked(&alice, Preset::PublicChat);
    request.alias_localpart = Some("lobby".to_owned());
    house
        .memory()
        .faults()
        .fail_next(1, &StoreError::Unavailable("disk full".to_owned()));

    house
        .writer
        .create_room(request.clone())
        .await
        .expect_err("the disk is full");

    let room = house
        .writer
        .create_room(request)
        .await
        .expect("the alias is still free");
    assert!(house.timeline(&room).await.len() > 5);
}

#[tokio::test]
async fn an_alias_belongs_to_one_room() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let mut request = asked(&alice, Preset::PublicChat);
    request.alias_localpart = Some("lobby".to_owned());
    house
        .writer
        .create_room(request.clone())
        .await
        .expect("a room");

    let second = house.writer.create_room(request).await;

    assert!(matches!(second, Err(RoomError::AliasInUse)));
}

#[tokio::test]
async fn creators_of_version_12_cannot_be_named_in_users() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let mut request = asked(&alice, Preset::PrivateChat);
    request
        .power_levels
        .insert("users".to_owned(), json!({ alice.as_str(): 100 }));

    let refused = house.writer.create_room(request).await;

    assert!(matches!(refused, Err(RoomError::Invalid(_))));
}

#[tokio::test]
async fn those_invited_to_a_trusted_chat_are_creators_too() {
    let house = TestRooms::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let mut request = asked(&alice, Preset::TrustedPrivateChat);
    request.invite.push(bob.clone());
    request.is_direct = true;

    let room = house.writer.create_room(request).await.expect("a room");

    let create = house
        .state(&room, "m.room.create", "")
        .await
        .expect("a create event");
    assert_eq!(create["additional_creators"], json!([bob]));
    assert_eq!(
        house.membership(&room, &bob).await,
        Some(Membership::Invite)
    );
    let invite = house
        .state(&room, "m.room.member", bob.as_str())
        .await
        .expect("an invite");
    assert_eq!(invite["is_direct"], true);
}

#[tokio::test]
async fn asked_state_replaces_that_of_the_preset() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let mut request = asked(&alice, Preset::PrivateChat);
    request.name = Some("Kitchen".to_owned());
    request.topic = Some("soup".to_owned());
    request.initial_state.push(rooms_writer::InitialState {
        kind: "m.room.history_visibility".to_owned(),
        state_key: String::new(),
        content: rooms_testing::raw(&json!({ "history_visibility": "joined" })),
    });

    let room = house.writer.create_room(request).await.expect("a room");

    let visibility = house.state(&room, "m.room.history_visibility", "").await;
    assert_eq!(visibility.expect("state")["history_visibility"], "joined");
    assert_eq!(
        house.state(&room, "m.room.name", "").await.expect("state")["name"],
        "Kitchen"
    );
    assert_eq!(
        house.state(&room, "m.room.topic", "").await.expect("state")["topic"],
        "soup"
    );
}
