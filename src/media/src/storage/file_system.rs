//! The few operations on files that media storage needs. A trait, so that tests can record their
//! order, fail them, and lose power between any two of them.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

/// All calls block; they run on [`Blocking`](super::Blocking).
pub trait FileSystem: Send + Sync + 'static {
    /// A new file. Fails if there is one already.
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>>;
    /// Fails with `AlreadyExists` if there is one already.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Replaces what has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder, in any order.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    fn size(&self, path: &Path) -> io::Result<u64>;
    /// The same file under a second name, without a copy where that is possible.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
}

pub trait WriteFile: Send {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes the content durable, not the name.
    fn sync(&mut self) -> io::Result<()>;
}

pub trait ReadFile: Send {
    /// At most `length` bytes from `offset`; fewer only at the end of the file.
    fn read(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl FileSystem for Disk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        Ok(Box::new(Reading {
            file: File::open(path)?,
            at: 0,
        }))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(path)?;
        let name = |entry: io::Result<std::fs::DirEntry>| {
            Ok(entry?.file_name().to_string_lossy().into_owned())
        };
        entries.map(name).collect()
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        Ok(std::fs::metadata(path)?.len())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        match std::fs::hard_link(from, to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // Another file system, or one without links.
            Err(_) => {
                std::fs::copy(from, to)?;
                File::open(to)?.sync_all()
            }
            Ok(()) => Ok(()),
        }
    }
}

impl WriteFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

struct Reading {
    file: File,
    at: u64,
}

impl ReadFile for Reading {
    fn read(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        if self.at != offset {
            self.file.seek(SeekFrom::Start(offset))?;
            self.at = offset;
        }
        let mut bytes = Vec::with_capacity(length);
        // The standard library fills the spare capacity without clearing it first.
        (&self.file).take(length as u64).read_to_end(&mut bytes)?;
        self.at += bytes.len() as u64;
        Ok(bytes)
    }
}
