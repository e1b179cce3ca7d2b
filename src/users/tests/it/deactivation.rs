//! Deactivated accounts.

use database::Read;
use users::{
    LoginError, NewDevice, ProfileChange, Propagation, RegisterError, account_data, jobs,
    tables::{ACCOUNT_DATA_LOG, FILTERS},
};

use crate::house::{House, PASSWORD, count_of_tokens, new_account, password};

#[tokio::test]
async fn a_deactivated_account_is_closed_for_good() {
    let house = House::new();
    let alice = house.user("alice").await;
    house.owner(&alice.token()).await.expect("good");
    house
        .users
        .deactivate(alice.number, false)
        .await
        .expect("deactivated");

    assert!(house.owner(&alice.token()).await.is_none());
    let login = house
        .users
        .login("alice", &password(PASSWORD), &NewDevice::default())
        .await;
    assert!(matches!(login, Err(LoginError::Refused)));
    let again = house
        .users
        .register(new_account(&house.users, "alice"))
        .await;
    assert!(matches!(again, Err(RegisterError::InUse)));
    assert!(
        !house
            .users
            .reset_password("alice", password("x"))
            .await
            .expect("refused")
    );
    let db = house.snapshot().await;
    assert!(
        !house
            .users
            .is_active(&db, alice.number)
            .await
            .expect("it reads")
    );
    assert_eq!(count_of_tokens(&db).await, (0, 0, 0));
    assert!(house.device_ids(alice.number).await.is_empty());
}

#[tokio::test]
async fn what_was_private_is_gone_and_others_keep_theirs() {
    let house = House::new();
    let (alice, bob) = (house.user("alice").await, house.user("bob").await);
    let filter = ruma::api::client::filter::FilterDefinition::default();
    let ignored = r#"{"ignored_users":{"@eve:b.org":{}}}"#;
    for user in [alice.number, bob.number] {
        let set = house
            .users
            .set_account_data(user, None, "m.ignored_user_list", ignored);
        set.await.expect("set");
        house.users.keep_filter(user, &filter).await.expect("kept");
        let db = house.snapshot().await;
        assert_eq!(
            house
                .users
                .ignored(&db, user)
                .await
                .expect("it reads")
                .len(),
            1
        );
    }
    house
        .users
        .deactivate(alice.number, false)
        .await
        .expect("deactivated");

    let db = house.snapshot().await;
    let left = async |user| {
        let data = account_data::all(&db, user).await.expect("it reads").len();
        let log = db
            .page(ACCOUNT_DATA_LOG.under(user), 9)
            .await
            .expect("it reads")
            .len();
        let filters = db
            .page(FILTERS.under(user), 9)
            .await
            .expect("it reads")
            .len();
        let ignored = house
            .users
            .ignored(&db, user)
            .await
            .expect("it reads")
            .len();
        (data, log, filters, ignored)
    };
    assert_eq!(left(alice.number).await, (0, 0, 0, 0));
    assert_eq!(left(bob.number).await, (1, 1, 1, 1));
}

#[tokio::test]
async fn a_deactivation_leaves_a_job_for_the_rooms() {
    let house = House::new();
    let alice = house.user("alice").await;
    let stirred = house.users.jobs_changed();
    house
        .users
        .deactivate(alice.number, false)
        .await
        .expect("deactivated");
    assert!(stirred.has_changed().expect("users are there"));

    let listed = jobs::deactivation_jobs(&house.snapshot().await, 10)
        .await
        .expect("it reads");
    assert_eq!(
        (listed.len(), listed[0].user, listed[0].erase),
        (1, alice.number, false)
    );
    let job = &listed[0];
    crate::house::commit(&house.store, move |txn| async move {
        jobs::finish_deactivation(&txn, job).await
    })
    .await;
    let left = jobs::deactivation_jobs(&house.snapshot().await, 10)
        .await
        .expect("it reads");
    assert!(left.is_empty());
}

#[tokio::test]
async fn erasing_takes_the_profile_along() {
    let house = House::new();
    for (name, erase) in [("alice", false), ("bob", true)] {
        let user = house.user(name).await.number;
        let change = ProfileChange::DisplayName(Some("A name".to_owned()));
        let set = house
            .users
            .change_profile(user, change, Propagation::AllRooms)
            .await;
        set.expect("changed");
        house
            .users
            .deactivate(user, erase)
            .await
            .expect("deactivated");

        let db = house.snapshot().await;
        let profile = house.users.profile(&db, user).await.expect("it reads");
        assert_eq!(profile.displayname.is_none(), erase);
        assert!(
            jobs::profile_jobs(&db, 10)
                .await
                .expect("it reads")
                .is_empty()
        );
    }
}
