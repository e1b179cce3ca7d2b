//! Fetching for previews: redirects one by one, each within the operator's lists; bodies up to a
//! limit.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::{
    HeaderMap, Request,
    header::{ACCEPT, CONTENT_TYPE, LOCATION, USER_AGENT},
};
use url::Url;

use super::{MakeError, Previews, unreachable};
use crate::client::{ClientBody, ClientRequest, ClientResponse, HttpClient, Redirects};

const MOST_REDIRECTS: usize = 5;
/// Sites that show previews only to programs that they know look for these words.
const AGENT: &str = "Mozilla/5.0 (compatible; Aqueduct; Matrix URL preview bot)";

/// What a URL has given.
pub(super) struct Fetched {
    /// After all redirects.
    pub(super) url: Url,
    pub(super) content_type: String,
    pub(super) bytes: Bytes,
    /// There is more than was read.
    pub(super) is_cut: bool,
}

impl Fetched {
    pub(super) fn is_html(&self) -> bool {
        matches!(self.essence(), "text/html" | "application/xhtml+xml")
    }

    pub(super) fn is_image(&self) -> bool {
        self.essence().starts_with("image/")
    }

    /// The encoding that the server names.
    pub(super) fn charset(&self) -> Option<String> {
        let parameters = self.content_type.split(';').skip(1);
        let charset = parameters.filter_map(|parameter| parameter.trim().strip_prefix("charset="));
        charset
            .map(|label| label.trim_matches('"').to_owned())
            .next()
    }

    fn essence(&self) -> &str {
        self.content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
    }
}

impl Previews {
    pub(super) async fn fetch(
        &self,
        client: &dyn HttpClient,
        url: &Url,
        limit: u64,
    ) -> Result<Fetched, MakeError> {
        let mut url = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            if !self.may_visit(&url) {
                return Err(MakeError::Denied);
            }
            let request = Request::get(url.as_str())
                .header(USER_AGENT, AGENT)
                .header(
                    ACCEPT,
                    "text/html,application/xhtml+xml,application/json,image/*;q=0.9,*/*;q=0.5",
                )
                .body(ClientBody::Whole(Bytes::new()))
                .map_err(unreachable)?;
            let request = ClientRequest {
                request,
                redirects: Redirects::Return,
            };
            let response = client.send(request).await.map_err(unreachable)?;
            if response.status().is_redirection() {
                let to = text(response.headers(), &LOCATION);
                url = url.join(&to).map_err(unreachable)?;
                if !matches!(url.scheme(), "http" | "https") {
                    return Err(MakeError::Denied);
                }
                continue;
            }
            if !response.status().is_success() {
                return Err(unreachable(response.status()));
            }
            return read(url, response, limit).await;
        }
        Err(unreachable("too many redirects"))
    }
}

async fn read(url: Url, response: ClientResponse, limit: u64) -> Result<Fetched, MakeError> {
    let content_type = text(response.headers(), &CONTENT_TYPE).to_ascii_lowercase();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut bits = response.into_body();
    let mut bytes = Vec::new();
    let mut is_cut = false;
    while let Some(more) = bits.try_next().await.map_err(unreachable)? {
        let room = limit - bytes.len();
        bytes.extend_from_slice(&more[..more.len().min(room)]);
        if more.len() > room {
            is_cut = true;
            break;
        }
    }
    Ok(Fetched {
        url,
        content_type,
        bytes: bytes.into(),
        is_cut,
    })
}

fn text(headers: &HeaderMap, name: &http::HeaderName) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}
