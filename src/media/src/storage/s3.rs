//! An S3-compatible object store, reached by the server's own HTTP client.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body::Frame;
use http_body_util::BodyExt as _;
use object_store::{
    ClientOptions, ObjectStore,
    aws::{AmazonS3, AmazonS3Builder},
    client::{
        HttpClient as StoreClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest,
        HttpResponse, HttpResponseBody, HttpService,
    },
    signer::Signer,
};

use super::{Bits, Blocking, FileSystem, ObjectStorage};
use crate::client::{ClientBody, ClientRequest, HttpClient, Redirects};

/// Where the bucket is, and what opens it.
#[derive(Clone)]
pub struct S3Settings {
    /// Such as `https://s3.example.org`.
    pub endpoint: String,
    pub bucket: String,
    pub region: String,
    pub access_key: String,
    pub secret_key: String,
    /// Whether clients are sent to the store for downloads.
    pub redirect: bool,
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Settings({}, {})", self.endpoint, self.bucket)
    }
}

/// Opens a bucket; nothing is sent yet.
pub fn s3_storage(
    settings: &S3Settings,
    client: Arc<dyn HttpClient>,
    files: Arc<dyn FileSystem>,
    blocking: Blocking,
) -> Result<ObjectStorage, object_store::Error> {
    let store: AmazonS3 = AmazonS3Builder::new()
        .with_endpoint(&settings.endpoint)
        .with_allow_http(settings.endpoint.starts_with("http://"))
        .with_bucket_name(&settings.bucket)
        .with_region(&settings.region)
        .with_access_key_id(&settings.access_key)
        .with_secret_access_key(&settings.secret_key)
        .with_http_connector(Connector(client))
        .build()?;
    let store = Arc::new(store);
    let signer = settings.redirect.then(|| store.clone() as Arc<dyn Signer>);
    let store = store as Arc<dyn ObjectStore>;
    Ok(ObjectStorage::new(store, signer, files, blocking))
}

/// The server's client in the form that the object store wants.
#[derive(Clone, Debug)]
struct Connector(Arc<dyn HttpClient>);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<StoreClient> {
        Ok(StoreClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let body: Bytes = body.collect().await?.to_bytes();
        let request = ClientRequest {
            request: http::Request::from_parts(head, ClientBody::Whole(body)),
            redirects: Redirects::Return,
        };
        let failed = |error| HttpError::new(HttpErrorKind::Request, error);
        let response = self.0.send(request).await.map_err(failed)?;
        Ok(response.map(|bits| HttpResponseBody::new(Received(Mutex::new(bits)))))
    }
}

/// The mutex is never locked: it only makes the stream `Sync`, as the object store wants its
/// bodies.
struct Received(Mutex<Bits>);

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let bits = self.get_mut().0.get_mut();
        let bits = bits.unwrap_or_else(PoisonError::into_inner);
        let interrupted = |error| HttpError::new(HttpErrorKind::Interrupted, error);
        let next = ready!(bits.poll_next_unpin(context));
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data).map_err(interrupted)))
    }
}
