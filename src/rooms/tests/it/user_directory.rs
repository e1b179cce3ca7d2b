//! Who finds whom, and by which names.

use std::sync::Arc;

use database::{Store, migrate};
use rooms::{Change, Preset, REBUILD_OPEN_ROOMS, UserSearch, tables::OPEN_ROOMS};
use ruma::{OwnedUserId, RoomId, UserId};
use serde_json::json;
use users::{ProfileChange, Propagation};

use crate::house::{House, asked};

async fn search(house: &House, by: &UserId, term: &str, limit: usize) -> UserSearch {
    let db = house.rooms.snapshot().await.expect("a snapshot");
    let by = house.users.number(&db, by).await.expect("a read");
    let found = house.rooms.search_users(by.expect("a user"), term, limit);
    found.await.expect("a search")
}

/// The names of whom somebody finds, in their order.
async fn finds(house: &House, by: &UserId, term: &str) -> Vec<String> {
    let found = search(house, by, term, 10).await;
    assert!(!found.limited);
    let names = found.results.into_iter();
    names
        .map(|user| user.user_id.localpart().to_owned())
        .collect()
}

async fn call(house: &House, user: &UserId, name: Option<&str>) {
    let db = house.rooms.snapshot().await.expect("a snapshot");
    let number = house.users.number(&db, user).await.expect("a read");
    let change = ProfileChange::DisplayName(name.map(ToOwned::to_owned));
    house
        .users
        .change_profile(number.expect("a user"), change, Propagation::NoRooms)
        .await
        .expect("changed");
}

/// A private room of somebody, which another has joined.
async fn private_room(house: &House, owner: &UserId, guest: &UserId) -> ruma::OwnedRoomId {
    let asked = asked(owner, Preset::PrivateChat);
    let room = house.rooms.create_room(asked).await.expect("a new room");
    house
        .change(&room, owner, guest, Change::Invite)
        .await
        .expect("invited");
    house.join(&room, guest).await.expect("joined");
    room
}

async fn open_to_join(house: &House, room: &RoomId, owner: &UserId, rule: &str) {
    let content = json!({ "join_rule": rule });
    house
        .set(room, owner, "m.room.join_rules", "", content)
        .await
        .expect("set");
}

#[tokio::test]
async fn people_find_whom_they_share_a_room_with_and_members_of_public_rooms() {
    let house = House::new().await;
    let [alice, bob, eve] = house.people(["alice", "bob", "eve"]).await;
    let room = private_room(&house, &bob, &alice).await;
    assert_eq!(finds(&house, &bob, "ali").await, ["alice"]);
    assert!(finds(&house, &eve, "ali").await.is_empty());
    assert!(
        finds(&house, &alice, "ali").await.is_empty(),
        "not themselves"
    );

    open_to_join(&house, &room, &bob, "public").await;
    assert_eq!(finds(&house, &eve, "ali").await, ["alice"]);
    open_to_join(&house, &room, &bob, "invite").await;
    assert!(finds(&house, &eve, "ali").await.is_empty());
    let world_readable = json!({ "history_visibility": "world_readable" });
    house
        .set(&room, &bob, "m.room.history_visibility", "", world_readable)
        .await
        .expect("set");
    assert_eq!(finds(&house, &eve, "ali").await, ["alice"]);

    house
        .change(&room, &alice, &alice, Change::Leave)
        .await
        .expect("left");
    assert!(finds(&house, &eve, "ali").await.is_empty());
    assert!(finds(&house, &bob, "ali").await.is_empty());
}

#[tokio::test]
async fn every_word_begins_a_word_of_the_name_or_is_the_user_id() {
    let house = House::new().await;
    let [searcher, alice] = house.people(["searcher", "al-ice"]).await;
    house.public_room(&alice).await;
    call(&house, &alice, Some("Älice von O'Cooper")).await;
    for term in [
        "älice",
        "ÄLI",
        "coop vo",
        "Von Älice O",
        "ice",
        "al-ice",
        "@al-ice",
        "@AL-ice:example.org",
        "al-ice:exa",
        " ice  al ",
    ] {
        assert_eq!(finds(&house, &searcher, term).await, ["al-ice"], "{term}");
    }
    for term in ["lice", "älice x", "example", "@ice", "", "  ", "org"] {
        assert!(finds(&house, &searcher, term).await.is_empty(), "{term}");
    }
}

#[tokio::test]
async fn a_new_name_takes_the_place_of_the_old_one() {
    let house = House::new().await;
    let [searcher, alice] = house.people(["searcher", "alice"]).await;
    house.public_room(&alice).await;
    call(&house, &alice, Some("Alice Cooper")).await;
    call(&house, &alice, Some("Freddy Cooper")).await;

    assert_eq!(finds(&house, &searcher, "fred").await, ["alice"]);
    assert_eq!(finds(&house, &searcher, "cooper").await, ["alice"]);
    assert_eq!(
        finds(&house, &searcher, "alice").await,
        ["alice"],
        "by the user id"
    );
    let found = search(&house, &searcher, "alice", 10).await;
    assert_eq!(
        found.results[0].display_name.as_deref(),
        Some("Freddy Cooper")
    );

    call(&house, &alice, None).await;
    assert!(finds(&house, &searcher, "cooper").await.is_empty());
    assert_eq!(finds(&house, &searcher, "alice").await, ["alice"]);
}

#[tokio::test]
async fn a_name_of_a_single_room_finds_nobody() {
    let house = House::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let room = private_room(&house, &bob, &alice).await;
    let content = json!({ "membership": "join", "displayname": "Freddy" });
    house
        .set(&room, &alice, "m.room.member", alice.as_str(), content)
        .await
        .expect("set");

    assert!(finds(&house, &bob, "freddy").await.is_empty());
    let found = search(&house, &bob, "alice", 10).await.results;
    assert_eq!(found[0].display_name, None);
}

#[tokio::test]
async fn who_is_deactivated_is_not_found() {
    let house = House::new().await;
    let [searcher, alice] = house.people(["searcher", "alice"]).await;
    house.public_room(&alice).await;
    call(&house, &alice, Some("Cooper")).await;
    let db = house.rooms.snapshot().await.expect("a snapshot");
    let number = house.users.number(&db, &alice).await.expect("a read");

    let gone = house.users.deactivate(number.expect("a user"), false).await;
    gone.expect("deactivated");

    for term in ["cooper", "alice", "@alice"] {
        assert!(finds(&house, &searcher, term).await.is_empty(), "{term}");
    }
}

#[tokio::test]
async fn whole_names_come_first_then_those_who_share_a_room_and_the_rest_is_cut() {
    let house = House::new().await;
    let [searcher, max, maxi, maximilian] = house
        .people(["searcher", "max", "maxi", "maximilian"])
        .await;
    for stranger in [&max, &maxi] {
        house.public_room(stranger).await;
    }
    private_room(&house, &searcher, &maximilian).await;
    assert_eq!(
        finds(&house, &searcher, "max").await,
        ["max", "maximilian", "maxi"]
    );
    call(&house, &maxi, Some("The Max")).await;
    assert_eq!(
        finds(&house, &searcher, "maxi").await,
        ["maxi", "maximilian"]
    );

    for (limit, expected) in [(0, 0), (2, 2)] {
        let cut = search(&house, &searcher, "max", limit).await;
        assert!(cut.limited);
        assert_eq!(cut.results.len(), expected);
    }
}

#[tokio::test]
async fn a_search_among_very_many_ends() {
    let house = House::new().await;
    let searcher = house.person("searcher").await;
    let owner = house.person("owner").await;
    let room = house.public_room(&owner).await;
    for number in 0..300 {
        let name: OwnedUserId = house.person(&format!("member{number}")).await;
        house.join(&room, &name).await.expect("joined");
    }

    let found = search(&house, &searcher, "member", 1_000).await;

    assert!(found.limited);
    assert_eq!(found.results.len(), 50);
}

#[tokio::test]
async fn the_index_survives_a_restart_and_can_be_made_anew() {
    let house = House::new().await;
    let [searcher, alice, gone] = house.people(["searcher", "alice", "gone"]).await;
    house.public_room(&alice).await;
    house.public_room(&gone).await;
    call(&house, &alice, Some("Cooper")).await;
    let db = house.rooms.snapshot().await.expect("a snapshot");
    let number = house.users.number(&db, &gone).await.expect("a read");
    let deactivated = house.users.deactivate(number.expect("a user"), false).await;
    deactivated.expect("deactivated");
    let house = House::on(house.memory.clone()).await;
    assert_eq!(finds(&house, &searcher, "cooper").await, ["alice"]);

    let store = Store::new(Arc::new(house.memory.clone()));
    let lost = store.transact(|txn| async move {
        txn.clear(OPEN_ROOMS.all());
        Ok::<_, database::StoreError>(())
    });
    lost.await.expect("lost");
    assert!(finds(&house, &searcher, "cooper").await.is_empty());
    let rebuilt = migrate::run(&store, &[REBUILD_OPEN_ROOMS], async |_| Ok::<_, ()>(()));
    rebuilt.await.expect("rebuilt");

    assert_eq!(finds(&house, &searcher, "cooper").await, ["alice"]);
    assert!(finds(&house, &searcher, "gone").await.is_empty());
}
