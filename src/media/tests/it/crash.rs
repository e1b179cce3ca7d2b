//! Whenever the process dies or the power fails: what was acknowledged is there, whole, and nothing
//! is half there.

use database::Read as _;
use media::{Mxc, tables::MEDIA};

use crate::house::{ALICE, House};

/// More operations on the disk than the story below takes.
const OPERATIONS: usize = 60;

#[derive(Clone, Copy, PartialEq)]
enum Crash {
    Kill,
    PowerLoss,
}

/// Returns what was acknowledged.
async fn story(house: &House) -> Vec<(Mxc, Vec<u8>)> {
    let mut acknowledged = Vec::new();
    for number in 0..4_u8 {
        // The third has the content of the first.
        let bytes = vec![number % 2 + 1; 1000 + 400_000 * usize::from(number % 2)];
        if let Ok(mxc) = house.try_upload(ALICE, &bytes).await {
            acknowledged.push((mxc, bytes));
        }
    }
    acknowledged
}

async fn crash_everywhere(crash: Crash) {
    let mut complete = 0;
    for operations in 0..OPERATIONS {
        let house = House::new().await;
        house.disk.die_after(operations);
        let acknowledged = story(&house).await;
        match crash {
            Crash::Kill => house.disk.restart(),
            Crash::PowerLoss => house.disk.lose_power(),
        }

        let house = house.restarted().await;

        for (mxc, bytes) in &acknowledged {
            let found = house.try_download(mxc).await;
            assert!(
                found.is_ok_and(|found| found == *bytes),
                "after {operations}"
            );
        }
        // Whoever has a row has a file, also where nothing was acknowledged.
        let rows = house.snapshot().await.page(MEDIA.all(), 100).await;
        for ((_, id), row) in rows.expect("it reads") {
            let mxc = Mxc::new(house.media.server_name(), &id).expect("a name");
            let bytes = house.download(&mxc).await;
            assert_eq!(bytes.len() as u64, row.size, "after {operations}");
        }
        if crash == Crash::Kill {
            assert!(
                house.incoming().is_empty(),
                "after {operations}: {:?}",
                house.incoming()
            );
            let found = house.media.check().await.expect("it checks");
            assert_eq!((found.orphans, found.missing, found.miscounted), (0, 0, 0));
        }
        complete += usize::from(acknowledged.len() == 4);
    }
    assert!(complete > 0, "the story takes more operations");
}

#[tokio::test]
async fn a_killed_process_leaves_neither_half_files_nor_orphans() {
    crash_everywhere(Crash::Kill).await;
}

#[tokio::test]
async fn a_power_loss_takes_nothing_that_was_acknowledged() {
    crash_everywhere(Crash::PowerLoss).await;
}

#[tokio::test]
async fn a_name_appears_when_its_content_is_on_disk() {
    let house = House::new().await;
    house.disk.log();

    house.upload(ALICE, b"x").await;

    let log = house.disk.log();
    let kinds: Vec<&str> = log
        .iter()
        .map(|line| line.rsplit_once(' ').expect("a name").0)
        .collect();
    let expected = [
        "create",
        "write",
        "sync",
        "folder",
        "sync folder",
        "folder",
        "sync folder",
        "create",
        "rename",
        "sync folder",
        "remove",
    ];
    assert_eq!(kinds, expected, "{log:?}");
}
