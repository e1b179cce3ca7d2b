//! The scanner hook: a program or service of the operator that sees each file before anybody else
//! does.

use std::{io, path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use database::engine::BoxFuture;
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, StatusCode, Uri, header::CONTENT_TYPE};
use tokio::{process::Command, time::timeout};

use crate::{
    client::{ClientBody, ClientRequest, HttpClient, Redirects},
    config::ScanFailure,
    error::UploadError,
    media::Media,
    storage::{Blocking, FileSystem, Finished},
    upload::FileInfo,
};

/// Bytes that are read at once for a service.
const READ: usize = 256 * 1024;

/// Looks at a file that is not stored yet.
pub trait Scanner: Send + Sync {
    /// An error means that the file could not be scanned.
    fn scan(&self, file: Scanned) -> BoxFuture<'static, io::Result<ScanVerdict>>;
}

/// What a scanner is told of a file.
#[derive(Clone, Debug)]
pub struct Scanned {
    pub path: PathBuf,
    pub size: u64,
    pub content_type: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanVerdict {
    Clean,
    Refused,
}

impl Media {
    /// Asks the scanner, if there is one.
    pub(crate) async fn scan(&self, draft: &Finished, info: &FileInfo) -> Result<(), UploadError> {
        let Some(scanner) = &self.0.needs.scanner else {
            return Ok(());
        };
        if draft.size == 0 {
            return Ok(());
        }
        let file = Scanned {
            path: draft.path.clone(),
            size: draft.size,
            content_type: info.content_type.clone(),
        };
        match (scanner.scan(file).await, self.0.config.scan_failure) {
            (Ok(ScanVerdict::Clean), _) => Ok(()),
            (Ok(ScanVerdict::Refused), _) => {
                tracing::warn!(hash = %draft.hash, "the scanner refused a file");
                Err(UploadError::Refused)
            }
            (Err(error), ScanFailure::Accept) => {
                tracing::warn!(%error, "a file was stored without a scan");
                Ok(())
            }
            (Err(error), ScanFailure::Refuse) => Err(UploadError::Scan(error.to_string())),
        }
    }
}

/// A program, run with the path of the file as its last argument: it ends with 0 for a clean file
/// and 1 for one to refuse, as `clamdscan` does.
#[derive(Clone, Debug)]
pub struct CommandScanner {
    /// The program and its first arguments.
    pub command: Vec<String>,
    pub timeout: Duration,
}

impl Scanner for CommandScanner {
    fn scan(&self, file: Scanned) -> BoxFuture<'static, io::Result<ScanVerdict>> {
        let (command, limit) = (self.command.clone(), self.timeout);
        Box::pin(async move {
            let Some((program, arguments)) = command.split_first() else {
                return Err(io::Error::other("the scanner's command is empty"));
            };
            let mut child = Command::new(program)
                .args(arguments)
                .arg(&file.path)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()?;
            let ended = timeout(limit, child.wait()).await;
            let status = ended.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            match status.code() {
                Some(0) => Ok(ScanVerdict::Clean),
                Some(1) => Ok(ScanVerdict::Refused),
                _ => Err(io::Error::other(format!("the scanner ended with {status}"))),
            }
        })
    }
}

/// A service that takes each file by POST: it answers 2xx for a clean file and 403 for one to
/// refuse.
#[derive(Clone)]
pub struct HttpScanner {
    pub url: Uri,
    pub timeout: Duration,
    pub client: Arc<dyn HttpClient>,
    pub files: Arc<dyn FileSystem>,
    pub blocking: Blocking,
}

impl Scanner for HttpScanner {
    fn scan(&self, file: Scanned) -> BoxFuture<'static, io::Result<ScanVerdict>> {
        let own = self.clone();
        Box::pin(async move {
            let limit = own.timeout;
            let ended = timeout(limit, own.ask(file)).await;
            ended.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
        })
    }
}

impl HttpScanner {
    async fn ask(self, file: Scanned) -> io::Result<ScanVerdict> {
        let (files, blocking, path) = (self.files, self.blocking, file.path);
        let bits = stream::try_unfold(0, move |at| {
            let (files, path) = (files.clone(), path.clone());
            let read = move || files.open(&path)?.read(at, READ);
            let reading = blocking.clone();
            async move {
                let bytes = reading.run(read).await?;
                let next = at + bytes.len() as u64;
                Ok::<_, io::Error>((!bytes.is_empty()).then(|| (bytes.into(), next)))
            }
        });
        let body = ClientBody::Stream {
            size: file.size,
            bits: bits.boxed(),
        };
        let mut request = http::Request::post(self.url)
            .body(body)
            .map_err(io::Error::other)?;
        let kind = file.content_type.as_deref();
        let kind = kind.and_then(|kind| HeaderValue::from_str(kind).ok());
        let unknown = HeaderValue::from_static("application/octet-stream");
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, kind.unwrap_or(unknown));
        let request = ClientRequest {
            request,
            redirects: Redirects::Return,
        };
        let status = self.client.send(request).await?.status();
        match status {
            StatusCode::FORBIDDEN => Ok(ScanVerdict::Refused),
            status if status.is_success() => Ok(ScanVerdict::Clean),
            status => Err(io::Error::other(format!("the scanner answered {status}"))),
        }
    }
}
