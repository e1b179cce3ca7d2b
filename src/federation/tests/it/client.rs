//! The bounds of the client, over a transport in memory and with time that does not pass by itself.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use database::engine::BoxFuture;
use federation::client::{
    ClientError, Concurrency, HttpClient, Limits, Outgoing, RawBody, Route, Transport,
};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, Sleep, sleep};

const LIMITS: Limits = Limits {
    head: Duration::from_secs(5),
    stall: Duration::from_secs(10),
    whole: Duration::from_secs(60),
    bytes: 1000,
};

/// Sends parts of 10 bytes, one after each pause.
struct Drip {
    pause: Duration,
    timer: Pin<Box<Sleep>>,
    left: usize,
}

impl Drip {
    fn new(pause: Duration, parts: usize) -> Self {
        Self {
            pause,
            timer: Box::pin(sleep(pause)),
            left: parts,
        }
    }
}

impl http_body::Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        std::task::ready!(self.timer.as_mut().poll(context));
        let next = Instant::now() + self.pause;
        self.timer.as_mut().reset(next);
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"0123456789")))))
    }
}

/// Answers after a while, with a body that drips.
#[derive(Clone, Copy)]
struct Slow {
    head: Duration,
    pause: Duration,
    parts: usize,
}

impl Transport for Slow {
    fn exchange(
        &self,
        _: Request<Bytes>,
        _: Route,
    ) -> BoxFuture<'_, Result<Response<RawBody>, ClientError>> {
        Box::pin(async move {
            sleep(self.head).await;
            let body = Drip::new(self.pause, self.parts).map_err(|never| match never {});
            Ok(Response::new(body.boxed_unsync()))
        })
    }
}

async fn collect(slow: Slow) -> Result<usize, ClientError> {
    let client = HttpClient::new(Arc::new(slow), Concurrency::default());
    send(&client).await
}

async fn send(client: &HttpClient) -> Result<usize, ClientError> {
    let request = Request::get("https://a.example/")
        .body(Bytes::new())
        .expect("a request");
    let response = client
        .send(Outgoing::new(request, Route::Host, LIMITS))
        .await?;
    Ok(response.into_body().collect().await?.len())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_response_within_its_limits_is_read() {
    let (head, pause) = (seconds(4), seconds(9));
    assert_eq!(
        collect(Slow {
            head,
            pause,
            parts: 6
        })
        .await,
        Ok(60)
    );
    assert_eq!(
        collect(Slow {
            head,
            pause: seconds(0),
            parts: 100
        })
        .await,
        Ok(1000)
    );
}

#[tokio::test(start_paused = true)]
async fn a_response_that_takes_too_long_is_given_up() {
    let started = Instant::now();
    let late = collect(Slow {
        head: seconds(6),
        pause: seconds(0),
        parts: 1,
    })
    .await;
    assert_eq!(late, Err(ClientError::TimedOut("waiting for the response")));
    assert_eq!(started.elapsed(), LIMITS.head);

    let started = Instant::now();
    let stalled = collect(Slow {
        head: seconds(0),
        pause: seconds(11),
        parts: 1,
    })
    .await;
    assert_eq!(
        stalled,
        Err(ClientError::TimedOut("receiving the response"))
    );
    assert_eq!(started.elapsed(), LIMITS.stall);

    let started = Instant::now();
    let endless = collect(Slow {
        head: seconds(0),
        pause: seconds(1),
        parts: 100,
    })
    .await;
    assert_eq!(
        endless,
        Err(ClientError::TimedOut("receiving the response"))
    );
    assert!(started.elapsed() <= LIMITS.whole + seconds(1));
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_too_large_is_given_up() {
    let large = collect(Slow {
        head: seconds(0),
        pause: seconds(0),
        parts: usize::MAX,
    })
    .await;
    assert_eq!(large, Err(ClientError::TooLarge(LIMITS.bytes)));
}

#[tokio::test(start_paused = true)]
async fn requests_to_one_destination_wait_for_each_other() {
    let slow = Slow {
        head: seconds(1),
        pause: seconds(0),
        parts: 1,
    };
    let concurrency = Concurrency {
        per_destination: 2,
        running: 100,
        admitted: 5,
    };
    let client = HttpClient::new(Arc::new(slow), concurrency);
    let started = Instant::now();
    let sent = futures_util::future::join_all((0..6).map(|_| send(&client))).await;
    assert_eq!(sent.iter().filter(|sent| **sent == Ok(10)).count(), 5);
    assert_eq!(
        sent.iter()
            .filter(|sent| **sent == Err(ClientError::Busy))
            .count(),
        1
    );
    assert_eq!(started.elapsed(), seconds(3));
}
