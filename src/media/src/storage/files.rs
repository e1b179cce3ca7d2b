//! Contents as files: `ab/cd/abcd…`, named by their hash, two levels of folders.
//!
//! A name appears only when its content is on disk: the draft is synced, renamed, and its new
//! folder synced; then the caller commits the row. A crash between the last two leaves a file
//! without a row. So that the next start finds it without walking through all files, an empty
//! marker of its name is in `incoming` from before the rename until after the commit.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use database::{Clock, Random, engine::BoxFuture};
use futures_util::{StreamExt as _, stream};

use super::{Bits, Blocking, Draft, FileSystem, Finished, ReadFile, Storage};
use crate::id::ContentHash;

const INCOMING: &str = "incoming";
const DRAFT: &str = "draft-";

/// Bytes that are read at once: at first, for a reader who is slow, and at most.
const FIRST_READ: usize = 64 * 1024;
const LEAST_READ: usize = 16 * 1024;
const LARGEST_READ: usize = 512 * 1024;
/// A reader who takes longer for what was read before is slow.
const SLOW: Duration = Duration::from_millis(500);

/// A folder of contents. Cheap to clone.
#[derive(Clone)]
pub struct FileStorage {
    root: Arc<Path>,
    files: Arc<dyn FileSystem>,
    blocking: Blocking,
    clock: Arc<dyn Clock>,
}

impl FileStorage {
    /// Makes the folder if there is none, and deletes the drafts of an earlier process.
    pub async fn open(
        root: PathBuf,
        files: Arc<dyn FileSystem>,
        blocking: Blocking,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let storage = Self {
            root: root.into(),
            files,
            blocking,
            clock,
        };
        let own = storage.clone();
        storage.blocking.run(move || own.prepare()).await?;
        Ok(storage)
    }

    /// A new draft of a random name.
    pub fn draft(&self, random: &dyn Random) -> Draft {
        let path = self.incoming().join(format!("{DRAFT}{}", random.token(20)));
        Draft::new(path, self.files.clone(), self.blocking.clone())
    }

    /// Contents that a crash may have left without a row.
    pub async fn unconfirmed(&self) -> io::Result<Vec<ContentHash>> {
        let own = self.clone();
        let names = self
            .blocking
            .run(move || own.files.list(&own.incoming()))
            .await?;
        Ok(names
            .iter()
            .filter_map(|name| ContentHash::parse(name))
            .collect())
    }

    /// Reads a draft while it is written, up to what its writer says is there.
    pub(crate) async fn open_draft(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        let (files, path) = (self.files.clone(), path.to_owned());
        self.blocking.run(move || files.open(&path)).await
    }

    /// Gives the content a second name, in a backup.
    pub async fn link(&self, hash: ContentHash, to: &FileStorage) -> io::Result<()> {
        let (own, to) = (self.clone(), to.clone());
        self.blocking
            .run(move || {
                let target = to.path(hash);
                to.make_folders(&target)?;
                match own.files.link(&own.path(hash), &target) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                    linked => linked,
                }?;
                to.files.sync_folder(parent(&target))
            })
            .await
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn blocking(&self) -> &Blocking {
        &self.blocking
    }

    fn incoming(&self) -> PathBuf {
        self.root.join(INCOMING)
    }

    fn marker(&self, hash: ContentHash) -> PathBuf {
        self.incoming().join(hash.to_string())
    }

    fn path(&self, hash: ContentHash) -> PathBuf {
        let name = hash.to_string();
        self.root.join(&name[..2]).join(&name[2..4]).join(&name)
    }

    fn prepare(&self) -> io::Result<()> {
        for folder in [&*self.root, &self.incoming()] {
            self.make_folder(folder)?;
        }
        for name in self.files.list(&self.incoming())? {
            if name.starts_with(DRAFT) {
                self.files.remove(&self.incoming().join(name))?;
            }
        }
        Ok(())
    }

    /// A folder that is there after a power loss, too.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        match self.files.create_folder(folder) {
            Ok(()) => self.files.sync_folder(parent(folder)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn make_folders(&self, path: &Path) -> io::Result<()> {
        let inner = parent(path);
        self.make_folder(parent(inner))?;
        self.make_folder(inner)
    }

    fn keep_now(&self, draft: &Path, hash: ContentHash) -> io::Result<()> {
        let path = self.path(hash);
        self.make_folders(&path)?;
        match self.files.create(&self.marker(hash)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.files.rename(draft, &path)?;
        self.files.sync_folder(parent(&path))
    }
}

/// Paths below the root, and the root itself, always have a parent.
fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

impl Storage for FileStorage {
    fn keep<'a>(&'a self, draft: &'a Finished) -> BoxFuture<'a, io::Result<()>> {
        let own = self.clone();
        let (path, hash) = (draft.path.clone(), draft.hash);
        Box::pin(self.blocking.run(move || own.keep_now(&path, hash)))
    }

    fn confirm(&self, hash: ContentHash) -> BoxFuture<'_, io::Result<()>> {
        let own = self.clone();
        let work = move || ignore_absent(own.files.remove(&own.marker(hash)));
        Box::pin(self.blocking.run(work))
    }

    fn read(&self, hash: ContentHash, range: Range<u64>) -> BoxFuture<'_, io::Result<Bits>> {
        let own = self.clone();
        Box::pin(async move {
            let path = own.path(hash);
            let files = own.files.clone();
            let first = range.end.saturating_sub(range.start);
            let first = usize::try_from(first).unwrap_or(usize::MAX).min(FIRST_READ);
            let start = range.start;
            // The first read comes with the opening: one hop for a small file.
            let (file, bytes) = own
                .blocking
                .run(move || -> io::Result<_> {
                    let mut file = files.open(&path)?;
                    let bytes = file.read(start, first)?;
                    Ok((file, bytes))
                })
                .await?;
            if bytes.len() < first {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let rest = Reader {
                at: start + bytes.len() as u64,
                end: range.end,
                length: FIRST_READ,
                since: own.clock.monotonic(),
                storage: own,
                file,
            };
            let first = (!bytes.is_empty()).then(|| Ok(Bytes::from(bytes)));
            Ok(stream::iter(first).chain(rest.into_stream()).boxed())
        })
    }

    fn size(&self, hash: ContentHash) -> BoxFuture<'_, io::Result<Option<u64>>> {
        let own = self.clone();
        let work = move || match own.files.size(&own.path(hash)) {
            Ok(size) => Ok(Some(size)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        Box::pin(self.blocking.run(work))
    }

    fn remove(&self, hash: ContentHash) -> BoxFuture<'_, io::Result<()>> {
        let own = self.clone();
        let work = move || {
            ignore_absent(own.files.remove(&own.path(hash)))?;
            ignore_absent(own.files.remove(&own.marker(hash)))
        };
        Box::pin(self.blocking.run(work))
    }

    fn list(&self, after: Option<ContentHash>) -> BoxFuture<'_, io::Result<Vec<ContentHash>>> {
        let own = self.clone();
        Box::pin(self.blocking.run(move || own.list_after(after)))
    }

    fn redirect(&self, _: ContentHash) -> BoxFuture<'_, io::Result<Option<String>>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

impl FileStorage {
    /// The first inner folder that has any contents after `after`: a page of one 65,536th of all.
    fn list_after(&self, after: Option<ContentHash>) -> io::Result<Vec<ContentHash>> {
        let least = after.map(|hash| hash.to_string()).unwrap_or_default();
        for outer in self.folders(&self.root)? {
            if least.get(..2).is_some_and(|least| outer.as_str() < least) {
                continue;
            }
            let folder = self.root.join(&outer);
            for inner in self.folders(&folder)? {
                if least
                    .get(..4)
                    .is_some_and(|least| format!("{outer}{inner}").as_str() < least)
                {
                    continue;
                }
                let names = self.files.list(&folder.join(inner))?;
                let hashes = names.iter().filter_map(|name| ContentHash::parse(name));
                let mut page: Vec<_> = hashes
                    .filter(|hash| after.is_none_or(|after| *hash > after))
                    .collect();
                if !page.is_empty() {
                    page.sort_unstable();
                    return Ok(page);
                }
            }
        }
        Ok(Vec::new())
    }

    fn folders(&self, path: &Path) -> io::Result<Vec<String>> {
        let is_folder =
            |name: &String| name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut names = self.files.list(path)?;
        names.retain(is_folder);
        names.sort_unstable();
        Ok(names)
    }
}

/// Reads larger pieces for those who take them fast, and small ones for those who let memory lie.
struct Reader {
    storage: FileStorage,
    file: Box<dyn ReadFile>,
    at: u64,
    end: u64,
    length: usize,
    /// When the piece before was handed out.
    since: Duration,
}

impl Reader {
    fn into_stream(self) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send {
        stream::try_unfold(self, |reader| async move {
            if reader.at >= reader.end {
                return Ok(None);
            }
            reader.next().await.map(Some)
        })
    }

    async fn next(mut self) -> io::Result<(Bytes, Self)> {
        let waited = self.storage.clock.monotonic().saturating_sub(self.since);
        self.length = if waited > SLOW {
            LEAST_READ
        } else {
            (self.length * 2).min(LARGEST_READ)
        };
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let (at, length) = (self.at, self.length.min(left));
        let mut file = self.file;
        let read = move || -> io::Result<_> {
            let bytes = file.read(at, length)?;
            Ok((file, bytes))
        };
        let (file, bytes) = self.storage.blocking.run(read).await?;
        self.file = file;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += bytes.len() as u64;
        self.since = self.storage.clock.monotonic();
        Ok((bytes.into(), self))
    }
}

fn ignore_absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
