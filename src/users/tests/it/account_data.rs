//! Account data, tags, ignored users.

use database::{Read, RoomNumber};
use ruma::user_id;
use serde_json::json;
use users::{AccountData, PUSH_RULES, account_data, tables::ACCOUNT_DATA_LOG};

use crate::house::{House, commit};

const ROOM: RoomNumber = RoomNumber(7);

fn data(room: Option<RoomNumber>, kind: &str, content: &str) -> AccountData {
    AccountData {
        room,
        kind: kind.to_owned(),
        content: content.to_owned(),
    }
}

#[tokio::test]
async fn the_last_value_counts() {
    let house = House::new();
    let alice = house.user("alice").await.number;
    let users = &house.users;
    for content in ["{\"n\":1}", "{\"n\":2}"] {
        users
            .set_account_data(alice, None, "a", content)
            .await
            .expect("set");
        users
            .set_account_data(alice, Some(ROOM), "a", content)
            .await
            .expect("set");
    }

    let db = house.snapshot().await;
    for room in [None, Some(ROOM)] {
        let content = account_data::get(&db, alice, room, "a")
            .await
            .expect("it reads");
        assert_eq!(content.as_deref(), Some("{\"n\":2}"));
    }
    assert_eq!(account_data::get(&db, alice, None, "b").await, Ok(None));
    assert_eq!(
        account_data::get(&db, alice, Some(RoomNumber(8)), "a").await,
        Ok(None)
    );
    let log = db
        .page(ACCOUNT_DATA_LOG.under(alice), 10)
        .await
        .expect("it reads");
    assert_eq!(log.len(), 2, "one entry for each row");
}

#[tokio::test]
async fn a_reader_learns_of_each_change_once() {
    let house = House::new();
    let alice = house.user("alice").await.number;
    let bob = house.user("bob").await.number;
    let users = &house.users;
    users
        .set_account_data(alice, None, "a", "{\"n\":0}")
        .await
        .expect("set");
    let since = house.snapshot().await.stamp();
    users
        .set_account_data(alice, Some(ROOM), "b", "{\"n\":0}")
        .await
        .expect("set");
    users
        .set_account_data(alice, None, "c", "{\"n\":1}")
        .await
        .expect("set");
    users
        .set_account_data(bob, None, "d", "{\"n\":0}")
        .await
        .expect("set");
    users
        .set_account_data(alice, None, "c", "{\"n\":2}")
        .await
        .expect("set");

    let db = house.snapshot().await;
    let changed = users
        .account_data_since(&db, alice, user_id!("@alice:example.org"), since)
        .await
        .expect("it reads");
    assert_eq!(
        changed,
        [
            data(Some(ROOM), "b", "{\"n\":0}"),
            data(None, "c", "{\"n\":2}")
        ]
    );
    let nothing = users
        .account_data_since(&db, alice, user_id!("@alice:example.org"), db.stamp())
        .await
        .expect("it reads");
    assert!(nothing.is_empty());
}

#[tokio::test]
async fn two_changes_in_one_commit_are_one() {
    let house = House::new();
    let alice = house.user("alice").await.number;
    let since = house.snapshot().await.stamp();
    commit(&house.store, move |txn| async move {
        account_data::put(&txn, alice, None, "a", "{\"n\":1}").await?;
        account_data::put(&txn, alice, None, "a", "{\"n\":2}").await
    })
    .await;

    let db = house.snapshot().await;
    let changed = account_data::since(&db, alice, since)
        .await
        .expect("it reads");
    assert_eq!(changed, [data(None, "a", "{\"n\":2}")]);
}

#[tokio::test]
async fn many_rows_are_all_read() {
    let house = House::new();
    let alice = house.user("alice").await.number;
    let since = house.snapshot().await.stamp();
    commit(&house.store, move |txn| async move {
        for number in 0..700_u64 {
            account_data::put(&txn, alice, None, &format!("g{number}"), "{\"n\":0}").await?;
            let room = Some(RoomNumber(number / 3));
            account_data::put(&txn, alice, room, &format!("r{number}"), "{\"n\":0}").await?;
        }
        Ok(())
    })
    .await;

    let db = house.snapshot().await;
    assert_eq!(
        account_data::all(&db, alice).await.expect("it reads").len(),
        1_400
    );
    assert_eq!(
        account_data::since(&db, alice, since)
            .await
            .expect("it reads")
            .len(),
        1_400
    );
}

#[tokio::test]
async fn everybody_has_push_rules_at_first() {
    let house = House::new();
    let alice = house.user("alice").await;
    let db = house.snapshot().await;

    let found = house
        .users
        .account_data_all(&db, alice.number, &alice.user_id)
        .await;
    let found = found.expect("it reads");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].kind, PUSH_RULES);
    assert!(found[0].content.contains("@alice:example.org"));
}

#[tokio::test]
async fn tags_change_one_by_one() {
    let house = House::new();
    let alice = house.user("alice").await.number;
    let users = &house.users;
    let order = json!({ "order": 0.5 });
    users
        .set_tag(alice, ROOM, "m.favourite", Some(order.clone()))
        .await
        .expect("set");
    users
        .set_tag(alice, ROOM, "u.work", Some(json!({})))
        .await
        .expect("set");
    users
        .set_tag(alice, ROOM, "u.work", None)
        .await
        .expect("deleted");

    let db = house.snapshot().await;
    let tags = users.tags(&db, alice, ROOM).await.expect("it reads");
    assert_eq!(
        serde_json::Value::from(tags),
        json!({ "m.favourite": order })
    );
    let content = account_data::get(&db, alice, Some(ROOM), "m.tag")
        .await
        .expect("it reads");
    let content: serde_json::Value = serde_json::from_str(&content.expect("there")).expect("JSON");
    assert_eq!(
        content,
        json!({ "tags": { "m.favourite": { "order": 0.5 } } })
    );
}

#[tokio::test]
async fn tags_that_a_client_wrote_wrongly_are_no_tags() {
    let house = House::new();
    let alice = house.user("alice").await.number;
    let users = &house.users;
    for content in ["{}", "{\"tags\":5}"] {
        users
            .set_account_data(alice, Some(ROOM), "m.tag", content)
            .await
            .expect("set");
        let db = house.snapshot().await;
        assert!(
            users
                .tags(&db, alice, ROOM)
                .await
                .expect("it reads")
                .is_empty()
        );
    }
}

#[tokio::test]
async fn ignoring_counts_at_once() {
    let house = House::new();
    let alice = house.user("alice").await.number;
    let users = &house.users;
    let ignored = async || {
        let db = house.snapshot().await;
        let list = users.ignored(&db, alice).await.expect("it reads");
        let mut ids: Vec<String> = list.iter().map(ToString::to_string).collect();
        ids.sort();
        ids
    };
    assert!(ignored().await.is_empty());

    let content = r#"{"ignored_users":{"@bob:example.org":{},"nonsense":{},"@eve:b.org":{"x":1}}}"#;
    users
        .set_account_data(alice, None, "m.ignored_user_list", content)
        .await
        .expect("set");
    assert_eq!(ignored().await, ["@bob:example.org", "@eve:b.org"]);

    users
        .set_account_data(alice, None, "m.ignored_user_list", "{}")
        .await
        .expect("set");
    assert!(ignored().await.is_empty());
}

#[tokio::test]
async fn an_old_snapshot_does_not_bring_an_old_list_back() {
    let house = House::new();
    let alice = house.user("alice").await.number;
    let users = &house.users;
    let before = house.snapshot().await;
    let content = r#"{"ignored_users":{"@bob:example.org":{}}}"#;
    users
        .set_account_data(alice, None, "m.ignored_user_list", content)
        .await
        .expect("set");

    assert!(
        users
            .ignored(&before, alice)
            .await
            .expect("it reads")
            .is_empty()
    );

    let now = house.snapshot().await;
    assert_eq!(users.ignored(&now, alice).await.expect("it reads").len(), 1);
}

#[tokio::test]
async fn what_is_deleted_is_told_once_and_reads_as_absent() {
    let house = House::new();
    let alice = house.user("alice").await.number;
    let users = &house.users;
    for room in [None, Some(ROOM)] {
        let set = users.set_account_data(alice, room, "a", "{\"n\":1}").await;
        set.expect("set");
    }
    let before = house.snapshot().await.stamp();

    let deleted = users.delete_account_data(alice, None, "a").await;
    deleted.expect("deleted");
    let deleted = users
        .set_account_data(alice, Some(ROOM), "a", " { } ")
        .await;
    deleted.expect("deleted");

    let db = house.snapshot().await;
    for room in [None, Some(ROOM)] {
        let read = account_data::get(&db, alice, room, "a").await;
        assert_eq!(read, Ok(None));
    }
    assert_eq!(account_data::all(&db, alice).await, Ok(Vec::new()));
    let told = account_data::since(&db, alice, before).await;
    assert_eq!(
        told,
        Ok(vec![data(None, "a", "{}"), data(Some(ROOM), "a", "{}")])
    );
    let later = account_data::since(&db, alice, db.stamp()).await;
    assert_eq!(later, Ok(Vec::new()));
}

#[tokio::test]
async fn deleting_what_is_not_there_tells_nothing() {
    let house = House::new();
    let alice = house.user("alice").await.number;
    let users = &house.users;
    users
        .set_account_data(alice, None, "a", "{\"n\":1}")
        .await
        .expect("set");
    users
        .delete_account_data(alice, None, "a")
        .await
        .expect("deleted");
    let before = house.snapshot().await.stamp();

    for kind in ["a", "never"] {
        users
            .delete_account_data(alice, None, kind)
            .await
            .expect("nothing to do");
        users
            .set_account_data(alice, None, kind, "{}")
            .await
            .expect("nothing to do");
    }

    let told = account_data::since(&house.snapshot().await, alice, before).await;
    assert_eq!(told, Ok(Vec::new()));
}

#[tokio::test]
async fn what_was_deleted_can_be_set_again() {
    let house = House::new();
    let alice = house.user("alice").await.number;
    let users = &house.users;
    for content in ["{\"n\":1}", "{}", "{\"n\":2}"] {
        users
            .set_account_data(alice, None, "a", content)
            .await
            .expect("set");
    }

    let db = house.snapshot().await;
    let all = account_data::all(&db, alice).await;
    assert_eq!(all, Ok(vec![data(None, "a", "{\"n\":2}")]));
}
