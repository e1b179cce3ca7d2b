//! Expired OpenID tokens are deleted.

use database::{Clock as _, Read, UserNumber};
use users::{
    OPENID_LIFETIME, TokenError,
    tables::{OPENID_EXPIRIES, OPENID_TOKENS},
};

use crate::house::House;

async fn rows(house: &House) -> (usize, usize) {
    let db = house.snapshot().await;
    let tokens = db.page(OPENID_TOKENS.all(), 1_000).await.expect("it reads");
    let expiries = db
        .page(OPENID_EXPIRIES.all(), 1_000)
        .await
        .expect("it reads");
    (tokens.len(), expiries.len())
}

async fn ask(house: &House, user: UserNumber) -> String {
    let token = house.users.new_openid_token(user).await;
    token.expect("a token").reveal()
}

#[tokio::test]
async fn new_tokens_take_expired_ones_along() {
    let house = House::new();
    let alice = house.user("alice").await.number;
    for _ in 0..20 {
        ask(&house, alice).await;
    }
    assert_eq!(rows(&house).await, (20, 20));

    house.clock.set(house.clock.now().plus(OPENID_LIFETIME));
    for _ in 0..3 {
        ask(&house, alice).await;
    }

    assert_eq!(rows(&house).await, (3, 3));
}

#[tokio::test]
async fn a_token_lives_as_long_as_it_is_said_to() {
    let house = House::new();
    let alice = house.user("alice").await;
    let token = ask(&house, alice.number).await;
    let known = house.users.openid_user(&token).await;
    assert_eq!(known.expect("known"), alice.user_id);

    house.clock.set(house.clock.now().plus(OPENID_LIFETIME));

    let expired = house.users.openid_user(&token).await;
    assert!(matches!(expired, Err(TokenError::Unknown)));
    let access = house.users.openid_user(&alice.token()).await;
    assert!(
        matches!(access, Err(TokenError::Unknown)),
        "an access token is none"
    );
}
