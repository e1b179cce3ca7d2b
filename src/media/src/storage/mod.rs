//! Where content is kept: by its hash, once, in files or in an object store.
//!
//! Everything new is first a [`Draft`] on the local disk, because its name, the hash, is known only
//! at its end.

mod blocking;
mod draft;
mod file_system;
mod files;
mod objects;
mod s3;

use std::{io, ops::Range};

use bytes::Bytes;
use database::engine::BoxFuture;
use futures_util::stream::BoxStream;

pub use self::{
    blocking::Blocking,
    draft::{Draft, Finished},
    file_system::{Disk, FileSystem, ReadFile, WriteFile},
    files::FileStorage,
    objects::ObjectStorage,
    s3::{S3Settings, s3_storage},
};
use crate::id::ContentHash;

/// A file's bytes as they are read. Ends early with an error only.
pub type Bits = BoxStream<'static, io::Result<Bytes>>;

/// Contents by their hash.
///
/// Callers hold the lock of a hash while they [`keep`](Storage::keep) or
/// [`remove`](Storage::remove) it.
pub trait Storage: Send + Sync {
    /// Makes the content durable under its hash. The draft's file may be taken.
    fn keep<'a>(&'a self, draft: &'a Finished) -> BoxFuture<'a, io::Result<()>>;

    /// The row that refers to a kept content is durable: it is no orphan of a crash any more.
    fn confirm(&self, hash: ContentHash) -> BoxFuture<'_, io::Result<()>>;

    /// Part of a content, which has `size` bytes. Fails with `NotFound` if it is not here.
    fn read(&self, hash: ContentHash, range: Range<u64>) -> BoxFuture<'_, io::Result<Bits>>;

    /// Its size, if it is here.
    fn size(&self, hash: ContentHash) -> BoxFuture<'_, io::Result<Option<u64>>>;

    /// Succeeds also if it is not here.
    fn remove(&self, hash: ContentHash) -> BoxFuture<'_, io::Result<()>>;

    /// Contents in order of their hashes, those after `after` first, a page at a time; empty at the
    /// end.
    fn list(&self, after: Option<ContentHash>) -> BoxFuture<'_, io::Result<Vec<ContentHash>>>;

    /// A URL from which clients may take a content themselves for a short time, if the storage
    /// offers that.
    fn redirect(&self, hash: ContentHash) -> BoxFuture<'_, io::Result<Option<String>>>;
}
