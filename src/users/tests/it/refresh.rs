//! Refresh tokens.

use std::time::Duration;

use users::{NewDevice, NewSession, Renewed, TokenError};

use crate::house::{House, count_of_tokens, token};

async fn refreshable(house: &House) -> NewSession {
    house.user("alice").await;
    let device = NewDevice {
        id: Some("PHONE".into()),
        can_refresh: true,
        ..NewDevice::default()
    };
    house.login_with("alice", device).await.session
}

fn refresh_token(session: &NewSession) -> String {
    session
        .refresh_token
        .clone()
        .expect("it can refresh")
        .reveal()
}

async fn refresh(house: &House, token: &str) -> (String, String) {
    let Renewed {
        access_token,
        refresh_token,
        ..
    } = house.users.refresh(token).await.expect("it refreshes");
    (
        access_token.reveal(),
        refresh_token.expect("another one").reveal(),
    )
}

#[tokio::test]
async fn only_clients_that_can_refresh_get_tokens_that_expire() {
    let house = House::new();
    let session = refreshable(&house).await;
    let expires_in = session.expires_in.expect("it expires");

    house.owner(&token(&session)).await.expect("good");
    house
        .clock
        .advance(expires_in.saturating_sub(Duration::from_millis(1)));
    house.owner(&token(&session)).await.expect("still good");
    house.clock.advance(Duration::from_millis(1));
    let expired = house.users.authenticate(&token(&session)).await;
    assert!(matches!(expired, Err(TokenError::Expired)));

    let (access, _) = refresh(&house, &refresh_token(&session)).await;
    assert_eq!(house.owner(&access).await.expect("good").device_id, "PHONE");
}

#[tokio::test]
async fn an_expired_token_is_told_so_after_a_restart_too() {
    let house = House::new();
    let session = refreshable(&house).await;
    let restarted = house.restarted();
    restarted
        .clock
        .advance(session.expires_in.expect("it expires"));
    let expired = restarted.users.authenticate(&token(&session)).await;
    assert!(matches!(expired, Err(TokenError::Expired)));
}

#[tokio::test]
async fn the_old_pair_lives_until_the_new_access_token_is_used() {
    let house = House::new();
    let session = refreshable(&house).await;
    house.owner(&token(&session)).await.expect("good");
    let (access, next) = refresh(&house, &refresh_token(&session)).await;

    assert!(
        house.owner(&token(&session)).await.is_some(),
        "nobody used the new one yet"
    );
    assert!(house.owner(&access).await.is_some());

    assert!(house.owner(&token(&session)).await.is_none());
    let old = house.users.refresh(&refresh_token(&session)).await;
    assert!(matches!(old, Err(TokenError::Unknown)));
    assert!(house.owner(&access).await.is_some());
    refresh(&house, &next).await;
}

#[tokio::test]
async fn the_old_pair_lives_until_the_new_refresh_token_is_used() {
    let house = House::new();
    let session = refreshable(&house).await;
    house.owner(&token(&session)).await.expect("good");
    let (second, next) = refresh(&house, &refresh_token(&session)).await;

    let (third, _) = refresh(&house, &next).await;

    assert!(house.owner(&token(&session)).await.is_none());
    assert!(
        house.owner(&second).await.is_some(),
        "the third was not used yet"
    );
    assert!(house.owner(&third).await.is_some());
    assert!(house.owner(&second).await.is_none());
}

#[tokio::test]
async fn a_lost_answer_can_be_asked_for_again() {
    let house = House::new();
    let session = refreshable(&house).await;
    let (lost, _) = refresh(&house, &refresh_token(&session)).await;

    let (access, _) = refresh(&house, &refresh_token(&session)).await;

    assert!(house.owner(&lost).await.is_none());
    assert!(house.owner(&access).await.is_some());
}

#[tokio::test]
async fn what_a_device_has_does_not_grow_with_refreshes() {
    let house = House::new();
    let session = refreshable(&house).await;
    let mut next = refresh_token(&session);
    for round in 0..20 {
        let (access, refreshed) = refresh(&house, &next).await;
        if round % 2 == 0 {
            house.owner(&access).await.expect("good");
        }
        next = refreshed;
    }
    let (access, refresh, sessions) = count_of_tokens(&house.snapshot().await).await;
    assert!(
        access <= 3 && refresh <= 2 && sessions == 2,
        "{access} {refresh} {sessions}"
    );
}

#[tokio::test]
async fn a_logout_ends_both_pairs() {
    let house = House::new();
    let session = refreshable(&house).await;
    let (access, next) = refresh(&house, &refresh_token(&session)).await;
    let caller = house.owner(&token(&session)).await.expect("good");

    house.users.logout(&caller).await.expect("it logs out");

    assert!(house.owner(&token(&session)).await.is_none());
    assert!(house.owner(&access).await.is_none());
    for token in [refresh_token(&session), next] {
        assert!(matches!(
            house.users.refresh(&token).await,
            Err(TokenError::Unknown)
        ));
    }
}

#[tokio::test]
async fn an_access_token_does_not_refresh_and_a_refresh_token_opens_nothing() {
    let house = House::new();
    let session = refreshable(&house).await;
    let refused = house.users.refresh(&token(&session)).await;
    assert!(matches!(refused, Err(TokenError::Unknown)));
    assert!(house.owner(&refresh_token(&session)).await.is_none());
}
