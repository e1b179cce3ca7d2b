//! The server is killed in the middle of uploads. After each restart every file that was
//! acknowledged is there, byte for byte, and nothing else is on the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::chance::{Chance, count_from};
use crate::client::{Client, text};
use crate::server::{Home, Server};

const UPLOADERS: usize = 8;
/// Larger files take several writes.
const LARGEST: u64 = 1_500_000;
/// Few contents, so that files share some.
const CONTENTS: u64 = 40;

/// What was acknowledged: the path of the file, and which content it has.
type Stored = Vec<(String, u64)>;

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_file_is_lost_and_no_half_file_stays() {
    let rounds = count_from("DURABILITY_ROUNDS", 10);
    let mut chance = Chance::new("uploads");
    let home = Home::new();
    let mut server = home.start().await;
    let alice = Client::register(&server, "alice").await;
    let mut stored = Stored::new();
    for round in 0..rounds {
        let alice = alice.at(&server);
        let seed = round as u64 * 1000;
        stored.extend(upload_until_killed(&mut server, &alice, seed, &mut chance).await);

        server = home.start().await;

        let alice = alice.at(&server);
        for (path, number) in &stored {
            let (status, bytes) = alice.download(path).await.expect("the server runs");
            assert_eq!(status, 200, "{path}");
            assert!(bytes == content(*number), "{path} is another file");
        }
        let output = home.run(&home.database(), &["media", "check"]).await;
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{report}");
        assert!(report.contains("deleted 0 files"), "{report}");
        assert!(report.contains("corrected 0 counts"), "{report}");
        let incoming = PathBuf::from(format!("{}-media/incoming", home.database().display()));
        assert!(is_empty(&incoming), "half files stay");
    }
    println!("{rounds} kills, {} acknowledged files", stored.len());
    server.stop().await;
}

/// Each uploads one file after the other, until the connection breaks.
async fn upload_until_killed(
    server: &mut Server,
    alice: &Client,
    seed: u64,
    chance: &mut Chance,
) -> Stored {
    let answers = Arc::new(AtomicU64::new(0));
    let mut uploads = JoinSet::new();
    for uploader in 0..UPLOADERS as u64 {
        let (alice, answers) = (alice.clone(), Arc::clone(&answers));
        uploads.spawn(async move {
            let mut stored = Stored::new();
            for count in 0.. {
                let number = seed + (uploader * 7 + count) % CONTENTS;
                let Ok(answer) = alice.upload(content(number)).await else {
                    return stored;
                };
                let uri = text(&answer.expect_ok()["content_uri"]);
                let path = uri.strip_prefix("mxc://").expect("a URI").to_owned();
                stored.push((path, number));
                answers.fetch_add(1, Ordering::SeqCst);
            }
            stored
        });
    }
    let due = chance.below(60);
    while answers.load(Ordering::SeqCst) < due {
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_micros(chance.below(20_000))).await;
    server.kill().await;
    uploads.join_all().await.into_iter().flatten().collect()
}

fn content(number: u64) -> Vec<u8> {
    let length = number.wrapping_mul(2_654_435_761) % LARGEST;
    let byte = |at: u64| (at.wrapping_mul(number | 1) >> 3).to_le_bytes()[0];
    (0..length).map(byte).collect()
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder)
        .expect("the folder")
        .next()
        .is_none()
}

/// A large file goes both ways, and the process does not grow by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_takes_little_memory() {
    const SIZE: usize = 96 << 20;
    const MOST: u64 = 24 << 20;
    let home = Home::new();
    let server = home.start().await;
    let alice = Client::register(&server, "alice").await;
    alice
        .upload(vec![1; 1 << 20])
        .await
        .expect("the server runs")
        .expect_ok();
    let before = peak_memory(server.process_id());

    let answer = alice.upload(vec![2; SIZE]).await.expect("the server runs");
    let uri = text(&answer.expect_ok()["content_uri"]);
    let path = uri.strip_prefix("mxc://").expect("a URI");
    let (_, bytes) = alice.download(path).await.expect("the server runs");

    assert_eq!(bytes.len(), SIZE);
    let grown = peak_memory(server.process_id()) - before;
    println!("{} KiB more for {} MiB", grown >> 10, SIZE >> 20);
    assert!(grown < MOST, "{grown} bytes more");
    server.stop().await;
}

/// The most that was resident, in bytes.
fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    let kibibytes: u64 = kibibytes.expect("a number").parse().expect("a number");
    kibibytes << 10
}
