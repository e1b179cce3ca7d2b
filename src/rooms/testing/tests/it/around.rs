//! What is around the events: aliases, the directory, receipts and read markers, typing.

use std::time::Duration;

use database::{Read, Stamp, UserNumber};
use rooms_directory::DirectoryRequest;
use rooms_history::{
    Markers,
    receipts::{READ, READ_PRIVATE},
};
use rooms_store::RoomError;
use rooms_writer::{Preset, Visibility};
use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomAliasId, UserId};
use serde_json::json;
use users::account_data;

use rooms_testing::{TestRooms, asked};

async fn number(house: &TestRooms, user: &UserId) -> UserNumber {
    let db = house.rooms.snapshot().await.expect("a snapshot");
    house
        .users
        .number(&db, user)
        .await
        .expect("a read")
        .expect("a user")
}

fn alias(name: &str) -> OwnedRoomAliasId {
    RoomAliasId::parse(format!("#{name}:example.org")).expect("an alias")
}

#[tokio::test]
async fn an_alias_is_deleted_by_its_maker_or_with_power_and_leaves_the_canonical_alias() {
    let house = TestRooms::new().await;
    let [alice, bob, carol] = house.people(["alice", "bob", "carol"]).await;
    let room = house.public_room(&alice).await;
    for person in [&bob, &carol] {
        house.join(&room, person).await.expect("a public room");
    }
    let (lobby, hall) = (alias("lobby"), alias("hall"));
    house
        .directory
        .create_alias(&lobby, &room, number(&house, &alice).await)
        .await
        .expect("free");
    house
        .directory
        .create_alias(&hall, &room, number(&house, &bob).await)
        .await
        .expect("free");
    let content = json!({ "alias": lobby, "alt_aliases": [hall] });
    house
        .set(&room, &alice, "m.room.canonical_alias", "", content)
        .await
        .expect("her room");

    let refused = house
        .directory
        .delete_alias(&lobby, number(&house, &carol).await, &carol)
        .await;
    assert!(matches!(refused, Err(RoomError::Forbidden(_))));
    house
        .directory
        .delete_alias(&hall, number(&house, &bob).await, &bob)
        .await
        .expect("his own");
    house
        .directory
        .delete_alias(&lobby, number(&house, &alice).await, &alice)
        .await
        .expect("her own");

    assert!(matches!(
        house.directory.resolve_alias(&lobby).await,
        Err(RoomError::UnknownAlias)
    ));
    let content = house.state(&room, "m.room.canonical_alias", "").await;
    assert_eq!(
        content,
        Some(json!({ "alt_aliases": [hall] })),
        "bob may not change it"
    );
}

#[tokio::test]
async fn an_alias_leads_to_one_room_and_only_members_list_them() {
    let house = TestRooms::new().await;
    let [alice, mallory] = house.people(["alice", "mallory"]).await;
    let room = house.public_room(&alice).await;
    let lobby = alias("lobby");
    let (hers, his) = (number(&house, &alice).await, number(&house, &mallory).await);

    let outsider = house.directory.create_alias(&lobby, &room, his).await;
    house
        .directory
        .create_alias(&lobby, &room, hers)
        .await
        .expect("free");
    let taken = house.directory.create_alias(&lobby, &room, hers).await;

    assert!(matches!(outsider, Err(RoomError::NotInRoom)));
    assert!(matches!(taken, Err(RoomError::AliasInUse)));
    assert_eq!(
        house
            .directory
            .resolve_alias(&lobby)
            .await
            .expect("an alias"),
        room
    );
    assert_eq!(
        house
            .directory
            .aliases_for(&room, hers)
            .await
            .expect("a list"),
        [lobby.as_str()]
    );
    assert!(matches!(
        house.directory.aliases_for(&room, his).await,
        Err(RoomError::NotInRoom)
    ));
}

async fn published(house: &TestRooms, creator: &UserId, name: &str) -> OwnedRoomId {
    let mut request = asked(creator, Preset::PublicChat);
    request.visibility = Visibility::Public;
    request.name = Some(name.to_owned());
    house.writer.create_room(request).await.expect("a room")
}

#[tokio::test]
async fn the_directory_is_searched_and_paged_both_ways() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(published(&house, &alice, &format!("Room {number}")).await);
    }
    house.public_room(&alice).await;

    let mut request = DirectoryRequest {
        limit: Some(3),
        ..DirectoryRequest::default()
    };
    let mut found = Vec::new();
    let last = loop {
        let page = house
            .directory
            .public_rooms(&request)
            .await
            .expect("a page");
        found.extend(page.rooms.iter().map(|room| room.room_id.clone()));
        request.since = page.next;
        if page.next.is_none() {
            break page;
        }
    };
    assert_eq!(found, ids);
    assert_eq!((last.rooms.len(), last.total), (1, 7));
    request.since = last.previous;
    let back = house
        .directory
        .public_rooms(&request)
        .await
        .expect("a page");
    let names: Vec<_> = back
        .rooms
        .iter()
        .filter_map(|room| room.name.as_deref())
        .collect();
    assert_eq!(names, ["Room 3", "Room 4", "Room 5"]);

    let search = Some("ROOM 5".to_owned());
    let request = DirectoryRequest {
        search,
        ..DirectoryRequest::default()
    };
    let page = house
        .directory
        .public_rooms(&request)
        .await
        .expect("a page");
    assert_eq!(page.rooms.len(), 1);
    assert_eq!(page.rooms[0].room_id, ids[5]);
}

#[tokio::test]
async fn who_may_name_a_room_may_publish_it() {
    let house = TestRooms::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let room = house.public_room(&alice).await;
    house.join(&room, &bob).await.expect("a public room");
    let (hers, his) = (number(&house, &alice).await, number(&house, &bob).await);

    let refused = house
        .directory
        .publish(&room, his, &bob, Visibility::Public)
        .await;
    assert!(matches!(refused, Err(RoomError::Forbidden(_))));
    house
        .directory
        .publish(&room, hers, &alice, Visibility::Public)
        .await
        .expect("her room");
    assert!(house.directory.is_published(&room).await.expect("a room"));
    house
        .directory
        .publish(&room, hers, &alice, Visibility::Private)
        .await
        .expect("her room");
    assert!(!house.directory.is_published(&room).await.expect("a room"));
}

#[tokio::test]
async fn receipts_move_forward_and_are_told_once_in_order() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    let one = house
        .say(&room, &alice, "one")
        .await
        .expect("a message")
        .event_id;
    let two = house
        .say(&room, &alice, "two")
        .await
        .expect("a message")
        .event_id;
    let user = number(&house, &alice).await;
    let read = |id: &ruma::EventId| Markers {
        read: Some(id.to_owned()),
        ..Markers::default()
    };

    house
        .history
        .mark_read(&room, user, read(&one))
        .await
        .expect("a receipt");
    let private = Markers {
        read_private: Some(two.clone()),
        ..Markers::default()
    };
    house
        .history
        .mark_read(&room, user, private)
        .await
        .expect("a receipt");
    house
        .history
        .mark_read(&room, user, read(&two))
        .await
        .expect("a receipt");
    let stamp = house.rooms.snapshot().await.expect("a snapshot").stamp();
    house
        .history
        .mark_read(&room, user, read(&one))
        .await
        .expect("no step back");

    let db = house.rooms.snapshot().await.expect("a snapshot");
    assert_eq!(db.stamp(), stamp);
    let room = house.rooms.require(&db, &room).await.expect("a room");
    let receipts = house
        .history
        .receipts_since(&db, room, Stamp::START)
        .await
        .expect("receipts");
    let told: Vec<_> = receipts
        .iter()
        .map(|(_, key, receipt)| (key.kind.as_str(), &*receipt.event_id))
        .collect();
    assert_eq!(told, [(READ_PRIVATE, two.as_str()), (READ, two.as_str())]);
    assert!(
        house
            .history
            .receipts_since(&db, room, stamp)
            .await
            .expect("receipts")
            .is_empty()
    );
}

#[tokio::test]
async fn a_read_marker_and_its_receipt_are_one_commit() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    let event = house
        .say(&room, &alice, "hello")
        .await
        .expect("a message")
        .event_id;
    let user = number(&house, &alice).await;
    let before = house.rooms.snapshot().await.expect("a snapshot").stamp();

    let markers = Markers {
        fully_read: Some(event.clone()),
        read: Some(event.clone()),
        ..Markers::default()
    };
    house
        .history
        .mark_read(&room, user, markers)
        .await
        .expect("markers");

    let db = house.rooms.snapshot().await.expect("a snapshot");
    assert_eq!(db.stamp(), before.next());
    let room = house.rooms.require(&db, &room).await.expect("a room");
    let data = account_data::get(&db, user, Some(room), "m.fully_read")
        .await
        .expect("a read");
    assert_eq!(data, Some(json!({ "event_id": event }).to_string()));
}

#[tokio::test]
async fn a_receipt_of_a_thread_is_for_an_event_of_that_thread() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    let root = house
        .say(&room, &alice, "root")
        .await
        .expect("a message")
        .event_id;
    let mut reply = rooms_testing::message(&alice, "reply");
    let relation = json!({ "rel_type": "m.thread", "event_id": root });
    reply.content = rooms_testing::raw(&json!({ "body": "reply", "m.relates_to": relation }));
    let reply = house
        .writer
        .send(&room, reply)
        .await
        .expect("a message")
        .event_id;
    let user = number(&house, &alice).await;

    let mark = async |event: &ruma::EventId, thread: &str| {
        let thread = Some(thread.to_owned());
        let markers = Markers {
            read: Some(event.to_owned()),
            thread,
            ..Markers::default()
        };
        house.history.mark_read(&room, user, markers).await
    };
    mark(&reply, root.as_str()).await.expect("in the thread");
    mark(&root, "main")
        .await
        .expect("a root is in the main timeline");
    assert!(matches!(
        mark(&reply, "main").await,
        Err(RoomError::Invalid(_))
    ));
    assert!(matches!(
        mark(&root, reply.as_str()).await,
        Err(RoomError::Invalid(_))
    ));
}

#[tokio::test]
async fn only_members_type() {
    let house = TestRooms::new().await;
    let [alice, mallory] = house.people(["alice", "mallory"]).await;
    let room = house.public_room(&alice).await;
    let (hers, his) = (number(&house, &alice).await, number(&house, &mallory).await);
    let while_long = Some(Duration::from_secs(30));

    let refused = house
        .writer
        .set_typing(&room, his, &mallory, while_long)
        .await;
    house
        .writer
        .set_typing(&room, hers, &alice, while_long)
        .await
        .expect("her room");

    assert!(matches!(refused, Err(RoomError::NotInRoom)));
    let db = house.rooms.snapshot().await.expect("a snapshot");
    let number = house.rooms.require(&db, &room).await.expect("a room");
    assert_eq!(house.writer.typing().users(number), [alice]);
}
