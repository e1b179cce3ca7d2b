//! Key backups: versions, replacement, counts, deletion.

use std::collections::HashSet;

use devices::key_backup::{
    BackedUpSession, BackupError, BackupUpdate, Scope, SessionRow, Stored, current, session,
};

use crate::house::{House, Person};

fn backed_up(room: &str, session: &str, first_message_index: u64) -> BackedUpSession {
    let row = SessionRow {
        first_message_index,
        forwarded_count: 0,
        is_verified: false,
        session_data: r#"{"ciphertext":"opaque"}"#.to_owned(),
    };
    BackedUpSession {
        room: room.to_owned(),
        session: session.to_owned(),
        row,
    }
}

async fn create(house: &House, person: &Person) -> u64 {
    house
        .devices
        .create_backup(person.number, "algorithm", "{}")
        .await
        .expect("a backup")
}

async fn put(
    house: &House,
    person: &Person,
    version: u64,
    sessions: &[BackedUpSession],
) -> Result<Stored, BackupError> {
    house
        .devices
        .back_up(person.number, version, sessions)
        .await
}

async fn count(house: &House, person: &Person, version: u64, room: Option<&str>) -> usize {
    let db = house.db().await;
    let room = room.map(str::to_owned);
    let mut sessions = house.devices.backup_sessions(person.number, version, room);
    let mut count = 0;
    loop {
        let page = sessions.next_page(&db).await.expect("a page");
        if page.is_empty() {
            return count;
        }
        count += page.len();
    }
}

#[tokio::test]
async fn counts_and_etags_follow_what_is_stored() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    let version = create(&house, &alice).await;

    let two = [backed_up("!r", "a", 5), backed_up("!r", "b", 5)];
    let first = put(&house, &alice, version, &two).await.expect("stored");
    let worse = put(&house, &alice, version, &[backed_up("!r", "a", 6)])
        .await
        .expect("taken");
    let better = put(&house, &alice, version, &[backed_up("!r", "a", 4)])
        .await
        .expect("taken");

    assert_eq!((first.count, worse.count, better.count), (2, 2, 2));
    assert_eq!(first.etag, worse.etag, "nothing was replaced");
    assert_ne!(first.etag, better.etag);
    let row = session(&house.db().await, alice.number, version, "!r", "a").await;
    assert_eq!(
        row.expect("the read")
            .expect("a session")
            .first_message_index,
        4
    );
}

#[tokio::test]
async fn only_the_newest_backup_is_written_to() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    let (old, new) = (create(&house, &alice).await, create(&house, &alice).await);

    let refused = put(&house, &alice, old, &[backed_up("!r", "a", 1)]).await;
    let unknown = put(&house, &alice, 99, &[backed_up("!r", "a", 1)]).await;

    assert!(matches!(refused, Err(BackupError::WrongVersion { current }) if current == new));
    assert!(matches!(unknown, Err(BackupError::NotFound)));
    house
        .devices
        .delete_backup(alice.number, new)
        .await
        .expect("deleted");
    put(&house, &alice, old, &[backed_up("!r", "a", 1)])
        .await
        .expect("it is the newest again");
}

#[tokio::test]
async fn a_deleted_backup_is_gone_for_good_and_its_number_is_not_used_again() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    let version = create(&house, &alice).await;
    put(&house, &alice, version, &[backed_up("!r", "a", 1)])
        .await
        .expect("stored");

    house
        .devices
        .delete_backup(alice.number, version)
        .await
        .expect("deleted");

    house
        .devices
        .delete_backup(alice.number, version)
        .await
        .expect("deleted before");
    let unknown = house.devices.delete_backup(alice.number, version + 7).await;
    assert!(matches!(unknown, Err(BackupError::NotFound)));
    assert_eq!(
        current(&house.db().await, alice.number)
            .await
            .expect("the read"),
        None
    );
    assert_eq!(count(&house, &alice, version, None).await, 0);
    assert!(create(&house, &alice).await > version);
}

#[tokio::test]
async fn sessions_are_deleted_one_by_one_by_room_and_all() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    let version = create(&house, &alice).await;
    let names: Vec<String> = (0..700).map(|number| format!("s{number}")).collect();
    let mut sessions: Vec<_> = names
        .iter()
        .map(|name| backed_up("!large", name, 1))
        .collect();
    sessions.extend([backed_up("!small", "a", 1), backed_up("!small", "b", 1)]);
    put(&house, &alice, version, &sessions)
        .await
        .expect("stored");
    assert_eq!(count(&house, &alice, version, None).await, 702);
    let delete = |scope| house.devices.delete_sessions(alice.number, version, scope);

    assert_eq!(
        delete(Scope::Session("!small", "a"))
            .await
            .expect("deleted")
            .count,
        701
    );
    assert_eq!(
        delete(Scope::Session("!small", "a"))
            .await
            .expect("gone before")
            .count,
        701
    );
    assert_eq!(
        delete(Scope::Room("!large")).await.expect("deleted").count,
        1
    );
    assert_eq!(count(&house, &alice, version, Some("!large")).await, 0);
    assert_eq!(count(&house, &alice, version, Some("!small")).await, 1);
    assert_eq!(delete(Scope::All).await.expect("deleted").count, 0);
    assert_eq!(count(&house, &alice, version, None).await, 0);
}

#[tokio::test]
async fn only_the_auth_data_of_a_backup_changes() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    let version = create(&house, &alice).await;
    let update = |algorithm| BackupUpdate {
        algorithm,
        auth_data: r#"{"new":true}"#,
    };

    let other = update("other");
    let other = house
        .devices
        .update_backup(alice.number, version, &other)
        .await;
    let same = update("algorithm");
    house
        .devices
        .update_backup(alice.number, version, &same)
        .await
        .expect("updated");

    assert!(matches!(other, Err(BackupError::OtherAlgorithm)));
    let backup = current(&house.db().await, alice.number)
        .await
        .expect("the read");
    assert_eq!(backup.expect("a backup").auth_data, r#"{"new":true}"#);
}

#[tokio::test]
async fn a_deactivated_user_leaves_no_backup() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    let version = create(&house, &alice).await;
    put(&house, &alice, version, &[backed_up("!r", "a", 1)])
        .await
        .expect("stored");
    let user = alice.number;

    house
        .change(move |txn| async move { devices::forget(&txn, user).await })
        .await;

    assert_eq!(
        current(&house.db().await, user).await.expect("the read"),
        None
    );
    assert_eq!(count(&house, &alice, version, None).await, 0);
}

#[tokio::test]
async fn a_large_backup_is_read_in_pages_of_bounded_size_from_one_snapshot() {
    const SESSIONS: usize = 50_000;
    const PAGE_BYTES: usize = 1024 * 1024;
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    let version = create(&house, &alice).await;
    let largest = house.devices.limits().session_bytes;
    let mut put_in = 0;
    while put_in < SESSIONS {
        // Sometimes several of the largest allowed sessions in a row.
        let chunk: Vec<_> = (put_in..put_in + 1000)
            .map(|number| {
                let size = if number % 1000 < 20 { largest } else { 500 };
                let mut session = backed_up(&format!("!{}", number / 500), &number.to_string(), 1);
                session.row.session_data = format!("{{{}}}", " ".repeat(size - 2));
                session
            })
            .collect();
        put_in += chunk.len();
        put(&house, &alice, version, &chunk).await.expect("stored");
    }
    let stored = current(&house.db().await, alice.number).await;
    assert_eq!(
        stored.expect("the read").expect("a backup").count,
        SESSIONS as u64
    );

    let db = house.db().await;
    let mut sessions = house.devices.backup_sessions(alice.number, version, None);
    let mut seen = HashSet::new();
    let mut largest_page = 0;
    loop {
        let page = sessions.next_page(&db).await.expect("a page");
        if page.is_empty() {
            break;
        }
        let bytes = page.iter().map(|(_, _, row)| row.session_data.len()).sum();
        largest_page = largest_page.max(bytes);
        seen.extend(page.into_iter().map(|(room, session, _)| (room, session)));
        if seen.len() < 100 {
            // Concurrent changes are not part of this snapshot.
            let later = [backed_up("!9", "later", 1)];
            put(&house, &alice, version, &later).await.expect("stored");
            let first_room = Scope::Room("!50");
            let deleted = house
                .devices
                .delete_sessions(alice.number, version, first_room);
            deleted.await.expect("deleted");
        }
    }

    assert_eq!(seen.len(), SESSIONS);
    assert!(!seen.contains(&("!9".to_owned(), "later".to_owned())));
    assert!(largest_page <= PAGE_BYTES, "a page of {largest_page} bytes");
    let left = current(&house.db().await, alice.number).await;
    let left = left.expect("the read").expect("a backup").count;
    assert_eq!(left, count(&house, &alice, version, None).await as u64);
}
