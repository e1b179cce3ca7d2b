//! Messages to devices: order, repetition, acknowledgment, limits.

use std::time::Duration;

use database::{Position, Read, Store};
use devices::{
    Limits,
    to_device::{
        self, DROPPED_MESSAGES, INBOX, INBOX_SIZES, Message, Recipient, SENT_MESSAGES, SendError,
        Target,
    },
};
use futures_util::future::join_all;
use serde_json::Value;

use crate::house::{House, Person};

fn to(person: &Person, device: &str, number: usize) -> Recipient {
    let target = match device {
        "*" => Target::All,
        device => Target::Device(device.to_owned()),
    };
    let content = format!(r#"{{"n":{number}}}"#).into();
    Recipient {
        user: person.number,
        target,
        content,
    }
}

async fn send(
    house: &House,
    sender: &Person,
    transaction: &str,
    recipients: Vec<Recipient>,
) -> Result<(), SendError> {
    let message = Message {
        sender: sender.number,
        sender_id: &sender.id,
        device: "DEVICE",
        kind: "m.test",
        transaction,
        recipients,
    };
    house.devices.send(&message).await
}

/// The numbers of the messages that wait, with the position of the last.
async fn waiting(
    house: &House,
    person: &Person,
    device: &str,
    after: Option<Position>,
    limit: usize,
) -> (Vec<u64>, Option<Position>) {
    let db = house.db().await;
    let page = to_device::since(&db, person.number, device, after, limit).await;
    let page = page.expect("the read");
    let number = |event: &String| {
        let event: Value = serde_json::from_str(event).expect("JSON");
        event["content"]["n"].as_u64().expect("a number")
    };
    (
        page.iter().map(|(_, event)| number(event)).collect(),
        page.last().map(|(at, _)| *at),
    )
}

async fn acknowledge(house: &House, person: &Person, up_to: Position) {
    let db = house.db().await;
    let done = house
        .devices
        .acknowledge(&db, person.number, "DEVICE", up_to, |_| false)
        .await;
    done.expect("acknowledged");
}

#[tokio::test]
async fn messages_wait_in_order_until_they_are_acknowledged() {
    let house = House::new();
    let [alice, bob] = house.people(["alice", "bob"]).await;
    for number in 0..250 {
        let recipients = vec![to(&bob, "DEVICE", number)];
        send(&house, &alice, &number.to_string(), recipients)
            .await
            .expect("sent");
    }

    let (first, last) = waiting(&house, &bob, "DEVICE", None, 100).await;
    let (again, _) = waiting(&house, &bob, "DEVICE", None, 100).await;
    assert_eq!(first, (0..100).collect::<Vec<_>>());
    assert_eq!(first, again, "what was not acknowledged is told again");

    acknowledge(&house, &bob, last.expect("a position")).await;
    let (rest, last) = waiting(&house, &bob, "DEVICE", None, 1000).await;
    assert_eq!(
        rest,
        (100..250).collect::<Vec<_>>(),
        "what was acknowledged is never told again"
    );

    acknowledge(&house, &bob, last.expect("a position")).await;
    assert_eq!(
        waiting(&house, &bob, "DEVICE", None, 1000).await.0,
        [0_u64; 0]
    );
    let left = house
        .db()
        .await
        .page(INBOX.under(bob.number), 1)
        .await
        .expect("the read");
    assert!(left.is_empty());
}

#[tokio::test]
async fn an_event_names_sender_and_type() {
    let house = House::new();
    let [alice, bob] = house.people(["alice", "bob"]).await;
    send(&house, &alice, "t", vec![to(&bob, "DEVICE", 7)])
        .await
        .expect("sent");

    let page = to_device::since(&house.db().await, bob.number, "DEVICE", None, 10).await;

    let event: Value = serde_json::from_str(&page.expect("the read")[0].1).expect("JSON");
    let expected = serde_json::json!({
        "content": { "n": 7 }, "sender": "@alice:house", "type": "m.test",
    });
    assert_eq!(event, expected);
}

#[tokio::test]
async fn a_repeated_request_sends_nothing() {
    let house = House::new();
    let [alice, bob] = house.people(["alice", "bob"]).await;

    for _ in 0..3 {
        send(&house, &alice, "same", vec![to(&bob, "DEVICE", 1)])
            .await
            .expect("sent");
    }
    send(&house, &bob, "same", vec![to(&bob, "DEVICE", 2)])
        .await
        .expect("sent");

    assert_eq!(waiting(&house, &bob, "DEVICE", None, 10).await.0, [1, 2]);
}

#[tokio::test]
async fn old_requests_are_forgotten() {
    let house = House::new();
    let [alice, bob] = house.people(["alice", "bob"]).await;
    for name in ["a", "b", "c"] {
        send(&house, &alice, name, vec![to(&bob, "DEVICE", 1)])
            .await
            .expect("sent");
    }

    house.clock.advance(Duration::from_hours(25));
    send(&house, &alice, "d", vec![to(&bob, "DEVICE", 1)])
        .await
        .expect("sent");

    let rows = house
        .db()
        .await
        .page(SENT_MESSAGES.under(alice.number), 10)
        .await;
    let names: Vec<String> = rows
        .expect("the read")
        .into_iter()
        .map(|((_, _, _, name), _)| name)
        .collect();
    assert_eq!(names, ["d"]);
}

#[tokio::test]
async fn a_star_reaches_all_devices_and_a_name_only_one_that_exists() {
    let house = House::new();
    let [alice, bob] = house.people(["alice", "bob"]).await;
    house.log_in(&bob, "SECOND").await;

    send(&house, &alice, "1", vec![to(&bob, "*", 1)])
        .await
        .expect("sent");
    send(&house, &alice, "2", vec![to(&bob, "SECOND", 2)])
        .await
        .expect("sent");
    send(&house, &alice, "3", vec![to(&bob, "THIRD", 3)])
        .await
        .expect("sent");
    house.log_in(&bob, "THIRD").await;

    assert_eq!(waiting(&house, &bob, "DEVICE", None, 10).await.0, [1]);
    assert_eq!(waiting(&house, &bob, "SECOND", None, 10).await.0, [1, 2]);
    assert_eq!(waiting(&house, &bob, "THIRD", None, 10).await.0, [0_u64; 0]);
}

#[tokio::test]
async fn a_device_that_is_named_and_one_of_all_gets_both() {
    let house = House::new();
    let [alice, bob] = house.people(["alice", "bob"]).await;
    house.log_in(&bob, "SECOND").await;

    let both = vec![to(&bob, "*", 1), to(&bob, "DEVICE", 2)];
    send(&house, &alice, "1", both).await.expect("sent");

    let (mut first, _) = waiting(&house, &bob, "DEVICE", None, 10).await;
    first.sort_unstable();
    assert_eq!(first, [1, 2]);
    assert_eq!(waiting(&house, &bob, "SECOND", None, 10).await.0, [1]);
}

#[tokio::test]
async fn requests_repeated_at_the_same_time_send_once() {
    let house = House::new();
    let [alice, bob] = house.people(["alice", "bob"]).await;

    let sent = join_all((0..16).map(|_| send(&house, &alice, "t", vec![to(&bob, "*", 1)]))).await;

    assert!(sent.iter().all(Result::is_ok));
    assert_eq!(waiting(&house, &bob, "DEVICE", None, 100).await.0, [1]);
}

#[tokio::test]
async fn an_inbox_is_bounded_in_bytes_too() {
    const BYTES: u64 = 64 * 1024;
    let limits = Limits {
        inbox_bytes: BYTES,
        ..Limits::default()
    };
    let house = House::with(Store::memory(), limits);
    let [alice, bob] = house.people(["alice", "bob"]).await;

    for number in 0..100 {
        let text = format!(r#"{{"n":{number},"x":"{}"}}"#, "x".repeat(2_000));
        let message = Recipient {
            content: text.into(),
            ..to(&bob, "DEVICE", number)
        };
        send(&house, &alice, &number.to_string(), vec![message])
            .await
            .expect("sent");
    }

    let inbox = house.db().await;
    let inbox = inbox.page(INBOX.under(bob.number), 1000).await;
    let bytes: usize = inbox
        .expect("read")
        .iter()
        .map(|(_, event)| event.len())
        .sum();
    assert!(bytes as u64 <= BYTES, "{bytes} bytes");
    let (left, _) = waiting(&house, &bob, "DEVICE", None, 1000).await;
    let newest = 100 - left.len() as u64;
    assert_eq!(
        left,
        (newest..100).collect::<Vec<_>>(),
        "the newest are left"
    );
    assert!(left.len() > 20, "{} are left", left.len());
}

#[tokio::test]
async fn a_request_to_too_many_devices_is_refused_whole() {
    let limits = Limits {
        recipients: 3,
        ..Limits::default()
    };
    let house = House::with(Store::memory(), limits);
    let [alice, bob] = house.people(["alice", "bob"]).await;
    for device in ["SECOND", "THIRD"] {
        house.log_in(&bob, device).await;
    }

    send(&house, &alice, "1", vec![to(&bob, "*", 1)])
        .await
        .expect("three are not too many");
    let many = vec![to(&bob, "*", 2), to(&alice, "DEVICE", 2)];
    let refused = send(&house, &alice, "2", many).await;

    assert!(matches!(refused, Err(SendError::TooMany(3))));
    assert_eq!(waiting(&house, &bob, "SECOND", None, 10).await.0, [1]);
    assert_eq!(
        waiting(&house, &alice, "DEVICE", None, 10).await.0,
        [0_u64; 0]
    );
}

#[tokio::test]
async fn what_waits_for_a_device_goes_with_it() {
    let house = House::new();
    let [alice, bob] = house.people(["alice", "bob"]).await;
    send(&house, &alice, "1", vec![to(&bob, "DEVICE", 1)])
        .await
        .expect("sent");
    send(&house, &bob, "1", vec![to(&alice, "DEVICE", 1)])
        .await
        .expect("sent");

    house.log_out(&bob, "DEVICE").await;
    assert!(house.is_clean(&bob).await);
    house.log_in(&bob, "DEVICE").await;

    assert_eq!(
        waiting(&house, &bob, "DEVICE", None, 10).await.0,
        [0_u64; 0]
    );
}

#[tokio::test]
async fn a_full_inbox_loses_its_oldest_messages_and_counts_them() {
    let limits = Limits {
        inbox_messages: 64,
        ..Limits::default()
    };
    let house = House::with(Store::memory(), limits);
    let [alice, bob] = house.people(["alice", "bob"]).await;

    for number in 0..100 {
        let recipients = vec![to(&bob, "DEVICE", number)];
        send(&house, &alice, &number.to_string(), recipients)
            .await
            .expect("sent");
    }

    let (left, _) = waiting(&house, &bob, "DEVICE", None, 1000).await;
    let dropped = house
        .db()
        .await
        .get(DROPPED_MESSAGES.at((bob.number, "DEVICE")))
        .await;
    let dropped = dropped.expect("the read").expect("a count");
    assert!((62..=64).contains(&left.len()), "{} are left", left.len());
    assert_eq!(left.len() as u64 + dropped, 100);
    assert_eq!(
        left,
        (dropped..100).collect::<Vec<_>>(),
        "the newest are left, in order"
    );
}

#[tokio::test]
async fn a_sender_who_disconnects_does_not_evade_the_bound() {
    let limits = Limits {
        inbox_messages: 64,
        ..Limits::default()
    };
    let house = House::with(Store::memory(), limits);
    let [alice, bob] = house.people(["alice", "bob"]).await;

    for number in 0..200 {
        let transaction = number.to_string();
        let recipients = vec![to(&bob, "DEVICE", number)];
        let sending = send(&house, &alice, &transaction, recipients);
        // Polled until the message is stored, and dropped if that was not the end.
        let mut sending = std::pin::pin!(sending);
        loop {
            if futures_util::poll!(sending.as_mut()).is_ready() {
                break;
            }
            let sent = SENT_MESSAGES.at((alice.number, "DEVICE", "m.test", &transaction));
            if house.db().await.exists(sent).await.expect("the read") {
                break;
            }
            tokio::task::yield_now().await;
        }
    }

    let (left, _) = waiting(&house, &bob, "DEVICE", None, 1000).await;
    assert!(left.len() <= 64, "{} are left", left.len());
}

#[tokio::test]
async fn the_size_of_an_inbox_is_kept_in_a_row() {
    let limits = Limits {
        inbox_messages: 64,
        ..Limits::default()
    };
    let house = House::with(Store::memory(), limits);
    let [alice, bob] = house.people(["alice", "bob"]).await;
    for number in 0..100 {
        let recipients = vec![to(&bob, "DEVICE", number)];
        let sent = send(&house, &alice, &number.to_string(), recipients).await;
        sent.expect("sent");
    }
    let (_, tenth) = waiting(&house, &bob, "DEVICE", None, 10).await;
    acknowledge(&house, &bob, tenth.expect("ten wait")).await;

    let db = house.db().await;
    let size = db.get(INBOX_SIZES.at((bob.number, "DEVICE"))).await;
    let size = size.expect("the read").expect("it was counted");
    let inbox = db.page(INBOX.under(bob.number), 1000).await;
    let counted: Vec<_> = inbox.expect("the read");
    let counted = counted
        .iter()
        .filter(|((_, _, position), _)| *position <= size.through);
    let (messages, bytes) = counted.fold((0, 0), |(messages, bytes), (_, event)| {
        (messages + 1, bytes + event.len() as u64)
    });
    assert_eq!((size.messages, size.bytes), (messages, bytes));
}

#[tokio::test]
async fn a_star_counts_its_content_for_each_device() {
    let limits = Limits {
        request_bytes: 1_000,
        ..Limits::default()
    };
    let house = House::with(Store::memory(), limits);
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let large = || Recipient {
        content: format!(r#"{{"n":1,"a":"{}"}}"#, "x".repeat(600)).into(),
        ..to(&bob, "*", 1)
    };
    let one = send(&house, &alice, "1", vec![large()]).await;
    one.expect("one device is not too much");
    house.log_in(&bob, "SECOND").await;
    let two = send(&house, &alice, "2", vec![large()]).await;
    assert!(matches!(two, Err(SendError::TooMuch(1_000))));
}

#[tokio::test]
async fn a_large_message_is_refused_whole() {
    let house = House::new();
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(70_000));
    let mut large = to(&bob, "DEVICE", 1);
    large.content = text.into();

    let refused = send(&house, &alice, "1", vec![to(&bob, "DEVICE", 1), large]).await;

    assert!(matches!(refused, Err(SendError::TooLarge(_))));
    assert_eq!(
        waiting(&house, &bob, "DEVICE", None, 10).await.0,
        [0_u64; 0]
    );
}

#[tokio::test]
async fn nothing_pending_costs_no_read() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    let db = house.db().await;
    house
        .devices
        .state(&db, alice.number, "DEVICE", |_| true)
        .await
        .expect("read");

    let stamp = house.now().await;
    let up_to = Position::last_of(stamp);
    let done = house
        .devices
        .acknowledge(&db, alice.number, "DEVICE", up_to, |_| true)
        .await;

    done.expect("acknowledged");
    assert_eq!(house.now().await, stamp, "nothing was written");
}
