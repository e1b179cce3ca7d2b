//! A kill does not reveal a missing fsync, because the kernel keeps written data. So the syncs are
//! counted: when it stops, the server logs RocksDB's ticker `wal.synced`.

use tokio::task::JoinSet;

use crate::client::Client;
use crate::server::Home;

#[tokio::test]
async fn each_of_many_sequential_sends_is_synced() {
    const SENDS: u64 = 200;
    let home = Home::new();
    let server = home.start().await;
    let alice = Client::register(&server, "alice").await;
    let room = alice.create_public_room().await;
    let before = syncs_in(&server.stop().await);
    let server = home.start().await;
    let alice = alice.at(&server);

    for number in 0..SENDS {
        alice.send(&room, &format!("number{number}")).await;
    }

    let syncs = syncs_in(&server.stop().await);
    assert!(
        syncs >= SENDS,
        "{SENDS} sends, one after the other, made {syncs} syncs"
    );
    assert!(before > 0, "an account and a room made no sync");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_share_their_syncs() {
    const SENDERS: u64 = 64;
    const SENDS: u64 = 20;
    let home = Home::new();
    let server = home.start().await;
    let alice = Client::register(&server, "alice").await;
    let mut rooms = Vec::new();
    for _ in 0..8 {
        rooms.push(alice.create_public_room().await);
    }
    server.stop().await;
    let server = home.start().await;
    let mut senders = JoinSet::new();
    for number in 0..SENDERS {
        let alice = alice.at(&server);
        let room = rooms[usize::try_from(number).expect("it is small") % rooms.len()].clone();
        senders.spawn(async move {
            for count in 0..SENDS {
                alice.send(&room, &format!("{number}-{count}")).await;
            }
        });
    }

    senders.join_all().await;

    let syncs = syncs_in(&server.stop().await);
    let messages = SENDERS * SENDS;
    assert!(
        syncs < messages / 2,
        "{messages} messages of {SENDERS} senders made {syncs} syncs"
    );
}

fn syncs_in(log: &[String]) -> u64 {
    let field = "\"wal_synced\":";
    let line = log.iter().rev().find(|line| line.contains(field));
    let line = line.unwrap_or_else(|| panic!("no {field} in {log:#?}"));
    let after = line.split(field).nth(1).expect("it is in there");
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}
