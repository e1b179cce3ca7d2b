//! database-rocksdb.
