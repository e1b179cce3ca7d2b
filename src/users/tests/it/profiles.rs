//! Profiles and the jobs that their changes add.

use database::{Read, server_log::SERVER_LOG};
use users::{ProfileChange, ProfileError, Propagation, jobs};

use crate::house::{House, commit};

fn name(text: &str) -> ProfileChange {
    ProfileChange::DisplayName(Some(text.to_owned()))
}

async fn set(house: &House, user: database::UserNumber, change: ProfileChange) {
    house
        .users
        .change_profile(user, change, Propagation::AllRooms)
        .await
        .expect("changed");
}

#[tokio::test]
async fn a_profile_shows_what_was_set() {
    let house = House::new();
    let alice = house.user("alice").await;
    set(&house, alice.number, name("Alice \"A\"")).await;
    let avatar = ProfileChange::AvatarUrl(Some("mxc://example.org/a".to_owned()));
    set(&house, alice.number, avatar).await;
    let json = Some("{\"deep\":[1]}".to_owned());
    set(
        &house,
        alice.number,
        ProfileChange::Field {
            name: "org.example.x".to_owned(),
            json,
        },
    )
    .await;

    let db = house.snapshot().await;
    let profile = house
        .users
        .profile(&db, alice.number)
        .await
        .expect("it reads");
    let shown: serde_json::Value = serde_json::from_str(&profile.to_json()).expect("JSON");
    assert_eq!(
        shown,
        serde_json::json!({
            "displayname": "Alice \"A\"",
            "avatar_url": "mxc://example.org/a",
            "org.example.x": { "deep": [1] },
        })
    );
    set(&house, alice.number, ProfileChange::DisplayName(None)).await;
    let db = house.snapshot().await;
    let profile = house
        .users
        .profile(&db, alice.number)
        .await
        .expect("it reads");
    assert_eq!(profile.field("displayname"), None);
}

#[tokio::test]
async fn a_new_name_leaves_a_job_and_tells_the_user() {
    let house = House::new();
    let alice = house.user("alice").await;
    let mut stirred = house.users.jobs_changed();
    set(&house, alice.number, name("Alice")).await;

    assert!(stirred.has_changed().expect("users are there"));
    stirred.mark_unchanged();
    let db = house.snapshot().await;
    let found = jobs::profile_jobs(&db, 10).await.expect("it reads");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].user, alice.number);
    assert_eq!(found[0].displayname_before, None);
    assert!(
        !db.page(SERVER_LOG.all(), 10)
            .await
            .expect("it reads")
            .is_empty()
    );

    // Repeating it changes nothing.
    set(&house, alice.number, name("Alice")).await;
    assert!(!stirred.has_changed().expect("users are there"));
}

#[tokio::test]
async fn a_job_that_is_finished_is_gone_and_one_that_changed_meanwhile_stays() {
    let house = House::new();
    let alice = house.user("alice").await;
    set(&house, alice.number, name("Alice")).await;
    let listed = jobs::profile_jobs(&house.snapshot().await, 10)
        .await
        .expect("it reads");
    set(&house, alice.number, name("Alicia")).await;

    let finish = async |job: &jobs::ProfileJob| {
        commit(&house.store, move |txn| async move {
            jobs::finish_profile(&txn, job).await
        })
        .await;
        jobs::profile_jobs(&house.snapshot().await, 10)
            .await
            .expect("it reads")
    };
    let left = finish(&listed[0]).await;
    assert_eq!(left.len(), 1);
    assert_eq!(
        left[0].displayname_before, None,
        "rooms still show what they showed at first"
    );
    assert!(finish(&left[0]).await.is_empty());
}

#[tokio::test]
async fn jobs_outlive_a_restart() {
    let house = House::new();
    let alice = house.user("alice").await;
    set(&house, alice.number, name("Alice")).await;

    let db = house.restarted().snapshot().await;
    assert_eq!(
        jobs::profile_jobs(&db, 10).await.expect("it reads").len(),
        1
    );
}

#[tokio::test]
async fn who_wants_no_rooms_changed_leaves_no_job() {
    let house = House::new();
    let alice = house.user("alice").await;
    let users = &house.users;
    let change = users
        .change_profile(alice.number, name("A"), Propagation::NoRooms)
        .await;
    change.expect("changed");
    let field = ProfileChange::Field {
        name: "m.tz".to_owned(),
        json: Some("\"UTC\"".to_owned()),
    };
    set(&house, alice.number, field).await;

    let db = house.snapshot().await;
    assert!(
        jobs::profile_jobs(&db, 10)
            .await
            .expect("it reads")
            .is_empty()
    );
}

#[tokio::test]
async fn profiles_are_bounded() {
    let house = House::new();
    let alice = house.user("alice").await;
    let refused = async |change| {
        let answer = house
            .users
            .change_profile(alice.number, change, Propagation::AllRooms)
            .await;
        answer.expect_err("refused")
    };

    assert!(matches!(
        refused(name(&"é".repeat(257))).await,
        ProfileError::NameTooLong
    ));
    let url = Some("m".repeat(1001));
    let avatar = ProfileChange::AvatarUrl(url);
    assert!(matches!(refused(avatar).await, ProfileError::AvatarTooLong));
    let json = Some(format!("\"{}\"", "x".repeat(65_536)));
    let field = ProfileChange::Field {
        name: "a".to_owned(),
        json,
    };
    assert!(matches!(refused(field).await, ProfileError::TooLarge));
}
