//! Files, through the router: uploads, downloads, thumbnails, and what keeps browsers safe.

use std::{io::Cursor, time::Duration};

use bytes::Bytes;
use edge::Body;
use http::{HeaderMap, HeaderName, Request, StatusCode, header, response::Parts};
use image::{DynamicImage, ImageFormat, RgbImage};
use media::{MediaConfig, Selection};
use ruma::server_name;
use serde_json::{Value, json};

use crate::{
    person::{Answer, User},
    server::{TestOptions, TestServer},
};

const UPLOAD: &str = "/_matrix/media/v3/upload";
const DOWNLOAD: &str = "/_matrix/client/v1/media/download";
const LEGACY: &str = "/_matrix/media/v3/download";

impl User {
    async fn send_file(
        &self,
        method: &str,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: Vec<u8>,
    ) -> (Parts, Bytes) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Body::from(body));
        self.server
            .exchange(request.expect("a valid request"))
            .await
    }

    /// Uploads and returns `server/id`.
    pub(crate) async fn upload(&self, query: &str, kind: &str, bytes: &[u8]) -> String {
        let path = format!("{UPLOAD}{query}");
        let headers = [(header::CONTENT_TYPE, kind)];
        let (parts, body) = self
            .send_file("POST", &path, &headers, bytes.to_vec())
            .await;
        let answer = Answer::new(parts, &body).expect_ok();
        let uri = answer["content_uri"].as_str().expect("a URI");
        uri.strip_prefix("mxc://").expect("an mxc URI").to_owned()
    }

    async fn fetch(&self, path: &str, headers: &[(HeaderName, &str)]) -> (Parts, Bytes) {
        self.send_file("GET", path, headers, Vec::new()).await
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    let value = headers.get(name).map(|value| value.to_str().expect("text"));
    value.unwrap_or_default().to_owned()
}

fn with(change: impl FnOnce(&mut MediaConfig)) -> TestOptions {
    let mut options = TestOptions::default();
    change(&mut options.media);
    options
}

fn picture() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = DynamicImage::ImageRgb8(RgbImage::new(400, 300));
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("it is encoded");
    bytes.into_inner()
}

#[tokio::test]
async fn a_file_comes_back_with_its_name_and_the_headers_of_the_specification() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;

    let at = alice
        .upload("?filename=cat.png", "image/png", b"meow")
        .await;
    let (parts, body) = alice.fetch(&format!("{DOWNLOAD}/{at}"), &[]).await;

    assert_eq!(parts.status, StatusCode::OK);
    assert_eq!(body, "meow");
    let headers = &parts.headers;
    assert_eq!(text(headers, &header::CONTENT_TYPE), "image/png");
    assert_eq!(text(headers, &header::CONTENT_LENGTH), "4");
    assert_eq!(
        text(headers, &header::CONTENT_DISPOSITION),
        "inline; filename=cat.png"
    );
    assert!(
        text(headers, &header::CONTENT_SECURITY_POLICY).starts_with("sandbox; default-src 'none'")
    );
    assert_eq!(text(headers, &header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert_eq!(headers["cross-origin-resource-policy"], "cross-origin");
}

#[tokio::test]
async fn names_of_all_languages_and_the_name_of_the_path_are_given() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let at = alice
        .upload("?filename=%E7%8C%AB.png", "image/png", b"x")
        .await;
    let plain = alice.upload("", "image/png", b"x").await;

    for (path, expected) in [
        (at.clone(), "inline; filename*=utf-8''%E7%8C%AB.png"),
        (format!("{at}/other.png"), "inline; filename=other.png"),
        (
            format!("{at}/%F0%9F%90%B1.png"),
            "inline; filename*=utf-8''%F0%9F%90%B1.png",
        ),
        (plain, "inline"),
    ] {
        let (parts, _) = alice.fetch(&format!("{DOWNLOAD}/{path}"), &[]).await;
        assert_eq!(text(&parts.headers, &header::CONTENT_DISPOSITION), expected);
    }
}

#[tokio::test]
async fn what_a_browser_could_run_is_an_attachment() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    for (kind, sent, disposition) in [
        ("text/html", "text/html", "attachment"),
        ("image/svg+xml", "image/svg+xml", "attachment"),
        (
            "application/javascript",
            "application/javascript",
            "attachment",
        ),
        (
            "TEXT/HTML; charset=utf-8",
            "TEXT/HTML; charset=utf-8",
            "attachment",
        ),
        ("image/png; x=text/html", "image/png; x=text/html", "inline"),
        ("nonsense", "application/octet-stream", "attachment"),
        ("text/plain", "text/plain", "inline"),
    ] {
        let at = alice.upload("", kind, b"<script>alert(1)</script>").await;
        let (parts, _) = alice.fetch(&format!("{DOWNLOAD}/{at}"), &[]).await;
        assert_eq!(text(&parts.headers, &header::CONTENT_TYPE), sent);
        assert_eq!(
            text(&parts.headers, &header::CONTENT_DISPOSITION),
            disposition,
            "{kind}"
        );
    }
    let at = alice
        .upload("?filename=a%0d%0aX-Evil%3a%20b%22%3b", "image/png", b"x")
        .await;
    let (parts, _) = alice.fetch(&format!("{DOWNLOAD}/{at}"), &[]).await;
    assert_eq!(parts.status, StatusCode::OK);
    assert!(!parts.headers.contains_key("x-evil"));
}

#[tokio::test]
async fn parts_of_a_file_are_sent_and_known_files_are_not() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let at = alice.upload("", "text/plain", b"0123456789").await;
    let path = format!("{DOWNLOAD}/{at}");

    let (parts, body) = alice.fetch(&path, &[(header::RANGE, "bytes=2-4")]).await;
    assert_eq!(parts.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(text(&parts.headers, &header::CONTENT_RANGE), "bytes 2-4/10");
    assert_eq!(body, "234");
    let (parts, _) = alice.fetch(&path, &[(header::RANGE, "bytes=10-")]).await;
    assert_eq!(parts.status, StatusCode::RANGE_NOT_SATISFIABLE);

    let (parts, body) = alice.send_file("HEAD", &path, &[], Vec::new()).await;
    assert_eq!(text(&parts.headers, &header::CONTENT_LENGTH), "10");
    assert!(body.is_empty());
    let etag = text(&parts.headers, &header::ETAG);
    let (parts, body) = alice.fetch(&path, &[(header::IF_NONE_MATCH, &etag)]).await;
    assert_eq!(parts.status, StatusCode::NOT_MODIFIED);
    assert!(body.is_empty());
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    for path in [
        "example.org/unknown",
        "other.example/unknown",
        "example.org/..%2F..%2Fetc%2Fpasswd",
        "example.org/%2e%2e",
        "127.0.0.1/a.b",
    ] {
        let answer = alice.get(&format!("{DOWNLOAD}/{path}")).await;
        answer.expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
    }
    let anonymous = server.get(&format!("{DOWNLOAD}/example.org/a")).await;
    anonymous.expect_error(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN");
    let patch = alice.send_file("PATCH", UPLOAD, &[], Vec::new()).await;
    assert_eq!(patch.0.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn limits_have_the_errcodes_of_the_specification() {
    let server = TestServer::with(with(|media| {
        media.max_upload_size = 1000;
        media.quota_bytes = Some(1500);
    }))
    .await;
    let alice = server.user("alice").await;
    let told = alice.get("/v1/media/config").await.expect_ok();
    assert_eq!(told, json!({ "m.upload.size": 1000 }));
    let told = alice.get("/_matrix/media/v3/config").await.expect_ok();
    assert_eq!(told["m.upload.size"], 1000);

    let (parts, body) = alice.send_file("POST", UPLOAD, &[], vec![0; 1001]).await;
    Answer::new(parts, &body).expect_error(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE");
    alice.upload("", "text/plain", &[0; 1000]).await;
    let (parts, body) = alice.send_file("POST", UPLOAD, &[], vec![0; 1000]).await;
    Answer::new(parts, &body).expect_error(StatusCode::FORBIDDEN, "M_USER_LIMIT_EXCEEDED");
}

#[tokio::test(start_paused = true)]
async fn an_id_may_come_before_its_file() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let created = alice
        .post("/_matrix/media/v1/create", json!({}))
        .await
        .expect_ok();
    let at = created["content_uri"].as_str().expect("a URI")["mxc://".len()..].to_owned();
    assert!(created["unused_expires_at"].is_u64());

    let early = alice.get(&format!("{DOWNLOAD}/{at}?timeout_ms=1")).await;
    early.expect_error(StatusCode::GATEWAY_TIMEOUT, "M_NOT_YET_UPLOADED");
    let path = format!("{UPLOAD}/{at}");
    let (parts, body) = bob.send_file("PUT", &path, &[], b"x".to_vec()).await;
    Answer::new(parts, &body).expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    let (parts, body) = alice.send_file("PUT", &path, &[], b"x".to_vec()).await;
    assert_eq!(Answer::new(parts, &body).expect_ok(), json!({}));
    let (parts, body) = alice.send_file("PUT", &path, &[], b"y".to_vec()).await;
    Answer::new(parts, &body).expect_error(StatusCode::CONFLICT, "M_CANNOT_OVERWRITE_MEDIA");
    let (_, body) = bob.fetch(&format!("{DOWNLOAD}/{at}"), &[]).await;
    assert_eq!(body, "x");

    let late = alice
        .post("/_matrix/media/v1/create", json!({}))
        .await
        .expect_ok();
    let at = late["content_uri"].as_str().expect("a URI")["mxc://".len()..].to_owned();
    server.clock.advance(Duration::from_hours(25));
    let (parts, body) = alice
        .send_file("PUT", &format!("{UPLOAD}/{at}"), &[], b"x".to_vec())
        .await;
    Answer::new(parts, &body).expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
}

#[tokio::test]
async fn thumbnails_are_images_of_the_servers_making() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let at = alice.upload("", "image/png", &picture()).await;
    let path = format!("/_matrix/client/v1/media/thumbnail/{at}");

    let (parts, body) = alice
        .fetch(&format!("{path}?width=96&height=96&method=crop"), &[])
        .await;
    assert_eq!(parts.status, StatusCode::OK);
    assert_eq!(text(&parts.headers, &header::CONTENT_TYPE), "image/jpeg");
    let disposition = text(&parts.headers, &header::CONTENT_DISPOSITION);
    assert_eq!(disposition, "inline; filename=thumbnail.jpeg");
    let image = image::load_from_memory(&body).expect("an image");
    assert_eq!((image.width(), image.height()), (96, 96));

    let zero = alice.get(&format!("{path}?width=0&height=5")).await;
    zero.expect_error(StatusCode::BAD_REQUEST, "M_INVALID_PARAM");
    let missing = alice.get(&format!("{path}?width=5")).await;
    missing.expect_error(StatusCode::BAD_REQUEST, "M_MISSING_PARAM");
    let text = alice.upload("", "image/png", b"no image").await;
    let path = format!("/_matrix/client/v1/media/thumbnail/{text}?width=5&height=5");
    alice
        .get(&path)
        .await
        .expect_error(StatusCode::BAD_REQUEST, "M_UNKNOWN");
}

#[tokio::test]
async fn the_old_endpoints_show_what_was_stored_before_the_freeze() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let at = alice.upload("", "text/plain", b"frozen").await;
    let frozen = server.get(&format!("{LEGACY}/{at}")).await;
    frozen.expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");

    let server = TestServer::with(with(|media| media.stores_open = true)).await;
    let alice = server.user("alice").await;
    let at = alice.upload("?filename=a.txt", "text/plain", b"open").await;
    for path in [
        format!("{LEGACY}/{at}"),
        format!("/_matrix/media/r0/download/{at}/a.txt"),
    ] {
        let request = Request::get(path).body(Body::empty());
        let (parts, body) = server.exchange(request.expect("a valid request")).await;
        assert_eq!((parts.status, &body[..]), (StatusCode::OK, &b"open"[..]));
    }
}

#[tokio::test]
async fn quarantined_media_is_not_found() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let at = alice.upload("", "text/plain", b"x").await;
    let mxc = media::Mxc::parse(&format!("mxc://{at}")).expect("a name");
    let which = Selection::These(vec![mxc]);
    server.media.quarantine(&which, true).await.expect("done");

    let answer = alice.get(&format!("{DOWNLOAD}/{at}")).await;
    answer.expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
    let own = Selection::Server(server_name!("example.org").to_owned());
    assert_eq!(server.media.delete(&own).await.expect("done").files, 1);
}

#[tokio::test]
async fn previews_are_off_unless_the_operator_wants_them() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let answer = alice
        .get("/v1/media/preview_url?url=https%3A%2F%2Fexample.net")
        .await;
    assert_eq!(answer.body["errcode"], Value::from("M_UNRECOGNIZED"));
}
