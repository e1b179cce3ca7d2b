//! Media of other servers, and pages and services, by way of federation's guarded client (server-server API, "Content Repository").

mod client;
mod multipart;

use std::{io, time::Duration};

use database::engine::BoxFuture;
use federation::{
    Federation, FederationError,
    client::{Body, HttpClient as Guarded, Limits},
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{
    HeaderMap, Response, StatusCode,
    header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
};
use http_body_util::BodyExt as _;
use ruma::{api::error::ErrorCode, http_headers::ContentDisposition};

pub use self::client::GuardedClient;
use self::multipart::Parts;
use crate::{
    client::{ClientBody, ClientRequest, HttpClient as _, Redirects},
    id::Mxc,
    remote::{RemoteError, RemoteFile, RemoteSource},
    storage::Bits,
    upload::FileInfo,
};

/// For connecting and the head of the answer, besides what the other server waits for an upload.
const HEAD: Duration = Duration::from_secs(30);
/// For a whole file; the fetch itself is bounded more tightly by its progress.
const WHOLE: Duration = Duration::from_mins(30);
/// The wrapping of a file, beside the file.
const WRAPPING: u64 = 256 * 1024;

/// Fetches media from the servers that have it. Cheap to clone.
#[derive(Clone)]
pub struct FederatedMedia {
    federation: Federation,
    /// For files that the other server keeps elsewhere.
    client: GuardedClient,
    /// Of one file.
    most_bytes: u64,
}

impl FederatedMedia {
    pub fn new(federation: Federation, client: Guarded, most_bytes: u64) -> Self {
        Self {
            federation,
            client: GuardedClient::new(client, most_bytes),
            most_bytes,
        }
    }

    async fn fetch_file(&self, mxc: &Mxc, patience: Duration) -> Result<RemoteFile, RemoteError> {
        let milliseconds = patience.as_millis();
        let id = mxc.id();
        let path = format!("/_matrix/federation/v1/media/download/{id}?timeout_ms={milliseconds}");
        let limits = self.limits(patience);
        match self.federation.stream(mxc.server(), &path, limits).await {
            Ok(response) => self.file_of(response).await,
            Err(error) if is_unrecognized(&error) => {
                // Servers from before authenticated media.
                let server = mxc.server();
                let path = format!("/_matrix/media/v3/download/{server}/{id}?allow_remote=false");
                let response = self.federation.stream(mxc.server(), &path, limits).await;
                Ok(plain_file(response.map_err(|error| refused(&error))?))
            }
            Err(error) => Err(refused(&error)),
        }
    }

    /// The file is the second part of the answer, or somewhere else that this part names.
    async fn file_of(&self, response: Response<Body>) -> Result<RemoteFile, RemoteError> {
        let (head, body) = response.into_parts();
        let malformed = |error: io::Error| RemoteError::Unreachable(error.to_string());
        let parts = Parts::of(&head.headers, bits(body)).map_err(malformed)?;
        let (headers, bits) = parts.second().await.map_err(malformed)?;
        match headers.get(LOCATION) {
            None => Ok(RemoteFile {
                info: info(&headers),
                size: None,
                bits,
            }),
            Some(location) => self.elsewhere(location.as_bytes()).await,
        }
    }

    async fn elsewhere(&self, location: &[u8]) -> Result<RemoteFile, RemoteError> {
        let unreachable = |error: String| RemoteError::Unreachable(error);
        let uri = http::Uri::try_from(location).map_err(|error| unreachable(error.to_string()))?;
        if uri.scheme_str() != Some("https") {
            return Err(unreachable(
                "it is kept at an address without TLS".to_owned(),
            ));
        }
        let request = http::Request::get(uri).body(ClientBody::Whole(bytes::Bytes::new()));
        let request = ClientRequest {
            request: request.map_err(|error| unreachable(error.to_string()))?,
            redirects: Redirects::Follow,
        };
        let response = self.client.send(request).await;
        let response = response.map_err(|error| unreachable(error.to_string()))?;
        if !response.status().is_success() {
            return Err(unreachable(format!(
                "it is kept where the answer is {}",
                response.status()
            )));
        }
        let (head, bits) = response.into_parts();
        Ok(RemoteFile {
            info: info(&head.headers),
            size: size(&head.headers),
            bits,
        })
    }

    fn limits(&self, patience: Duration) -> Limits {
        Limits {
            head: HEAD + patience,
            stall: HEAD,
            whole: WHOLE + patience,
            bytes: self.most_bytes.saturating_add(WRAPPING),
        }
    }
}

impl RemoteSource for FederatedMedia {
    fn fetch(
        &self,
        mxc: Mxc,
        patience: Duration,
    ) -> BoxFuture<'static, Result<RemoteFile, RemoteError>> {
        let own = self.clone();
        Box::pin(async move { own.fetch_file(&mxc, patience).await })
    }
}

fn plain_file(response: Response<Body>) -> RemoteFile {
    let (head, body) = response.into_parts();
    RemoteFile {
        info: info(&head.headers),
        size: size(&head.headers),
        bits: bits(body),
    }
}

fn bits(body: Body) -> Bits {
    body.into_data_stream().map_err(io::Error::other).boxed()
}

fn info(headers: &HeaderMap) -> FileInfo {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let disposition = text(CONTENT_DISPOSITION);
    let disposition = disposition.and_then(|text| text.parse::<ContentDisposition>().ok());
    FileInfo {
        content_type: text(CONTENT_TYPE).map(str::to_owned),
        file_name: disposition.and_then(|disposition| disposition.filename),
    }
}

fn size(headers: &HeaderMap) -> Option<u64> {
    let size = headers.get(CONTENT_LENGTH)?;
    size.to_str().ok()?.parse().ok()
}

fn is_unrecognized(error: &FederationError) -> bool {
    let FederationError::Refused { error, .. } = error else {
        return false;
    };
    let is_unknown = matches!(
        error.status,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
    );
    is_unknown && matches!(error.errcode, Some(ErrorCode::Unrecognized) | None)
}

fn refused(error: &FederationError) -> RemoteError {
    let FederationError::Refused { error, .. } = error else {
        return RemoteError::Unreachable(error.to_string());
    };
    let errcode = error.errcode.as_ref().map(ErrorCode::as_str);
    match (errcode, error.status) {
        (Some("M_NOT_YET_UPLOADED"), _) => RemoteError::NotYetUploaded,
        (Some("M_TOO_LARGE"), _) => RemoteError::TooLarge,
        (_, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) => RemoteError::NotFound,
        _ => RemoteError::Unreachable(error.to_string()),
    }
}
