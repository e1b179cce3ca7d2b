//! A file that is still being written: in the folder `incoming`, under a random name, and hashed on
//! the way.
//!
//! Memory is one buffer whatever the size of the file. A draft that is dropped is deleted; one that
//! a crash leaves behind is deleted at the next start.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ring::digest;

use super::{Blocking, FileSystem, WriteFile};
use crate::id::ContentHash;

/// Bytes that are collected before a thread hashes and writes them: few at first, because a slow
/// sender holds them for long, then enough that the hop costs little.
const FIRST_BUFFER: usize = 32 * 1024;
const LARGEST_BUFFER: usize = 256 * 1024;

/// Written by [`Draft::write`], complete with [`Draft::finish`].
pub struct Draft {
    path: PathBuf,
    files: Arc<dyn FileSystem>,
    blocking: Blocking,
    buffer: Vec<u8>,
    /// Bytes at which the buffer is written.
    capacity: usize,
    written: u64,
    /// `None` only while a thread has it.
    open: Option<Open>,
    /// Ends with this value.
    remains: Remains,
}

/// What a thread needs to go on writing.
struct Open {
    /// Created with the first write, so that a small file takes one hop in all.
    file: Option<Box<dyn WriteFile>>,
    hash: digest::Context,
}

/// A draft whose content is durable, though not its name.
pub struct Finished {
    pub path: PathBuf,
    pub hash: ContentHash,
    pub size: u64,
    _remains: Remains,
}

/// Deletes the file unless it was renamed.
struct Remains {
    path: PathBuf,
    files: Arc<dyn FileSystem>,
}

impl Drop for Remains {
    fn drop(&mut self) {
        // A rename has taken it, or it was never created; otherwise the next start deletes it.
        let _ = self.files.remove(&self.path);
    }
}

impl Draft {
    pub(super) fn new(path: PathBuf, files: Arc<dyn FileSystem>, blocking: Blocking) -> Self {
        Self {
            remains: Remains {
                path: path.clone(),
                files: files.clone(),
            },
            path,
            files,
            blocking,
            buffer: Vec::new(),
            capacity: FIRST_BUFFER,
            written: 0,
            open: Some(Open {
                file: None,
                hash: digest::Context::new(&digest::SHA256),
            }),
        }
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that a reader of the file would find.
    pub(crate) fn flushed(&self) -> u64 {
        self.written
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = self.capacity - self.buffer.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            if self.buffer.capacity() == 0 {
                self.buffer.reserve_exact(self.capacity);
            }
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == self.capacity {
                self.flush().await?;
                self.capacity = (2 * self.capacity).min(LARGEST_BUFFER);
            }
        }
        Ok(())
    }

    /// Hands everything so far to the operating system.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        let taken = self.open.take();
        let mut open = taken.ok_or_else(|| io::Error::other("an earlier write failed"))?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let (files, path) = (self.files.clone(), self.path.clone());
        self.written += buffer.len() as u64;
        let (open, buffer) = self
            .blocking
            .run(move || -> io::Result<_> {
                open.write(&*files, &path, &buffer)?;
                buffer.clear();
                Ok((open, buffer))
            })
            .await?;
        self.open = Some(open);
        self.buffer = buffer;
        Ok(())
    }

    /// Writes the rest and syncs the content.
    pub async fn finish(mut self) -> io::Result<Finished> {
        let taken = self.open.take();
        let mut open = taken.ok_or_else(|| io::Error::other("an earlier write failed"))?;
        let (files, path) = (self.files.clone(), self.path.clone());
        let (size, buffer) = (self.len(), self.buffer);
        let hash = self
            .blocking
            .run(move || -> io::Result<_> {
                open.write(&*files, &path, &buffer)?;
                if let Some(file) = &mut open.file {
                    file.sync()?;
                }
                Ok(open.hash.finish())
            })
            .await?;
        let hash = hash.as_ref().try_into().map(ContentHash);
        Ok(Finished {
            path: self.path,
            hash: hash.map_err(io::Error::other)?,
            size,
            _remains: self.remains,
        })
    }
}

impl Open {
    fn write(&mut self, files: &dyn FileSystem, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(files.create(path)?),
        };
        self.hash.update(bytes);
        file.write(bytes)
    }
}
