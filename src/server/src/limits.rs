//! What the operating system lets one process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Each connection is an open file: takes as many as may be had.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
