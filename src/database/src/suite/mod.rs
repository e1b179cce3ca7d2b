//! The contract of engines as tests: `engine_suite!` makes a `#[tokio::test]` of each. The memory
//! engine is the model; an engine that passes can take its place.

#![expect(clippy::missing_panics_doc, reason = "a test that fails panics")]

pub mod conflicts;
pub mod followers;
pub mod numbers;
pub mod reading;
pub mod writing;

use crate::{
    error::StoreError,
    key::Key,
    numbers::{RoomNumber, UserNumber},
    read::{Read, Snapshot},
    stamp::{Placed, Position, Stamp},
    store::Store,
    table::{Rows, Table},
    txn::Txn,
    value::Value,
};

/// Bytes of written keys that the engines under test remember.
pub const WINDOW_BYTES: usize = 256 << 10;

static MEMBERS: Table<(RoomNumber, UserNumber), Placed<u64>> = Table::new("suite_members");
static MEMBER_LOG: Table<(RoomNumber, Position), u64> = Table::new("suite_member_log");
static NAMES: Table<String, String> = Table::new("suite_names");
static COUNTS: Table<u64, u64> = Table::new("suite_counts");

const ROOM: RoomNumber = RoomNumber(7);
const ALICE: UserNumber = UserNumber(1);
const BOB: UserNumber = UserNumber(2);

/// One test for each case of the suite. `$fixture` is a function that makes something with
/// a field `store`: an empty [`Store`] of the engine under test, with a window of
/// [`WINDOW_BYTES`](crate::suite::WINDOW_BYTES).
#[macro_export]
macro_rules! engine_suite {
    ($fixture:path) => {
        $crate::engine_suite! { $fixture;
            conflicts::a_changed_row_runs_the_body_again,
            conflicts::a_new_row_in_a_range_that_was_read_runs_the_body_again,
            conflicts::an_append_to_a_log_that_was_read_runs_the_body_again,
            conflicts::what_lies_beyond_a_full_page_may_change,
            conflicts::clearing_a_row_that_was_read_runs_the_body_again,
            conflicts::clearing_a_range_that_was_read_runs_the_body_again,
            conflicts::reads_older_than_the_window_run_the_body_again,
            conflicts::commits_of_one_group_conflict_with_each_other,
            conflicts::concurrent_increments_all_count,
            conflicts::a_body_that_always_loses_is_contended,
            conflicts::blind_writes_never_conflict,
            followers::one_commit_tells_each_concern_once,
            followers::a_value_enters_a_log_once_per_commit,
            followers::a_follower_waits_and_resumes_at_its_cursor,
            followers::trimming_spares_what_a_follower_still_needs,
            followers::a_migration_runs_once_in_chunks_after_its_checkpoint,
            followers::a_migration_whose_checkpoint_failed_has_not_begun,
            followers::a_new_database_has_nothing_to_migrate,
            numbers::one_string_has_one_number_whoever_interns_it,
            numbers::an_aborted_intern_leaves_no_trace,
            numbers::an_allocator_never_gives_a_number_twice,
            reading::pages_go_both_ways_from_a_position,
            reading::a_long_range_is_read_whole_both_ways,
            reading::many_rows_come_in_the_order_asked,
            reading::a_snapshot_does_not_change,
            reading::ranges_stay_in_their_table_and_prefix,
            reading::an_unwritten_table_is_empty,
            writing::many_appends_of_one_commit_keep_their_order,
            writing::a_body_reads_its_own_puts_and_deletes,
            writing::a_body_reads_its_own_clears,
            writing::a_body_pages_through_its_own_writes,
            writing::the_last_write_of_a_row_counts,
            writing::clearing_many_rows_leaves_none,
            writing::a_clear_meets_what_others_put_at_the_same_time,
            writing::a_body_that_writes_nothing_takes_no_stamp,
            writing::an_error_of_the_body_leaves_no_trace,
            writing::what_may_wait_is_committed_soon,
            writing::what_may_wait_rides_along_with_what_may_not,
            writing::a_commit_is_visible_when_it_is_answered,
            writing::great_and_empty_values_come_back,
        }
    };
    ($fixture:path; $($module:ident::$case:ident,)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let fixture = $fixture();
            $crate::suite::$module::$case(&fixture.store).await;
        }
    )* };
}

type Result<T> = std::result::Result<T, StoreError>;

async fn db(store: &Store) -> Snapshot {
    store.snapshot().await.expect("a snapshot")
}

/// Commits and gives the stamp.
async fn write(store: &Store, body: impl Fn(&Txn)) -> Stamp {
    let commit = store.transact::<(), StoreError, _>(|txn| {
        body(&txn);
        std::future::ready(Ok(()))
    });
    commit.await.expect("a commit").1
}

async fn page<K: Key, V: Value>(db: &impl Read, rows: Rows<K, V>, limit: usize) -> Vec<(K, V)> {
    db.page(rows, limit).await.expect("a page")
}

async fn get_count(store: &Store, key: u64) -> Option<u64> {
    db(store).await.get(COUNTS.at(key)).await.expect("a read")
}
