//! Joining, inviting, leaving, kicking, banning, knocking.

use rooms_store::{Membership, RoomError};
use rooms_writer::{Change, Preset};
use serde_json::json;

use rooms_testing::{TestRooms, asked};

#[tokio::test]
async fn a_banned_user_cannot_rejoin() {
    let house = TestRooms::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let room = house.public_room(&alice).await;
    house.join(&room, &bob).await.expect("a public room");

    house
        .change(&room, &alice, &bob, Change::Ban)
        .await
        .expect("alice has the power");

    assert!(matches!(
        house.join(&room, &bob).await,
        Err(RoomError::Forbidden(_))
    ));
    house
        .change(&room, &alice, &bob, Change::Unban)
        .await
        .expect("alice has the power");
    house.join(&room, &bob).await.expect("no longer banned");
}

#[tokio::test]
async fn a_private_room_lets_in_only_who_is_invited() {
    let house = TestRooms::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let request = asked(&alice, Preset::PrivateChat);
    let room = house.writer.create_room(request).await.expect("a room");

    assert!(matches!(
        house.join(&room, &bob).await,
        Err(RoomError::Forbidden(_))
    ));
    house
        .change(&room, &alice, &bob, Change::Invite)
        .await
        .expect("an invite");
    house.join(&room, &bob).await.expect("invited");

    assert_eq!(house.membership(&room, &bob).await, Some(Membership::Join));
}

#[tokio::test]
async fn joining_twice_makes_one_event() {
    let house = TestRooms::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let room = house.public_room(&alice).await;
    house.join(&room, &bob).await.expect("a public room");
    let before = house.timeline(&room).await.len();

    house.join(&room, &bob).await.expect("already joined");

    assert_eq!(house.timeline(&room).await.len(), before);
}

#[tokio::test]
async fn who_is_not_there_cannot_be_kicked() {
    let house = TestRooms::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let room = house.public_room(&alice).await;

    let never_there = house.change(&room, &alice, &bob, Change::Kick).await;
    house.join(&room, &bob).await.expect("a public room");
    house
        .change(&room, &bob, &bob, Change::Leave)
        .await
        .expect("bob may leave");
    let left = house.change(&room, &alice, &bob, Change::Kick).await;

    assert!(matches!(never_there, Err(RoomError::Forbidden(_))));
    assert!(matches!(left, Err(RoomError::Forbidden(_))));
}

#[tokio::test]
async fn who_knocks_can_be_let_in() {
    let house = TestRooms::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let room = house.public_room(&alice).await;
    let rule = json!({ "join_rule": "knock" });
    house
        .set(&room, &alice, "m.room.join_rules", "", rule)
        .await
        .expect("alice has the power");

    house
        .change(&room, &bob, &bob, Change::Knock)
        .await
        .expect("a knock");
    assert!(matches!(
        house.join(&room, &bob).await,
        Err(RoomError::Forbidden(_))
    ));
    house
        .change(&room, &alice, &bob, Change::Invite)
        .await
        .expect("an invite");

    house.join(&room, &bob).await.expect("invited");
}

#[tokio::test]
async fn members_of_an_allowed_room_join_a_restricted_one() {
    let house = TestRooms::new().await;
    let [alice, bob, carol] = house.people(["alice", "bob", "carol"]).await;
    let space = house.public_room(&alice).await;
    let room = house.public_room(&alice).await;
    let allow = json!([{ "type": "m.room_membership", "room_id": space }]);
    let rule = json!({ "join_rule": "restricted", "allow": allow });
    house
        .set(&room, &alice, "m.room.join_rules", "", rule)
        .await
        .expect("alice has the power");
    house.join(&space, &bob).await.expect("a public room");

    house
        .join(&room, &bob)
        .await
        .expect("a member of the space");
    let refused = house.join(&room, &carol).await;

    let member = house
        .state(&room, "m.room.member", bob.as_str())
        .await
        .expect("a member event");
    assert_eq!(member["join_authorised_via_users_server"], alice.as_str());
    assert!(matches!(refused, Err(RoomError::Forbidden(_))));
}

#[tokio::test]
async fn the_joined_count_follows_every_change() {
    let house = TestRooms::new().await;
    let [alice, bob, carol] = house.people(["alice", "bob", "carol"]).await;
    let room = house.public_room(&alice).await;
    house.join(&room, &bob).await.expect("public");
    house
        .change(&room, &alice, &carol, Change::Invite)
        .await
        .expect("an invite");
    let db = house.rooms.snapshot().await.expect("a snapshot");
    let number = house.rooms.require(&db, &room).await.expect("a room");

    let head = house.rooms.head(&db, number).await.expect("a head");
    assert_eq!((head.joined, head.invited), (2, 1));

    house.join(&room, &carol).await.expect("invited");
    house
        .change(&room, &alice, &bob, Change::Ban)
        .await
        .expect("a ban");
    let db = house.rooms.snapshot().await.expect("a snapshot");
    let head = house.rooms.head(&db, number).await.expect("a head");
    assert_eq!((head.joined, head.invited), (2, 0));
}
