//! Bytes of answers that are in memory at once. An answer that finds no room fails, so that no two wait for each other.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::client::{Body, ClientError};

/// Budgets are counted in so many bytes.
const UNIT: usize = 4096;

pub(super) struct Budget(Arc<Semaphore>);

/// A whole answer. Its room is free again when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(
            (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS),
        )))
    }

    pub(super) async fn collect(&self, mut body: Body) -> Result<Held, ClientError> {
        let mut room = self.take(1)?;
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            // Growing doubles the buffer.
            let needed = (whole.len() + data.len())
                .next_power_of_two()
                .div_ceil(UNIT);
            if needed > room.num_permits() {
                room.merge(self.take(needed - room.num_permits())?);
            }
            whole.extend_from_slice(&data);
        }
        Ok(Held {
            bytes: whole.freeze(),
            _room: room,
        })
    }

    fn take(&self, units: usize) -> Result<OwnedSemaphorePermit, ClientError> {
        let units = u32::try_from(units).map_err(|_| ClientError::Busy)?;
        self.0
            .clone()
            .try_acquire_many_owned(units)
            .map_err(|_| ClientError::Busy)
    }
}
