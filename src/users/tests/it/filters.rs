//! Filters.

use ruma::api::client::filter::FilterDefinition;
use users::FilterError;

use crate::house::House;

fn filter(json: &str) -> FilterDefinition {
    serde_json::from_str(json).expect("a filter")
}

#[tokio::test]
async fn the_same_filter_is_kept_once() {
    let house = House::new();
    let alice = house.user("alice").await.number;
    let limit = filter(r#"{"room":{"timeline":{"limit":10}}}"#);
    let first = house.users.keep_filter(alice, &limit).await.expect("kept");
    let second = house.users.keep_filter(alice, &limit).await.expect("kept");
    assert_eq!(first, second);

    let db = house.snapshot().await;
    for _ in 0..2 {
        let known = house
            .users
            .filter(&db, alice, &first)
            .await
            .expect("it reads");
        let json = serde_json::to_string(&*known.expect("there")).expect("JSON");
        assert_eq!(json, r#"{"room":{"timeline":{"limit":10}}}"#);
    }
}

#[tokio::test]
async fn filters_belong_to_their_user() {
    let house = House::new();
    let alice = house.user("alice").await.number;
    let bob = house.user("bob").await.number;
    let id = house
        .users
        .keep_filter(alice, &FilterDefinition::default())
        .await
        .expect("kept");

    let db = house.snapshot().await;
    assert!(
        house
            .users
            .filter(&db, alice, &id)
            .await
            .expect("it reads")
            .is_some()
    );
    assert!(
        house
            .users
            .filter(&db, bob, &id)
            .await
            .expect("it reads")
            .is_none()
    );
    assert!(
        house
            .users
            .filter(&db, alice, "unknown")
            .await
            .expect("it reads")
            .is_none()
    );
}

#[tokio::test]
async fn filters_are_bounded_in_number() {
    let house = House::new();
    let alice = house.user("alice").await.number;
    for limit in 1..=1_000 {
        let json = format!(r#"{{"room":{{"timeline":{{"limit":{limit}}}}}}}"#);
        house
            .users
            .keep_filter(alice, &filter(&json))
            .await
            .expect("kept");
    }
    let one_more = house
        .users
        .keep_filter(alice, &FilterDefinition::default())
        .await;
    assert!(matches!(one_more, Err(FilterError::TooMany)));
}
