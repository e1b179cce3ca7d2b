//! A disk in memory that knows what would survive a power loss: names in folders that were synced,
//! and contents that were.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use media::storage::{FileSystem, ReadFile, WriteFile};

#[derive(Clone, Default)]
pub(crate) struct TestDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    names: BTreeMap<PathBuf, u64>,
    folders: BTreeSet<PathBuf>,
    durable_names: BTreeMap<PathBuf, u64>,
    durable_folders: BTreeSet<PathBuf>,
    contents: HashMap<u64, Content>,
    next: u64,
    /// What was done, in order: the operation and the last part of the path.
    log: Vec<String>,
    /// Operations that still succeed.
    left: Option<usize>,
    is_full: bool,
    largest_write: usize,
    written: u64,
}

#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
}

impl TestDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After this many more operations that change something, all fail, as if the process was dead.
    pub(crate) fn die_after(&self, operations: usize) {
        self.state().left = Some(operations);
    }

    pub(crate) fn fill(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    /// The process is gone; the machine runs on.
    pub(crate) fn restart(&self) {
        self.state().left = None;
    }

    /// Everything that was not synced is gone.
    pub(crate) fn lose_power(&self) {
        let mut state = self.state();
        let state = &mut *state;
        state.left = None;
        state.folders = state.durable_folders.clone();
        state.names = state.durable_names.clone();
        for content in state.contents.values_mut() {
            content.now = content.durable.clone();
        }
    }

    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    pub(crate) fn remove_file(&self, path: &Path) {
        self.state().names.remove(path);
    }

    pub(crate) fn largest_write(&self) -> usize {
        self.state().largest_write
    }

    pub(crate) fn written(&self) -> u64 {
        self.state().written
    }
}

impl State {
    fn step(&mut self, operation: &str, path: &Path) -> io::Result<()> {
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(1)
                .ok_or_else(|| io::Error::other("the process is dead"))?;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.log.push(format!("{operation} {name}"));
        Ok(())
    }
}

impl FileSystem for TestDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut state = self.state();
        state.step("create", path)?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let parent = path.parent().expect("files are in folders");
        if !state.folders.contains(parent) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.next += 1;
        let number = state.next;
        state.contents.insert(number, Content::default());
        state.names.insert(path.to_owned(), number);
        Ok(Box::new(Writing {
            disk: self.clone(),
            number,
            path: path.to_owned(),
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        let state = self.state();
        let number = state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Reading {
            disk: self.clone(),
            number: *number,
        }))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step("folder", path)?;
        if state.folders.insert(path.to_owned()) {
            Ok(())
        } else {
            Err(io::ErrorKind::AlreadyExists.into())
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step("sync folder", path)?;
        let state = &mut *state;
        let is_inside = |other: &Path| other.parent() == Some(path);
        state.durable_names.retain(|name, _| !is_inside(name));
        let names = state.names.iter().filter(|(name, _)| is_inside(name));
        let names: Vec<_> = names
            .map(|(name, number)| (name.clone(), *number))
            .collect();
        state.durable_names.extend(names);
        let folders = state.folders.iter().filter(|folder| is_inside(folder));
        let folders: Vec<_> = folders.cloned().collect();
        state.durable_folders.extend(folders);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step("rename", to)?;
        let number = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), number);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.step("remove", path)?;
        state.names.remove(path);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let all = state.names.keys().chain(&state.folders);
        let inside = all.filter(|name| name.parent() == Some(path));
        let names = inside.filter_map(|name| name.file_name());
        Ok(names
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        let state = self.state();
        let number = state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(state.contents[number].now.len() as u64)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step("link", to)?;
        let number = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), number);
        Ok(())
    }
}

struct Writing {
    disk: TestDisk,
    number: u64,
    path: PathBuf,
}

impl WriteFile for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step("write", &self.path)?;
        if state.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.largest_write = state.largest_write.max(bytes.len());
        state.written += bytes.len() as u64;
        let content = state.contents.entry(self.number).or_default();
        content.now.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step("sync", &self.path)?;
        let content = state.contents.entry(self.number).or_default();
        content.durable = content.now.clone();
        Ok(())
    }
}

struct Reading {
    disk: TestDisk,
    number: u64,
}

impl ReadFile for Reading {
    fn read(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let state = self.disk.state();
        let content = &state.contents[&self.number].now;
        let start = usize::try_from(offset)
            .map_err(io::Error::other)?
            .min(content.len());
        let end = start.saturating_add(length).min(content.len());
        Ok(content[start..end].to_vec())
    }
}
