//! Previews of a web that the test makes up.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use database::engine::BoxFuture;
use futures_util::{StreamExt as _, stream};
use http::{Response, StatusCode};
use image::ImageFormat;
use media::{
    ClientRequest, ClientResponse, HttpClient, Mxc, PreviewError, PreviewLimits, Previews,
};
use serde_json::Value;

use crate::{
    house::House,
    thumbnails::{encoded, picture},
};

/// Pages by URL: content type and body; `Location` where the type is empty.
#[derive(Debug, Default)]
struct Web {
    pages: HashMap<String, (&'static str, Vec<u8>)>,
    requests: AtomicUsize,
}

impl Web {
    fn page(mut self, url: &str, kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        self.pages.insert(url.to_owned(), (kind, body.into()));
        self
    }
}

impl HttpClient for Web {
    fn send(&self, request: ClientRequest) -> BoxFuture<'static, io::Result<ClientResponse>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let url = request.request.uri().to_string();
        let answer = match self.pages.get(&url) {
            None => Response::builder()
                .status(StatusCode::NOT_FOUND)
                .body(Vec::new()),
            Some(("", to)) => Response::builder()
                .status(StatusCode::FOUND)
                .header("location", to.as_slice())
                .body(Vec::new()),
            Some((kind, body)) => Response::builder()
                .header("content-type", *kind)
                .body(body.clone()),
        };
        let answer = answer.map_err(io::Error::other).map(|answer| {
            answer.map(|body| {
                let pieces: Vec<_> = body
                    .chunks(500)
                    .map(|piece| Ok(Bytes::copy_from_slice(piece)))
                    .collect();
                stream::iter(pieces).boxed()
            })
        });
        Box::pin(std::future::ready(answer))
    }
}

async fn previews(web: Web, limits: PreviewLimits) -> (House, Previews, Arc<Web>) {
    let (house, web) = (House::new().await, Arc::new(web));
    let previews = Previews::new(house.media.clone(), Some(web.clone()), limits);
    (house, previews, web)
}

async fn look(previews: &Previews, url: &str) -> Value {
    let json = previews.preview(url).await.expect("a preview");
    serde_json::from_str(&json).expect("it is JSON")
}

fn article() -> Web {
    Web::default()
        .page(
            "https://news.example/a",
            "text/html; charset=utf-8",
            "<meta property='og:title' content='Rain'><meta property='og:image' content='/rain.png'>\
             <meta property='og:image:width' content='99999'>",
        )
        .page("https://news.example/rain.png", "image/png", encoded(picture(40, 30), ImageFormat::Png))
}

#[tokio::test]
async fn a_page_is_described_with_its_image_as_media_of_this_server() {
    let (house, previews, _) = previews(article(), PreviewLimits::default()).await;

    let preview = look(&previews, "https://news.example/a#part").await;

    assert_eq!(preview["og:title"], "Rain");
    assert_eq!(preview["og:image:width"], 40);
    assert_eq!(preview["og:image:height"], 30);
    assert_eq!(preview["og:image:type"], "image/png");
    let mxc = Mxc::parse(preview["og:image"].as_str().expect("a URI")).expect("an mxc URI");
    let image = house.download(&mxc).await;
    assert_eq!(preview["matrix:image:size"], image.len());
}

#[tokio::test]
async fn a_preview_is_fetched_once_and_again_when_it_is_old() {
    let (house, previews, web) = previews(article(), PreviewLimits::default()).await;
    let url = "https://news.example/a";

    let asked = (0..10).map(|_| look(&previews, url));
    let all: Vec<Value> = stream::iter(asked).buffer_unordered(10).collect().await;
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(web.requests.load(Ordering::Relaxed), 2);

    house.clock.advance(Duration::from_hours(2));
    look(&previews, url).await;
    assert_eq!(web.requests.load(Ordering::Relaxed), 4);
    // The image of the first one is gone with it.
    let usage = house.media.usage().await.expect("it reads");
    assert_eq!(usage.local.files, 1);

    house.clock.advance(Duration::from_hours(24 * 8));
    house.media.sweep().await.expect("it sweeps");
    let usage = house.media.usage().await.expect("it reads");
    assert_eq!(usage.local.files, 0);
}

#[tokio::test]
async fn the_lists_hold_for_redirects_images_and_oembed() {
    let web = Web::default()
        .page("https://ok.example/a", "", "https://sub.evil.example/b")
        .page(
            "https://sub.evil.example/b",
            "text/html",
            "<title>Evil</title>",
        )
        .page(
            "https://ok.example/c",
            "text/html",
            "<title>C</title><meta property=og:image content='https://evil.example/x.png'>\
             <link type=application/json+oembed href='https://evil.example/oembed'>",
        )
        .page("https://ok.example/file", "", "file:///etc/passwd");
    let limits = PreviewLimits {
        deny: vec!["evil.example".to_owned()],
        ..PreviewLimits::default()
    };
    let (_house, previews, web) = previews(web, limits).await;

    for url in [
        "https://ok.example/a",
        "https://EVIL.example./",
        "https://ok.example/file",
    ] {
        let refused = previews.preview(url).await;
        assert!(matches!(refused, Err(PreviewError::Denied)), "{url}");
    }
    let before = web.requests.load(Ordering::Relaxed);
    let preview = look(&previews, "https://ok.example/c").await;
    assert_eq!(preview["og:title"], "C");
    assert!(preview.get("og:image").is_none());
    assert_eq!(web.requests.load(Ordering::Relaxed), before + 1);
    for url in [
        "ftp://ok.example/",
        "https://user:pass@ok.example/",
        "no url",
        "file:///etc/passwd",
    ] {
        assert!(
            matches!(previews.preview(url).await, Err(PreviewError::Url)),
            "{url}"
        );
    }
}

#[tokio::test]
async fn endless_redirects_and_bodies_end() {
    let big = format!("<title>Big</title>{}", "x".repeat(5 << 20));
    let web = Web::default()
        .page("https://a.example/loop", "", "https://a.example/loop")
        .page("https://a.example/big", "text/html", big)
        .page("https://a.example/bin", "application/zip", vec![0; 1000])
        .page("https://a.example/fake.png", "image/png", "not an image");
    let (house, previews, web) = previews(web, PreviewLimits::default()).await;

    let endless = previews.preview("https://a.example/loop").await;
    assert!(matches!(endless, Err(PreviewError::Unreachable(_))));
    assert!(web.requests.load(Ordering::Relaxed) <= 6);
    assert_eq!(
        look(&previews, "https://a.example/big").await["og:title"],
        "Big"
    );
    for url in ["https://a.example/bin", "https://a.example/fake.png"] {
        assert!(look(&previews, url).await.get("og:image").is_none());
    }
    assert_eq!(house.contents_on_disk(), 0);
}

#[tokio::test]
async fn a_server_without_a_client_makes_none() {
    let house = House::new().await;
    let previews = Previews::new(house.media.clone(), None, PreviewLimits::default());
    let refused = previews.preview("https://a.example/").await;
    assert!(matches!(refused, Err(PreviewError::Disabled)));
}
