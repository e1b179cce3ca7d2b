//! The answers to transactions that were given, so that a repetition gets the same one and changes nothing.

use std::time::Duration;

use database::{Millis, Read as _, StoreError, Txn};

use crate::{
    handle::RemoteRooms,
    tables::{INBOUND_COUNTS, INBOUND_LOG, INBOUND_TRANSACTIONS, InboundAnswer},
};

const KEPT_FOR: Duration = Duration::from_hours(24);
/// Of one server.
const MOST: u64 = 1_000;
/// Old answers that one commit deletes.
const DELETED_AT_ONCE: usize = 4;
const SWEEP: Duration = Duration::from_hours(1);

/// Part of the commit that stores what a transaction brought.
pub(super) async fn keep(
    txn: &Txn,
    now: Millis,
    origin: &str,
    id: &str,
    answer: &str,
) -> Result<(), StoreError> {
    let mut count = txn.get(INBOUND_COUNTS.at(origin)).await?.unwrap_or(0);
    count = forget(txn, now, origin, count, DELETED_AT_ONCE).await?;
    let answer = InboundAnswer {
        at: now,
        answer: answer.to_owned(),
    };
    txn.put(INBOUND_TRANSACTIONS.at((origin, id)), &answer);
    txn.append(INBOUND_LOG.end(origin), txn.slot(), &id.to_owned());
    txn.put(INBOUND_COUNTS.at(origin), &(count + 1));
    Ok(())
}

/// Deletes the oldest answers of a server, as far as they are too old or too many. Returns how many
/// are left.
async fn forget(
    txn: &Txn,
    now: Millis,
    origin: &str,
    mut count: u64,
    limit: usize,
) -> Result<u64, StoreError> {
    for ((_, position), id) in txn.page(INBOUND_LOG.under(origin), limit).await? {
        let row = INBOUND_TRANSACTIONS.at((origin, id.as_str()));
        let held = txn.get(row.clone()).await?;
        let is_old = held.is_none_or(|held| now.since(held.at) > KEPT_FOR);
        if !is_old && count < MOST {
            break;
        }
        txn.delete(row);
        txn.delete(INBOUND_LOG.at((origin, position)));
        count = count.saturating_sub(1);
    }
    Ok(count)
}

/// Deletes the answers of servers that send no more, once an hour.
pub(super) async fn forget_old(remote: &RemoteRooms) {
    loop {
        if let Err(error) = sweep(remote).await {
            tracing::warn!(%error, "could not delete old answers to transactions");
        }
        tokio::time::sleep(SWEEP).await;
    }
}

async fn sweep(remote: &RemoteRooms) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let db = remote.rooms().snapshot().await?;
        let rows = INBOUND_COUNTS.all().after(after.as_str());
        let Some((origin, _)) = db.first(rows).await? else {
            return Ok(());
        };
        drop(db);
        let now = remote.now();
        loop {
            let name = origin.as_str();
            let swept = remote.rooms().store().transact(|txn| async move {
                let before = txn.get(INBOUND_COUNTS.at(name)).await?.unwrap_or(0);
                let left = forget(&txn, now, name, before, 100).await?;
                match left {
                    _ if left == before => {}
                    0 => txn.delete(INBOUND_COUNTS.at(name)),
                    left => txn.put(INBOUND_COUNTS.at(name), &left),
                }
                txn.may_wait();
                Ok::<_, StoreError>(left < before && left > 0)
            });
            if !swept.await?.0 {
                break;
            }
        }
        after = origin;
    }
}
