//! The client of previews and services, over the guarded one.

use std::{fmt, io, sync::Arc, time::Duration};

use bytes::BytesMut;
use database::engine::BoxFuture;
use federation::client::{HttpClient as Guarded, Limits, Outgoing, Route};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;

use crate::client::{ClientBody, ClientRequest, ClientResponse, HttpClient, Redirects};

const HEAD: Duration = Duration::from_secs(30);
const WHOLE: Duration = Duration::from_mins(30);
const MOST_REDIRECTS: u8 = 5;

/// Bytes of requests that are in memory at once, in units of [`UNIT`].
const SENT: usize = 128 << 20;
const UNIT: usize = 4096;

/// Cheap to clone.
#[derive(Clone)]
pub struct GuardedClient {
    client: Guarded,
    /// Room for the bodies of requests: the guarded client takes them whole.
    room: Arc<Semaphore>,
    /// Of one answer.
    most_bytes: u64,
}

impl GuardedClient {
    pub fn new(client: Guarded, most_bytes: u64) -> Self {
        Self {
            client,
            room: Arc::new(Semaphore::new(SENT / UNIT)),
            most_bytes,
        }
    }

    async fn exchange(self, request: ClientRequest) -> io::Result<ClientResponse> {
        let redirects = match request.redirects {
            Redirects::Follow => MOST_REDIRECTS,
            Redirects::Return => 0,
        };
        let (head, body) = request.request.into_parts();
        let mut held = None;
        let body = match body {
            ClientBody::Whole(bytes) => bytes,
            ClientBody::Stream { size, mut bits } => {
                if size > SENT as u64 {
                    return Err(io::ErrorKind::FileTooLarge.into());
                }
                let units = u32::try_from(size.div_ceil(UNIT as u64)).map_err(io::Error::other)?;
                held = Some(self.room.clone().acquire_many_owned(units).await);
                let mut whole = BytesMut::new();
                while let Some(bytes) = bits.try_next().await? {
                    whole.extend_from_slice(&bytes);
                    if whole.len() as u64 > size {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                }
                whole.freeze()
            }
        };
        let limits = Limits {
            head: HEAD,
            stall: HEAD,
            whole: WHOLE,
            bytes: self.most_bytes,
        };
        let request = http::Request::from_parts(head, body);
        let outgoing = Outgoing::new(request, Route::Host, limits)
            .with_plain_http()
            .following(redirects);
        let response = self.client.send(outgoing).await.map_err(io::Error::other)?;
        drop(held);
        Ok(response.map(|body| body.into_data_stream().map_err(io::Error::other).boxed()))
    }
}

impl HttpClient for GuardedClient {
    fn send(&self, request: ClientRequest) -> BoxFuture<'static, io::Result<ClientResponse>> {
        Box::pin(self.clone().exchange(request))
    }
}

impl fmt::Debug for GuardedClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("GuardedClient")
    }
}
