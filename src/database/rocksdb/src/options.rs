//! The engine's options, and RocksDB's settings that follow from them.

use std::path::PathBuf;

use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DataBlockIndexType, InfoLogger, LogLevel,
    LruCacheOptions, WriteBufferManager, statistics::StatsLevel,
};
use tokio_util::task::TaskTracker;

/// How to open a database. Its memory is the first four sizes, plus short-lived buffers.
#[derive(Clone, Debug)]
pub struct Options {
    pub path: PathBuf,
    /// The Matrix server whose data it is. A database of another server is refused; a new one, or
    /// one without a name, gets this name. `None` takes any.
    pub server_name: Option<String>,
    /// Uncompressed blocks, and the indexes and filters of files.
    pub block_cache_bytes: usize,
    /// Writes that are not in table files yet; also the approximate bound of the log's size.
    pub write_buffer_bytes: usize,
    /// Keys of recent commits, kept for finding conflicts.
    pub window_bytes: usize,
    /// Commits that wait for the committer; further callers wait for room.
    pub queue_bytes: usize,
    pub max_open_files: i32,
    /// Cold reads that may wait for the disk at once.
    pub cold_reads: usize,
    /// Owns the cold reads.
    pub tasks: TaskTracker,
}

impl Options {
    pub fn new(path: impl Into<PathBuf>, tasks: TaskTracker) -> Self {
        Self {
            path: path.into(),
            server_name: None,
            block_cache_bytes: 64 << 20,
            write_buffer_bytes: 16 << 20,
            window_bytes: 4 << 20,
            queue_bytes: 8 << 20,
            max_open_files: 256,
            cold_reads: 16,
            tasks,
        }
    }

    #[must_use]
    pub fn with_server_name(mut self, server_name: impl Into<String>) -> Self {
        self.server_name = Some(server_name.into());
        self
    }

    /// Divides a budget in bytes: about two thirds cache, a fifth writes, the rest the others.
    #[must_use]
    pub fn with_budget(mut self, bytes: usize) -> Self {
        self.write_buffer_bytes = (bytes / 5).clamp(2 << 20, 64 << 20);
        self.window_bytes = (bytes / 24).clamp(1 << 20, 8 << 20);
        self.queue_bytes = (bytes / 12).clamp(2 << 20, 16 << 20);
        let rest = self.write_buffer_bytes + self.window_bytes + self.queue_bytes;
        self.block_cache_bytes = bytes.saturating_sub(rest).max(2 << 20);
        self
    }

    pub(crate) fn rocksdb(&self) -> rocksdb::Options {
        let mut cache = LruCacheOptions::default();
        // Memtables are charged to the cache, so that the sum of both is kept.
        cache.set_capacity(self.block_cache_bytes + self.write_buffer_bytes);
        cache.set_num_shard_bits(3);
        let cache = Cache::new_lru_cache_opts(&cache);
        let mut options = rocksdb::Options::default();
        options.set_block_based_table_factory(&block_options(&cache));
        options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager_with_cache(
            self.write_buffer_bytes,
            false,
            cache,
        ));
        options.set_write_buffer_size(self.write_buffer_bytes / 2);
        options.set_max_write_buffer_number(3);
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(0.04);
        set_compression(&mut options);
        set_background_work(&mut options);
        // A log that was closed and synced has to be there with its size as long as it is needed.
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_max_open_files(self.max_open_files);
        options.set_max_file_opening_threads(2);
        options.enable_statistics();
        options.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
        options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, log));
        options
    }
}

fn block_options(cache: &Cache) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(8 << 10);
    table.set_bloom_filter(10.0, false);
    table.set_whole_key_filtering(true);
    table.set_optimize_filters_for_memory(true);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    table
}

fn set_compression(options: &mut rocksdb::Options) {
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    // Level 1: half the time of the default for about a tenth more space.
    options.set_bottommost_compression_options(-14, 1, 0, 0, true);
}

fn set_background_work(options: &mut rocksdb::Options) {
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(1 << 20);
    options.set_avoid_unnecessary_blocking_io(true);
    // One thread writes: nothing to coordinate.
    options.set_allow_concurrent_memtable_write(false);
    options.set_enable_write_thread_adaptive_yield(false);
    options.set_max_manifest_file_size(16 << 20);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
}

/// RocksDB's own messages go to the server's log, so it creates no `LOG` files.
fn log(level: LogLevel, message: &str) {
    match level {
        LogLevel::Warn => tracing::warn!(message, "RocksDB warns"),
        LogLevel::Error | LogLevel::Fatal => tracing::error!(message, "RocksDB reports an error"),
        LogLevel::Debug | LogLevel::Info | LogLevel::Header => {}
    }
}
