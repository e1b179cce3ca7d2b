//! Previews of URLs ("GET /media/preview_url"): OpenGraph, else oEmbed, else what a page shows.
//!
//! Everything that is fetched is bounded in bytes and time, each redirect is checked against the
//! lists of the operator, and a URL is fetched once for all who ask.

mod charset;
mod fetch;
mod html;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use database::{Millis, Read as _, StoreError, Txn, engine::BoxFuture};
use futures_util::{FutureExt as _, future::Shared};
use tokio::sync::Semaphore;
use url::Url;

use self::fetch::Fetched;
use crate::{
    client::HttpClient,
    error::UploadError,
    id::Mxc,
    media::Media,
    tables::{PreviewRow, URL_PREVIEWS, URL_PREVIEWS_BY_AGE},
    upload::{FileInfo, Target},
};

const LONGEST_URL: usize = 2048;
const PAGE: usize = 100;
/// How long a preview is kept after it is too old to be shown: its image may still be in somebody's
/// timeline.
const KEPT: Duration = Duration::from_hours(24 * 7);

/// What previews may cost, and of what there are any.
#[derive(Clone, Debug)]
pub struct PreviewLimits {
    /// Bytes of a page that are looked at.
    pub page_size: u64,
    /// Bytes of an image.
    pub image_size: u64,
    /// How long a preview is shown before it is fetched again.
    pub age: Duration,
    /// How long one may take.
    pub time: Duration,
    /// Previews that are fetched at once. Further requests are refused.
    pub fetches: usize,
    /// If not empty: only these domains and what is below them.
    pub allow: Vec<String>,
    /// Never these domains and what is below them.
    pub deny: Vec<String>,
}

impl Default for PreviewLimits {
    fn default() -> Self {
        Self {
            page_size: 1 << 20,
            image_size: 10 << 20,
            age: Duration::from_hours(1),
            time: Duration::from_secs(30),
            fetches: 32,
            allow: Vec::new(),
            deny: Vec::new(),
        }
    }
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    #[error("this server makes no previews of URLs")]
    Disabled,
    #[error("this is no http or https URL")]
    Url,
    #[error("this server makes no previews of this domain")]
    Denied,
    #[error("too many previews are being made")]
    Busy,
    #[error("the URL cannot be fetched: {0}")]
    Unreachable(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Shared by all who wait for the same preview.
#[derive(Clone)]
enum MakeError {
    Denied,
    Unreachable(String),
}

type Making = Shared<BoxFuture<'static, Result<String, MakeError>>>;

/// Who makes previews. Cheap to clone.
#[derive(Clone)]
pub struct Previews(Arc<Parts>);

struct Parts {
    media: Media,
    /// `None` where the operator wants no previews.
    client: Option<Arc<dyn HttpClient>>,
    limits: PreviewLimits,
    fetches: Arc<Semaphore>,
    making: Mutex<HashMap<String, Making>>,
}

impl Previews {
    pub fn new(media: Media, client: Option<Arc<dyn HttpClient>>, limits: PreviewLimits) -> Self {
        Self(Arc::new(Parts {
            fetches: Arc::new(Semaphore::new(limits.fetches)),
            making: Mutex::default(),
            media,
            client,
            limits,
        }))
    }

    /// A preview as JSON.
    pub async fn preview(&self, url: &str) -> Result<String, PreviewError> {
        let client = self.0.client.clone().ok_or(PreviewError::Disabled)?;
        let url = parse(url).ok_or(PreviewError::Url)?;
        if !self.may_visit(&url) {
            return Err(PreviewError::Denied);
        }
        let db = self.0.media.snapshot().await?;
        let now = self.0.media.0.needs.clock.now();
        let known = db.get(URL_PREVIEWS.at(url.as_str())).await?;
        drop(db);
        if let Some(known) = known.filter(|known| now.since(known.fetched) < self.0.limits.age) {
            return Ok(known.json);
        }
        let made = self.making(client, url)?.await;
        made.map_err(|error| match error {
            MakeError::Denied => PreviewError::Denied,
            MakeError::Unreachable(error) => PreviewError::Unreachable(error),
        })
    }

    /// Whether the operator's lists allow a host.
    fn may_visit(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        let host = host.trim_end_matches('.');
        let is_in = |domains: &[String]| {
            domains.iter().any(|domain| {
                let above = host.strip_suffix(domain.as_str());
                above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            })
        };
        let limits = &self.0.limits;
        !is_in(&limits.deny) && (limits.allow.is_empty() || is_in(&limits.allow))
    }

    fn making(&self, client: Arc<dyn HttpClient>, url: Url) -> Result<Making, PreviewError> {
        let making = self.0.making.lock();
        let mut making = making.unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = making.get(url.as_str()) {
            return Ok(running.clone());
        }
        let slot = self.0.fetches.clone().try_acquire_owned();
        let slot = slot.map_err(|_| PreviewError::Busy)?;
        let (own, key) = (self.clone(), url.to_string());
        let work = self.0.media.0.needs.tasks.spawn(async move {
            let made = tokio::time::timeout(own.0.limits.time, own.make(&*client, &url)).await;
            let making = own.0.making.lock();
            making
                .unwrap_or_else(PoisonError::into_inner)
                .remove(url.as_str());
            drop(slot);
            made.unwrap_or_else(|_| Err(unreachable("it took too long")))
        });
        let joined = async { work.await.unwrap_or_else(|error| Err(unreachable(error))) };
        let running = joined.boxed().shared();
        making.insert(key, running.clone());
        Ok(running)
    }

    async fn make(&self, client: &dyn HttpClient, url: &Url) -> Result<String, MakeError> {
        let page = self.fetch(client, url, self.0.limits.page_size).await?;
        let mut found = self.look(client, &page).await?;
        let image = match found.image.take() {
            Some(image) => self.image(client, &page.url, &image).await,
            None => None,
        };
        let mut json = found.into_json();
        json.entry("og:url")
            .or_insert_with(|| page.url.to_string().into());
        json.retain(|name, _| !name.starts_with("og:image") || name == "og:image:alt");
        if let Some(image) = &image {
            image.describe(&mut json);
        }
        let row = PreviewRow {
            fetched: self.0.media.0.needs.clock.now(),
            json: serde_json::Value::Object(json).to_string(),
            image: image.map(|image| image.mxc.id().to_owned()),
        };
        self.keep(url, &row).await.map_err(unreachable)?;
        Ok(row.json)
    }

    /// What a page says of itself. An image is its own image.
    async fn look(
        &self,
        client: &dyn HttpClient,
        page: &Fetched,
    ) -> Result<html::Found, MakeError> {
        if page.is_image() {
            return Ok(html::Found::of_image(page.url.as_str()));
        }
        if !page.is_html() {
            return Ok(html::Found::default());
        }
        let (bytes, label) = (page.bytes.clone(), page.charset());
        let blocking = self.0.media.0.needs.files.blocking();
        let look =
            move || Ok::<_, std::io::Error>(html::look(&charset::decode(&bytes, label.as_deref())));
        let mut found = blocking.run(look).await.map_err(unreachable)?;
        if let Some(oembed) = found.oembed.take()
            && let Ok(oembed) = page.url.join(&oembed)
            && self.may_visit(&oembed)
            && let Ok(described) = self.fetch(client, &oembed, self.0.limits.page_size).await
        {
            found.add_oembed(&described.bytes);
        }
        Ok(found)
    }

    /// Stores an image, if it is one that thumbnails can be made of.
    async fn image(&self, client: &dyn HttpClient, page: &Url, address: &str) -> Option<Image> {
        let url = page.join(address).ok()?;
        if !matches!(url.scheme(), "http" | "https") || !self.may_visit(&url) {
            return None;
        }
        let fetched = self
            .fetch(client, &url, self.0.limits.image_size)
            .await
            .ok()?;
        if fetched.is_cut {
            return None;
        }
        match self.store_image(&fetched).await {
            Ok(image) => image,
            Err(error) => {
                tracing::debug!(%error, "the image of a preview was not stored");
                None
            }
        }
    }

    async fn store_image(&self, fetched: &Fetched) -> Result<Option<Image>, UploadError> {
        let media = &self.0.media;
        let Some((content_type, width, height)) = crate::thumbnail::describe(&fetched.bytes) else {
            return Ok(None);
        };
        let mut draft = media.0.needs.files.draft(&*media.0.needs.random);
        draft.write(&fetched.bytes).await?;
        let draft = draft.finish().await?;
        let info = FileInfo {
            content_type: Some(content_type.to_owned()),
            file_name: None,
        };
        media.scan(&draft, &info).await?;
        let mxc = Mxc::random(media.server_name(), &*media.0.needs.random);
        let row = media.new_row(&draft, info, None, media.0.needs.clock.now());
        media.store_draft(&draft, &mxc, &row, &Target::New).await?;
        if let Err(error) = media.check_image(draft.hash).await {
            tracing::debug!(%error, "the image of a preview cannot be shown");
            media.delete_one(&mxc).await?;
            return Ok(None);
        }
        Ok(Some(Image {
            mxc,
            size: draft.size,
            content_type,
            width,
            height,
        }))
    }

    async fn keep(&self, url: &Url, row: &PreviewRow) -> Result<(), StoreError> {
        let media = &self.0.media;
        let url = url.as_str();
        let body = |txn: Txn| async move {
            let old = txn.get(URL_PREVIEWS.at(url)).await?;
            if let Some(old) = &old {
                txn.delete(URL_PREVIEWS_BY_AGE.at((old.fetched, url)));
            }
            txn.put(URL_PREVIEWS.at(url), row);
            txn.put(URL_PREVIEWS_BY_AGE.at((row.fetched, url)), &());
            Ok::<_, StoreError>(old.and_then(|old| old.image))
        };
        let (old_image, _) = media.store().transact(body).await?;
        if let Some(mxc) = old_image.and_then(|id| Mxc::new(media.server_name(), &id)) {
            media.delete_one(&mxc).await?;
        }
        Ok(())
    }
}

/// The stored image of a preview.
struct Image {
    mxc: Mxc,
    size: u64,
    content_type: &'static str,
    width: u32,
    height: u32,
}

impl Image {
    fn describe(&self, json: &mut serde_json::Map<String, serde_json::Value>) {
        json.insert("og:image".to_owned(), self.mxc.to_string().into());
        json.insert("og:image:type".to_owned(), self.content_type.into());
        json.insert("og:image:width".to_owned(), self.width.into());
        json.insert("og:image:height".to_owned(), self.height.into());
        json.insert("matrix:image:size".to_owned(), self.size.into());
    }
}

impl Media {
    /// Forgets some old previews with their images. Returns whether there may be more.
    pub(crate) async fn forget_previews(&self) -> Result<bool, UploadError> {
        let now = self.0.needs.clock.now();
        let kept = u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX);
        let before = Millis(now.0.saturating_sub(kept));
        let db = self.snapshot().await?;
        let rows = URL_PREVIEWS_BY_AGE.all().before((before, ""));
        let old = db.page(rows, PAGE).await?;
        drop(db);
        for ((fetched, url), ()) in &old {
            let body = |txn: Txn| async move {
                let row = txn.get(URL_PREVIEWS.at(url)).await?;
                txn.delete(URL_PREVIEWS.at(url));
                txn.delete(URL_PREVIEWS_BY_AGE.at((*fetched, url)));
                Ok::<_, StoreError>(row.and_then(|row| row.image))
            };
            let (image, _) = self.store().transact(body).await?;
            if let Some(mxc) = image.and_then(|id| Mxc::new(self.server_name(), &id)) {
                self.delete_one(&mxc).await?;
            }
        }
        Ok(old.len() == PAGE)
    }
}

/// Without the fragment, which servers never see, and without a password.
fn parse(text: &str) -> Option<Url> {
    if text.len() > LONGEST_URL {
        return None;
    }
    let mut url = Url::parse(text.trim()).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    if !is_web || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    url.set_fragment(None);
    Some(url)
}

fn unreachable(error: impl std::fmt::Display) -> MakeError {
    MakeError::Unreachable(error.to_string())
}
