//! `GET /_matrix/client/versions`: client-server API, "API Versions".

use edge::{ApiError, Call};
use ruma::api::client::discovery::get_supported_versions::{Request, Response};

/// Up to the newest version of which clients find here what they look for.
const VERSIONS: [&str; 16] = [
    "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11",
    "v1.12", "v1.13", "v1.14", "v1.15", "v1.16",
];

/// What clients ask for by its unstable name: parts of the spec that older ones do not know of yet, and proposals.
const UNSTABLE_FEATURES: [&str; 8] = [
    "org.matrix.msc3026.busy_presence",
    "org.matrix.msc3391",
    "org.matrix.msc3874",
    "org.matrix.msc4222",
    "org.matrix.msc3827.stable",
    "org.matrix.msc2285.stable",
    "uk.tcpip.msc4133",
    "uk.tcpip.msc4133.stable",
];

pub(crate) async fn versions(_: Call<Request>) -> Result<Response, ApiError> {
    let mut response = Response::new(VERSIONS.map(str::to_owned).to_vec());
    response.unstable_features = UNSTABLE_FEATURES
        .map(|feature| (feature.to_owned(), true))
        .into();
    Ok(response)
}
