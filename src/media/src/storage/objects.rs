//! Contents in an object store, such as S3: `prefix/ab/cd/abcd…`, as in a folder.

use std::{fmt, io, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use database::engine::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutPayload, WriteMultipart, path::Path,
    signer::Signer,
};

use super::{Bits, Blocking, FileSystem, Finished, Storage};
use crate::id::ContentHash;

/// Bytes of one part of an upload: the least that S3 takes.
const PART: usize = 5 * 1024 * 1024;
/// How long a signed URL opens a content.
const REDIRECT: Duration = Duration::from_mins(5);
const PAGE: usize = 1000;

/// A bucket of contents. Cheap to clone.
#[derive(Clone)]
pub struct ObjectStorage {
    store: Arc<dyn ObjectStore>,
    /// Signs URLs, if clients can reach the store themselves.
    signer: Option<Arc<dyn Signer>>,
    files: Arc<dyn FileSystem>,
    blocking: Blocking,
}

impl ObjectStorage {
    /// `files` and `blocking` read the drafts.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        signer: Option<Arc<dyn Signer>>,
        files: Arc<dyn FileSystem>,
        blocking: Blocking,
    ) -> Self {
        Self {
            store,
            signer,
            files,
            blocking,
        }
    }

    async fn upload(&self, draft: &Finished) -> io::Result<()> {
        let path = path(draft.hash);
        if draft.size <= PART as u64 {
            let bytes = self.read_part(draft, 0).await?;
            let put = self.store.put(&path, PutPayload::from(bytes)).await;
            return put.map(|_| ()).map_err(failed);
        }
        let upload = self.store.put_multipart(&path).await.map_err(failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        match self.upload_parts(&mut upload, draft).await {
            Ok(()) => upload.finish().await.map(|_| ()).map_err(failed),
            Err(error) => {
                if let Err(error) = upload.abort().await {
                    tracing::warn!(%error, "an object store keeps parts of an upload that failed");
                }
                Err(error)
            }
        }
    }

    async fn upload_parts(&self, upload: &mut WriteMultipart, draft: &Finished) -> io::Result<()> {
        let mut at = 0;
        while at < draft.size {
            // One part is on its way while the next is read.
            upload.wait_for_capacity(1).await.map_err(failed)?;
            let bytes = self.read_part(draft, at).await?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            at += bytes.len() as u64;
            upload.put(bytes);
        }
        Ok(())
    }

    async fn read_part(&self, draft: &Finished, at: u64) -> io::Result<Bytes> {
        if draft.size == 0 {
            return Ok(Bytes::new());
        }
        let (files, path) = (self.files.clone(), draft.path.clone());
        let read = move || files.open(&path)?.read(at, PART);
        Ok(self.blocking.run(read).await?.into())
    }
}

impl Storage for ObjectStorage {
    fn keep<'a>(&'a self, draft: &'a Finished) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(self.upload(draft))
    }

    fn confirm(&self, _: ContentHash) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn read(&self, hash: ContentHash, range: Range<u64>) -> BoxFuture<'_, io::Result<Bits>> {
        Box::pin(async move {
            if range.is_empty() {
                return Ok(stream::empty().boxed());
            }
            let options = GetOptions {
                range: Some(GetRange::Bounded(range)),
                ..GetOptions::default()
            };
            let found = self.store.get_opts(&path(hash), options).await;
            let bits = found.map_err(failed)?.into_stream();
            Ok(bits.map_err(failed).boxed())
        })
    }

    fn size(&self, hash: ContentHash) -> BoxFuture<'_, io::Result<Option<u64>>> {
        Box::pin(async move {
            match self.store.head(&path(hash)).await {
                Ok(found) => Ok(Some(found.size)),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(failed(error)),
            }
        })
    }

    fn remove(&self, hash: ContentHash) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            match self.store.delete(&path(hash)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(failed(error)),
            }
        })
    }

    fn list(&self, after: Option<ContentHash>) -> BoxFuture<'_, io::Result<Vec<ContentHash>>> {
        Box::pin(async move {
            let found = match after {
                Some(after) => self.store.list_with_offset(None, &path(after)),
                None => self.store.list(None),
            };
            let name = |found: object_store::Result<object_store::ObjectMeta>| async {
                match found {
                    Ok(found) => ContentHash::parse(found.location.filename()?).map(Ok),
                    Err(error) => Some(Err(failed(error))),
                }
            };
            found.filter_map(name).take(PAGE).try_collect().await
        })
    }

    fn redirect(&self, hash: ContentHash) -> BoxFuture<'_, io::Result<Option<String>>> {
        Box::pin(async move {
            let Some(signer) = &self.signer else {
                return Ok(None);
            };
            let url = signer.signed_url(Method::GET, &path(hash), REDIRECT).await;
            url.map(|url| Some(url.into())).map_err(failed)
        })
    }
}

impl fmt::Debug for ObjectStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectStorage({})", self.store)
    }
}

fn path(hash: ContentHash) -> Path {
    let name = hash.to_string();
    Path::from_iter([&name[..2], &name[2..4], &name])
}

fn failed(error: object_store::Error) -> io::Error {
    match error {
        object_store::Error::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, error),
        error => io::Error::other(error),
    }
}
