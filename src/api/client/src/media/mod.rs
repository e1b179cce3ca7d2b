//! Files: client-server API, "Content repository".

mod answer;
mod config;
mod create;
mod download;
mod legacy;
mod preview_url;
mod range;
mod refusal;
mod thumbnail;
mod upload;

use edge::{Routes, Rule};

use crate::ClientApi;

/// Bodies are files: the domain limits them, and they may take as long as they make progress.
fn file_body() -> Rule {
    Rule::new().body_bytes(usize::MAX)
}

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    let routes = routes
        .add(config::config)
        .add(create::create)
        .add_with(upload::upload, file_body())
        .add_with(upload::upload_to, file_body())
        .add(download::download)
        .add(download::download_as)
        .add(thumbnail::thumbnail)
        .add(preview_url::preview_url);
    legacy::list(routes)
}
