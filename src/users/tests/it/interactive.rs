//! Interactive auth.

use std::time::Duration;

use users::{
    Attempt, Challenge, InteractiveError, Operation, PASSWORD_FLOWS, Proof, Refusal, Registration,
    Stage,
};

use crate::house::{House, PASSWORD, Person, password};

fn by_password(session: Option<&str>, name: &str, secret: &str) -> Attempt {
    let proof = Proof::Password {
        name: Some(name.to_owned()),
        password: Some(password(secret)),
    };
    Attempt {
        session: session.map(str::to_owned),
        proof,
    }
}

fn operation(caller: &Person, what: &str) -> Operation {
    Operation::new("delete_device", Some(caller.number), &[what])
}

async fn ask(
    house: &House,
    caller: &Person,
    what: &str,
    attempt: impl Into<Option<Attempt>>,
) -> Result<(), InteractiveError> {
    let operation = operation(caller, what);
    house
        .users
        .authorize(
            operation,
            Some(caller.number),
            PASSWORD_FLOWS,
            attempt.into(),
        )
        .await
}

fn challenge(answer: Result<(), InteractiveError>) -> Challenge {
    match answer {
        Err(InteractiveError::Challenge(challenge)) => challenge,
        other => panic!("expected a challenge, got {other:?}"),
    }
}

#[tokio::test]
async fn the_password_lets_the_request_go_on() {
    let house = House::new();
    let alice = house.user("alice").await;

    let asked = challenge(ask(&house, &alice, "PHONE", None).await);
    assert_eq!(asked.flows, [[Stage::Password]]);
    assert!(asked.refused.is_none());

    let proof = by_password(Some(&asked.session), "alice", PASSWORD);
    ask(&house, &alice, "PHONE", proof)
        .await
        .expect("it goes on");
}

#[tokio::test]
async fn a_first_request_may_bring_its_proof() {
    let house = House::new();
    let alice = house.user("alice").await;
    let proof = by_password(None, "@alice:example.org", PASSWORD);
    ask(&house, &alice, "PHONE", proof)
        .await
        .expect("it goes on");
}

#[tokio::test]
async fn a_wrong_password_keeps_the_session() {
    let house = House::new();
    let alice = house.user("alice").await;
    let first = challenge(ask(&house, &alice, "PHONE", None).await);

    let proof = by_password(Some(&first.session), "alice", "wrong");
    let second = challenge(ask(&house, &alice, "PHONE", proof).await);

    assert_eq!(second.refused, Some(Refusal::WrongPassword));
    assert_eq!(second.session, first.session);
    let proof = by_password(Some(&first.session), "alice", PASSWORD);
    ask(&house, &alice, "PHONE", proof)
        .await
        .expect("it goes on");
}

#[tokio::test]
async fn the_password_of_another_user_is_forbidden() {
    let house = House::new();
    let alice = house.user("alice").await;
    house.user("bob").await;
    let answer = ask(&house, &alice, "PHONE", by_password(None, "bob", PASSWORD)).await;
    assert!(matches!(answer, Err(InteractiveError::OtherUser)));
}

#[tokio::test]
async fn a_session_is_good_for_its_own_request_only() {
    let house = House::new();
    let (alice, bob) = (house.user("alice").await, house.user("bob").await);
    let asked = challenge(ask(&house, &alice, "PHONE", None).await);

    let proof = by_password(Some(&asked.session), "alice", PASSWORD);
    let other = ask(&house, &alice, "LAPTOP", proof).await;
    assert!(matches!(other, Err(InteractiveError::OtherOperation)));
    let proof = by_password(Some(&asked.session), "bob", PASSWORD);
    let stolen = ask(&house, &bob, "PHONE", proof).await;
    assert!(matches!(stolen, Err(InteractiveError::OtherOperation)));
}

#[tokio::test]
async fn parameters_cannot_run_into_each_other() {
    assert_ne!(
        Operation::new("a", None, &["bc", ""]),
        Operation::new("a", None, &["b", "c"])
    );
    assert_ne!(
        Operation::new("ab", None, &["c"]),
        Operation::new("a", None, &["bc"])
    );
}

#[tokio::test]
async fn a_session_ends_with_its_success() {
    let house = House::new();
    let alice = house.user("alice").await;
    let asked = challenge(ask(&house, &alice, "PHONE", None).await);
    let proof = by_password(Some(&asked.session), "alice", PASSWORD);
    ask(&house, &alice, "PHONE", proof.clone())
        .await
        .expect("it goes on");

    let again = challenge(ask(&house, &alice, "PHONE", proof).await);
    assert_eq!(again.refused, Some(Refusal::UnknownSession));
    assert_ne!(again.session, asked.session);
}

#[tokio::test]
async fn a_session_expires() {
    let house = House::new();
    let alice = house.user("alice").await;
    let asked = challenge(ask(&house, &alice, "PHONE", None).await);
    house.clock.advance(Duration::from_mins(30));

    let proof = by_password(Some(&asked.session), "alice", PASSWORD);
    let late = challenge(ask(&house, &alice, "PHONE", proof).await);
    assert_eq!(late.refused, Some(Refusal::UnknownSession));
}

#[tokio::test]
async fn sessions_are_bounded_in_number() {
    let house = House::new();
    let alice = house.user("alice").await;
    let first = challenge(ask(&house, &alice, "PHONE", None).await);
    for _ in 0..10_000 {
        challenge(ask(&house, &alice, "PHONE", None).await);
    }
    let proof = by_password(Some(&first.session), "alice", PASSWORD);
    let late = challenge(ask(&house, &alice, "PHONE", proof).await);
    assert_eq!(late.refused, Some(Refusal::UnknownSession));
}

#[tokio::test]
async fn a_dummy_stage_is_no_password() {
    let house = House::new();
    let alice = house.user("alice").await;
    let attempt = Some(Attempt {
        session: None,
        proof: Proof::Dummy,
    });
    challenge(ask(&house, &alice, "PHONE", attempt).await);
}

#[tokio::test]
async fn registration_asks_for_what_the_operator_decided() {
    let open = House::new();
    assert_eq!(
        open.users.registration_flows(),
        Some(&[&[Stage::Dummy] as &[_]] as &[_])
    );
    let closed = House::with(Registration::Closed);
    assert_eq!(closed.users.registration_flows(), None);

    let house = House::with(Registration::Token("sesame".to_owned()));
    let flows = house
        .users
        .registration_flows()
        .expect("open to those who know");
    let operation = Operation::new("register", None, &[]);
    let offer = |token: &str| {
        let proof = Proof::RegistrationToken(token.to_owned());
        Some(Attempt {
            session: None,
            proof,
        })
    };
    let wrong = house
        .users
        .authorize(operation, None, flows, offer("wrong"))
        .await;
    assert_eq!(challenge(wrong).refused, Some(Refusal::WrongToken));
    let right = house
        .users
        .authorize(operation, None, flows, offer("sesame"))
        .await;
    right.expect("it goes on");
    assert!(house.users.is_registration_token("sesame"));
    assert!(!open.users.is_registration_token(""));
}
