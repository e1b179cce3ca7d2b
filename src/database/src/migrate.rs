//! Migrations: changes of the stored data that come with a release. Each has a name, runs once in
//! the life of a database, in chunks, and resumes where it was interrupted.
//!
//! A checkpoint is taken before the first chunk of each migration. The first chunk commits its
//! progress row, so a migration with a progress row has its checkpoint, and one without has not
//! changed anything yet: wherever the process is killed, the next start finds one of these two.

use serde::{Deserialize, Serialize};

use crate::{
    engine::BoxFuture, error::StoreError, read::Read, stamp::Stamp, store::Store, table::Table,
    txn::Txn, value::Record,
};

/// The progress of each migration, by its name. Written by [`run`] only.
pub static MIGRATIONS: Table<String, Progress> = Table::new("migrations");

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// Where the next chunk starts, in the migration's own encoding; empty at first.
    At(Vec<u8>),
    Done,
}

impl Record for Progress {}

/// One migration. `step` does one chunk in the given transaction and returns where the next one
/// starts; chunk and progress are one commit. Like every body it may run more than once.
#[derive(Clone, Copy)]
pub struct Migration {
    pub name: &'static str,
    pub step: Step,
}

/// Takes the start of this chunk, returns the start of the next one.
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

/// Runs the migrations that have not run yet, in order. `checkpoint` gets the name of a migration
/// that has not begun, before its first chunk; if an earlier run has made that checkpoint and was
/// killed before the first chunk, it should be used and not made again. A new database has nothing
/// to migrate: all are marked as done.
pub async fn run<E>(
    store: &Store,
    migrations: &[Migration],
    checkpoint: impl AsyncFn(&'static str) -> Result<(), E>,
) -> Result<(), MigrationError<E>> {
    let is_new = *store.published().borrow() == Stamp::START;
    for migration in migrations {
        let name = migration.name;
        let failed = |error| MigrationError::Step { name, error };
        let begun = start(store, name, is_new).await.map_err(failed)?;
        match begun {
            Some(Progress::Done) => continue,
            Some(Progress::At(_)) => tracing::info!(migration = name, "migration resumes"),
            None => {
                checkpoint(name).await.map_err(MigrationError::Checkpoint)?;
                tracing::info!(migration = name, "migration starts");
            }
        }
        while step(store, migration).await.map_err(failed)? != Progress::Done {}
        tracing::info!(migration = name, "migration is done");
    }
    Ok(())
}

/// `None` for a migration that has not begun.
async fn start(store: &Store, name: &str, is_new: bool) -> Result<Option<Progress>, StoreError> {
    if !is_new {
        return store.snapshot().await?.get(MIGRATIONS.at(name)).await;
    }
    let mark = store.transact(|txn| async move {
        txn.put(MIGRATIONS.at(name), &Progress::Done);
        Ok::<_, StoreError>(())
    });
    mark.await?;
    Ok(Some(Progress::Done))
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
