//! One-time keys are returned exactly once to concurrent claimers, on both engines and across a
//! restart.

use std::{collections::HashSet, sync::Arc};

use database::UserNumber;
use database_rocksdb::{Options, RocksEngine};
use devices::{
    Limits,
    keys::{Claim, KeyUpload},
};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::house::{House, none, one_time_keys};

const KEYS: u32 = 1_000;
const CLAIMERS: usize = 64;

pub(crate) fn claim(user: UserNumber) -> Claim {
    let algorithm = "signed_curve25519".to_owned();
    Claim {
        user,
        device: "DEVICE".to_owned(),
        algorithm,
    }
}

async fn fill(house: &House) -> UserNumber {
    let [alice] = house.people(["alice"]).await;
    let upload = KeyUpload {
        one_time_keys: one_time_keys(0..KEYS),
        ..none()
    };
    house.upload(&alice, "DEVICE", &upload).await;
    alice.number
}

/// The keys that all claimers get, until no key is left or each has made `most` claims.
async fn claim_at_once(house: &Arc<House>, user: UserNumber, most: usize) -> Vec<String> {
    let mut claimers = JoinSet::new();
    for _ in 0..CLAIMERS {
        let house = house.clone();
        claimers.spawn(async move {
            let mut got = Vec::new();
            while got.len() < most {
                let mut keys = house
                    .devices
                    .claim_keys(&[claim(user)])
                    .await
                    .expect("a claim");
                let Some(key) = keys.pop().flatten() else {
                    break;
                };
                got.push(key.id);
            }
            got
        });
    }
    claimers.join_all().await.concat()
}

fn assert_all_once(got: &[String]) {
    let different: HashSet<&String> = got.iter().collect();
    assert_eq!(different.len(), got.len(), "a key was handed out twice");
    assert_eq!(got.len(), usize::try_from(KEYS).expect("fits"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_claimers_never_get_one_key_twice() {
    let house = Arc::new(House::new());
    let user = fill(&house).await;

    let got = claim_at_once(&house, user, usize::MAX).await;

    assert_all_once(&got);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_claimers_never_get_one_key_twice_from_disk_and_over_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || {
        let options = Options::new(folder.path().join("db"), TaskTracker::new());
        RocksEngine::open(&options)
            .expect("the database opens")
            .store()
    };
    let house = Arc::new(House::with(open(), Limits::default()));
    let user = fill(&house).await;
    let mut got = claim_at_once(&house, user, 5).await;
    drop(house);

    let house = Arc::new(House::with(open(), Limits::default()));
    got.extend(claim_at_once(&house, user, usize::MAX).await);

    assert_all_once(&got);
}
