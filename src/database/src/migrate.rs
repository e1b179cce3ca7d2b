//! Migrations: changes of the stored data that come with a release. Each has a name, runs once in
//! the life of a database, in chunks, and goes on where it was cut off.

use serde::{Deserialize, Serialize};

use crate::{
    engine::BoxFuture, error::StoreError, read::Read, stamp::Stamp, store::Store, table::Table,
    txn::Txn, value::Record,
};

/// How far each migration is, by its name. Written by [`run`] only.
pub static MIGRATIONS: Table<String, Progress> = Table::new("migrations");

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// Goes on from here; what it means is the migration's own. It starts with an empty one.
    At(Vec<u8>),
    Done,
}

impl Record for Progress {}

/// One migration. `step` does one chunk in the given transaction and returns where the next one
/// goes on; chunk and progress are one commit. Like every body it may run more than once.
#[derive(Clone, Copy)]
pub struct Migration {
    pub name: &'static str,
    pub step: Step,
}

/// Takes where to go on, and gives where the next one does.
pub type Step = for<'a> fn(&'a Txn, &'a [u8]) -> StepFuture<'a>;
pub type StepFuture<'a> = BoxFuture<'a, Result<Progress, StoreError>>;

#[derive(Debug, thiserror::Error)]
pub enum MigrationError<E> {
    #[error("the checkpoint before the migration failed: {0}")]
    Checkpoint(E),
    #[error("migration `{name}` failed: {error}")]
    Step {
        name: &'static str,
        error: StoreError,
    },
}

/// Runs what has not run yet, in order. `checkpoint` is called once, before the first chunk of the
/// first that has to run. A new database has nothing to migrate: all are marked as done.
pub async fn run<E>(
    store: &Store,
    migrations: &[Migration],
    checkpoint: impl AsyncFnOnce() -> Result<(), E>,
) -> Result<(), MigrationError<E>> {
    let is_new = *store.published().borrow() == Stamp::START;
    let mut checkpoint = Some(checkpoint);
    for migration in migrations {
        let name = migration.name;
        let failed = |error| MigrationError::Step { name, error };
        let mut progress = start(store, name, is_new).await.map_err(failed)?;
        if progress == Progress::Done {
            continue;
        }
        if let Some(checkpoint) = checkpoint.take() {
            checkpoint().await.map_err(MigrationError::Checkpoint)?;
        }
        tracing::info!(migration = name, "migration starts");
        while progress != Progress::Done {
            progress = step(store, migration).await.map_err(failed)?;
        }
        tracing::info!(migration = name, "migration is done");
    }
    Ok(())
}

async fn start(store: &Store, name: &str, is_new: bool) -> Result<Progress, StoreError> {
    if !is_new {
        let db = store.snapshot().await?;
        return Ok(db
            .get(MIGRATIONS.at(name))
            .await?
            .unwrap_or(Progress::At(Vec::new())));
    }
    let mark = store.transact(|txn| async move {
        txn.put(MIGRATIONS.at(name), &Progress::Done);
        Ok::<_, StoreError>(())
    });
    mark.await?;
    Ok(Progress::Done)
}

async fn step(store: &Store, migration: &Migration) -> Result<Progress, StoreError> {
    let step = store.transact(|txn| async move {
        let row = MIGRATIONS.at(migration.name);
        let next = match txn.get(row.clone()).await? {
            Some(Progress::Done) => return Ok(Progress::Done),
            Some(Progress::At(place)) => (migration.step)(&txn, &place).await?,
            None => (migration.step)(&txn, &[]).await?,
        };
        txn.put(row, &next);
        Ok::<_, StoreError>(next)
    });
    step.await.map(|(next, _)| next)
}
