//! Tokens: authentication, revocation, and a cache that never contradicts the database.

use std::time::Duration;

use database::Read;
use users::TokenError;

use crate::house::{House, count_of_tokens, device, token};

#[tokio::test]
async fn an_unknown_token_opens_nothing() {
    let house = House::new();
    for unknown in ["", "nonsense", "aqa_nonsense"] {
        let refused = house.users.authenticate(unknown).await;
        assert!(matches!(refused, Err(TokenError::Unknown)));
    }
}

#[tokio::test]
async fn tokens_outlive_a_restart() {
    let house = House::new();
    let alice = house.user("alice").await;

    let owner = house
        .restarted()
        .owner(&alice.token())
        .await
        .expect("still good");
    assert_eq!(owner.number, alice.number);
}

#[tokio::test]
async fn a_warm_token_does_not_touch_the_database() {
    let house = House::new();
    let alice = house.user("alice").await;
    house.owner(&alice.token()).await.expect("good");

    // Another process deletes the session: only the database knows.
    let other = house.restarted();
    other
        .users
        .logout_all(alice.number)
        .await
        .expect("it logs out");

    assert!(house.owner(&alice.token()).await.is_some());
    assert!(other.owner(&alice.token()).await.is_none());
}

#[tokio::test]
async fn a_logout_ends_the_device_and_no_other() {
    let house = House::new();
    let alice = house.user("alice").await;
    let phone = house.login_with("alice", device("PHONE")).await;
    let caller = house.owner(&alice.token()).await.expect("good");

    house.users.logout(&caller).await.expect("it logs out");

    assert!(house.owner(&alice.token()).await.is_none());
    assert!(house.owner(&token(&phone.session)).await.is_some());
    assert_eq!(house.device_ids(alice.number).await, ["PHONE"]);
    assert_eq!(count_of_tokens(&house.snapshot().await).await, (1, 0, 1));
}

#[tokio::test]
async fn logging_out_everywhere_spares_other_users() {
    let house = House::new();
    let (alice, bob) = (house.user("alice").await, house.user("bob").await);
    let phone = house.login("alice").await;
    for token in [alice.token(), bob.token(), token(&phone.session)] {
        house.owner(&token).await.expect("good");
    }

    house
        .users
        .logout_all(alice.number)
        .await
        .expect("it logs out");

    assert!(house.owner(&alice.token()).await.is_none());
    assert!(house.owner(&token(&phone.session)).await.is_none());
    assert!(house.owner(&bob.token()).await.is_some());
    assert!(house.device_ids(alice.number).await.is_empty());
}

#[tokio::test]
async fn a_deleted_device_takes_its_tokens_along() {
    let house = House::new();
    let alice = house.user("alice").await;
    let phone = house.login_with("alice", device("PHONE")).await;
    house.owner(&token(&phone.session)).await.expect("good");

    let ids = vec!["PHONE".to_owned(), "UNKNOWN".to_owned()];
    house
        .users
        .delete_devices(alice.number, ids)
        .await
        .expect("it deletes");

    assert!(house.owner(&token(&phone.session)).await.is_none());
    assert_eq!(house.device_ids(alice.number).await.len(), 1);
}

#[tokio::test]
async fn a_logout_that_is_cut_off_is_still_whole() {
    let house = House::new();
    let alice = house.user("alice").await;
    let caller = house.owner(&alice.token()).await.expect("good");
    house.faults.hold();
    {
        let logout = house.users.logout(&caller);
        tokio::pin!(logout);
        // The client disconnects during the commit.
        tokio::select! {
            biased;
            _ = &mut logout => unreachable!("commits are held"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert!(
        house.owner(&alice.token()).await.is_some(),
        "nothing is visible yet"
    );

    house.faults.release();
    house.tasks.close();
    house.tasks.wait().await;

    assert!(house.owner(&alice.token()).await.is_none());
    assert_eq!(count_of_tokens(&house.snapshot().await).await, (0, 0, 0));
}

#[tokio::test]
async fn a_device_is_renamed() {
    let house = House::new();
    let alice = house.user("alice").await;
    house.login_with("alice", device("PHONE")).await;

    let users = &house.users;
    assert!(
        users
            .rename_device(alice.number, "PHONE", Some("My phone"))
            .await
            .expect("done")
    );
    assert!(
        users
            .rename_device(alice.number, "PHONE", None)
            .await
            .expect("done")
    );
    assert!(
        !users
            .rename_device(alice.number, "UNKNOWN", Some("x"))
            .await
            .expect("done")
    );

    let db = house.snapshot().await;
    let phone = devices::get(&db, alice.number, "PHONE")
        .await
        .expect("it reads")
        .expect("there");
    assert_eq!(phone.device.display_name.as_deref(), Some("My phone"));
}

#[tokio::test]
async fn uses_of_a_device_are_noted_every_ten_minutes() {
    let house = House::new();
    let alice = house.user("alice").await;
    let caller = house.owner(&alice.token()).await.expect("good");
    let last_seen = async || {
        house.tasks.close();
        house.tasks.wait().await;
        house.tasks.reopen();
        let db = house.snapshot().await;
        let id = caller.device_id.as_str();
        let device = devices::get(&db, alice.number, id).await.expect("it reads");
        device.expect("there").last_seen.map(|seen| seen.ip)
    };

    house.users.seen(&caller, "192.0.2.1");
    assert_eq!(last_seen().await.as_deref(), Some("192.0.2.1"));

    house.clock.advance(Duration::from_mins(9));
    house.users.seen(&caller, "192.0.2.2");
    assert_eq!(last_seen().await.as_deref(), Some("192.0.2.1"));

    house.clock.advance(Duration::from_mins(1));
    house.users.seen(&caller, "192.0.2.3");
    assert_eq!(last_seen().await.as_deref(), Some("192.0.2.3"));
}

#[tokio::test]
async fn a_late_note_does_not_bring_a_device_back() {
    let house = House::new();
    let alice = house.user("alice").await;
    let caller = house.owner(&alice.token()).await.expect("good");
    house.users.logout(&caller).await.expect("it logs out");

    house.users.seen(&caller, "192.0.2.1");
    house.tasks.close();
    house.tasks.wait().await;

    let rows = house
        .snapshot()
        .await
        .page(devices::LAST_SEEN.all(), 1)
        .await;
    assert!(rows.expect("it reads").is_empty());
}
