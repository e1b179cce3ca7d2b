//! How long transaction ids are remembered.

use std::time::Duration;

use database::{Clock as _, Read};
use rooms_store::{RoomStore, tables::TRANSACTIONS};
use rooms_writer::REMEMBERED;
use ruma::{OwnedRoomId, OwnedUserId};
use users::{NewDevice, Password, jobs};

use rooms_testing::{TestRooms, message, transaction};

struct Sender {
    house: TestRooms,
    user: OwnedUserId,
    room: OwnedRoomId,
}

impl Sender {
    async fn new() -> Self {
        let house = TestRooms::new().await;
        let user = house.person("alice").await;
        let room = house.public_room(&user).await;
        Self { house, user, room }
    }

    async fn login(&self, device: &str) {
        let new = NewDevice {
            id: Some(device.into()),
            ..NewDevice::default()
        };
        let password = Password::new("correct horse battery".to_owned()).expect("a password");
        let login = self.house.users.login("alice", &password, &new).await;
        login.expect("logged in");
    }

    async fn send(&self, device: &str, id: &str) -> String {
        let mut message = message(&self.user, "hello");
        message.transaction = Some(transaction(device, id));
        let sent = self.house.writer.send(&self.room, message).await;
        sent.expect("sent").event_id.to_string()
    }

    /// The devices and ids that are remembered.
    async fn remembered(&self) -> Vec<(String, String)> {
        let db = self.house.rooms.snapshot().await.expect("a snapshot");
        let rows = db.page(TRANSACTIONS.all(), 10_000).await.expect("rows");
        rows.into_iter()
            .map(|((_, device, _, _, id), _)| (device, id))
            .collect()
    }

    fn pass(&self, time: Duration) {
        self.house.clock.set(self.house.clock.now().plus(time));
    }

    async fn end(&self, device: &str) {
        let db = self.house.rooms.snapshot().await.expect("a snapshot");
        let user = self.house.users.number(&db, &self.user).await;
        let user = user.expect("a read").expect("a user");
        let ended = self
            .house
            .users
            .delete_devices(user, vec![device.to_owned()]);
        ended.await.expect("deleted");
        jobs_are_done(&self.house.rooms).await;
    }
}

/// The task that does them runs beside the test.
async fn jobs_are_done(rooms: &RoomStore) {
    let mut commits = rooms.store().published();
    loop {
        commits.borrow_and_update();
        let db = rooms.snapshot().await.expect("a snapshot");
        if jobs::ended_devices(&db, 1)
            .await
            .expect("a read")
            .is_empty()
        {
            return;
        }
        commits.changed().await.expect("the database is open");
    }
}

fn pair(device: &str, id: &str) -> (String, String) {
    (device.to_owned(), id.to_owned())
}

#[tokio::test]
async fn transaction_ids_end_with_their_device() {
    let sender = Sender::new().await;
    for device in ["PHONE", "LAPTOP"] {
        sender.login(device).await;
        sender.send(device, "t1").await;
    }

    sender.end("PHONE").await;

    assert_eq!(sender.remembered().await, [pair("LAPTOP", "t1")]);
}

#[tokio::test]
async fn a_device_of_the_same_id_starts_anew_and_keeps_what_it_sends() {
    let sender = Sender::new().await;
    sender.login("PHONE").await;
    let first = sender.send("PHONE", "t1").await;
    sender.end("PHONE").await;
    sender.pass(Duration::from_secs(1));

    sender.login("PHONE").await;
    let second = sender.send("PHONE", "t1").await;

    assert_ne!(first, second);
    assert_eq!(sender.send("PHONE", "t1").await, second);
}

#[tokio::test]
async fn old_transaction_ids_are_forgotten_and_young_ones_stay() {
    let sender = Sender::new().await;
    for id in 0..1_000 {
        sender.send("PHONE", &format!("old{id:04}")).await;
    }
    sender.pass(Duration::from_secs(1));
    let young = sender.send("PHONE", "young").await;
    sender.pass(REMEMBERED);

    sender
        .house
        .writer
        .forget_old_transactions()
        .await
        .expect("forgotten");

    assert_eq!(sender.remembered().await, [pair("PHONE", "young")]);
    assert_eq!(sender.send("PHONE", "young").await, young);
}
