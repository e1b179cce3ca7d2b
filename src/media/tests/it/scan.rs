//! The scanner sees each file first.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use database::engine::BoxFuture;
use media::{ScanFailure, ScanVerdict, Scanned, Scanner, UploadError};

use crate::house::{ALICE, House, Options};

/// Refuses files of 13 bytes, and fails on those of 14.
#[derive(Default)]
struct Superstitious(Mutex<Vec<u64>>);

impl Scanner for Superstitious {
    fn scan(&self, file: Scanned) -> BoxFuture<'static, io::Result<ScanVerdict>> {
        let seen = self.0.lock();
        seen.unwrap_or_else(PoisonError::into_inner).push(file.size);
        let verdict = match file.size {
            13 => Ok(ScanVerdict::Refused),
            14 => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(ScanVerdict::Clean),
        };
        Box::pin(std::future::ready(verdict))
    }
}

async fn house(scan_failure: ScanFailure) -> House {
    let mut options = Options::default();
    options.config.scan_failure = scan_failure;
    options.scanner = Some(Arc::new(Superstitious::default()));
    House::with(options).await
}

#[tokio::test]
async fn a_refused_file_is_not_stored() {
    let house = house(ScanFailure::Refuse).await;

    assert!(house.try_upload(ALICE, &[0; 12]).await.is_ok());
    let refused = house.try_upload(ALICE, &[0; 13]).await;

    assert!(matches!(refused, Err(UploadError::Refused)), "{refused:?}");
    assert_eq!(house.contents_on_disk(), 1);
    assert!(house.incoming().is_empty());
}

#[tokio::test]
async fn a_failure_of_the_scanner_refuses_or_accepts_as_configured() {
    let closed = house(ScanFailure::Refuse)
        .await
        .try_upload(ALICE, &[0; 14])
        .await;
    assert!(matches!(closed, Err(UploadError::Scan(_))), "{closed:?}");
    assert!(
        house(ScanFailure::Accept)
            .await
            .try_upload(ALICE, &[0; 14])
            .await
            .is_ok()
    );
}
