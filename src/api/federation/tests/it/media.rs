//! Media of one server, fetched by another.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use http::{Response, StatusCode};
use media::{Asker, DownloadError, FileInfo, Incoming, Mxc, Reach, Target, Wanted};
use serde_json::json;

use crate::{
    guest::refused,
    server::{Servers, TestServer},
};

/// Uploads a file of a new user.
async fn upload(server: &TestServer, bytes: &'static [u8]) -> Mxc {
    let user = server.user("uploader").await;
    let file = Incoming {
        info: FileInfo {
            content_type: Some("text/plain".to_owned()),
            file_name: Some("tea.txt".to_owned()),
        },
        size: None,
        bits: stream::iter([Ok(Bytes::from_static(bytes))]),
    };
    let uploaded = server.media.upload(user.number, Target::New, file).await;
    uploaded.expect("it is stored")
}

/// Downloads as a user of this server does.
async fn download(
    server: &TestServer,
    name: &str,
    mxc: &Mxc,
) -> Result<(FileInfo, Vec<u8>), DownloadError> {
    let user = server.user(name).await;
    let wanted = Wanted {
        who: Asker::User(user.number),
        mxc,
        patience: Duration::ZERO,
        reach: Reach::Remote,
    };
    let found = server.media.download(wanted).await?;
    let info = found.info.clone();
    let bytes: Vec<Bytes> = found
        .read(None)
        .await?
        .try_collect()
        .await
        .map_err(DownloadError::Io)?;
    Ok((info, bytes.concat()))
}

const FILE: &[u8] = b"tea\r\n--and\r\n\r\ncake";

#[tokio::test]
async fn a_file_of_another_server_is_fetched_once() {
    let servers = Servers::new();
    let [a, b] = servers.start_all(["a.test", "b.test"]).await;
    let mxc = upload(&a, FILE).await;
    for name in ["one", "two"] {
        let (info, bytes) = download(&b, name, &mxc).await.expect("it is there");
        assert_eq!(bytes, FILE);
        assert_eq!(info.content_type.as_deref(), Some("text/plain"));
        assert_eq!(info.file_name.as_deref(), Some("tea.txt"));
    }
    let asked = servers.network.asked().into_iter();
    let fetches = asked.filter(|asked| asked.path.contains("/media/download/"));
    assert_eq!(fetches.count(), 1);
}

#[tokio::test]
async fn a_server_gives_out_what_was_uploaded_to_it_and_nothing_else() {
    let servers = Servers::new();
    let [a, b] = servers.start_all(["a.test", "b.test"]).await;
    let theirs = upload(&a, FILE).await;
    download(&b, "reader", &theirs).await.expect("it is there");
    for id in ["unknown", theirs.id(), "no%2Fid"] {
        let path = format!("/_matrix/federation/v1/media/download/{id}");
        let answer = a.ask(&b, "GET", &path).await;
        assert_eq!(refused(&answer), (404, "M_NOT_FOUND".to_owned()), "{id}");
    }
    let path = format!(
        "/_matrix/federation/v1/media/thumbnail/{}?width=1&height=1",
        theirs.id()
    );
    let answer = b.ask(&a, "GET", &path).await;
    assert_eq!(
        refused(&answer),
        (400, "M_UNKNOWN".to_owned()),
        "it is text"
    );
    let missing = Mxc::new(a.federation.server_name(), "missing").expect("an id");
    let answer = download(&b, "another", &missing).await;
    assert!(matches!(answer, Err(DownloadError::NotFound)));
}

#[tokio::test]
async fn hostile_answers_are_no_files() {
    let servers = Servers::new();
    let [a, b] = servers.start_all(["a.test", "b.test"]).await;
    let answers: [(&str, Vec<u8>); 4] = [
        ("text/plain", FILE.to_vec()),
        (
            "multipart/mixed; boundary=x",
            b"--x\r\n\r\n{}\r\n--x--".to_vec(),
        ),
        (
            "multipart/mixed; boundary=x",
            b"--x\r\n\r\n{}\r\n--x\r\n\r\nbroken off".to_vec(),
        ),
        (
            "multipart/mixed; boundary=x",
            b"--x\r\n\r\n{}\r\n--x\r\nLocation: http://127.0.0.1/\r\n\r\n\r\n--x--".to_vec(),
        ),
    ];
    for (at, (kind, body)) in answers.into_iter().enumerate() {
        servers.network.change_answers("a.test", move |_, _| {
            let answer = Response::builder().header("content-type", kind);
            answer.body(Bytes::from(body.clone())).expect("an answer")
        });
        let mxc = Mxc::new(a.federation.server_name(), &format!("file{at}")).expect("an id");
        let answer = download(&b, &format!("reader{at}"), &mxc).await;
        assert!(answer.is_err(), "{at}");
    }
}

#[tokio::test]
async fn servers_without_authenticated_media_are_asked_as_of_old() {
    let servers = Servers::new();
    let [a, b] = servers.start_all(["a.test", "b.test"]).await;
    servers.network.change_answers("a.test", |request, _| {
        let is_old = request
            .uri()
            .path()
            .starts_with("/_matrix/media/v3/download/a.test/");
        let (status, body) = if is_old {
            (StatusCode::OK, Bytes::from_static(FILE))
        } else {
            let error = json!({ "errcode": "M_UNRECOGNIZED", "error": "no" });
            (StatusCode::NOT_FOUND, error.to_string().into())
        };
        let answer = Response::builder()
            .status(status)
            .header("content-type", "text/plain");
        answer.body(body).expect("an answer")
    });
    let mxc = Mxc::new(a.federation.server_name(), "old").expect("an id");
    let (info, bytes) = download(&b, "reader", &mxc).await.expect("it is there");
    assert_eq!(
        (info.content_type.as_deref(), &bytes[..]),
        (Some("text/plain"), FILE)
    );
}
