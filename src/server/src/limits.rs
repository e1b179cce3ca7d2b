//! The operating system's limit of open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files that connections leave to the database, listeners, logs and outgoing connections.
const OTHER_FILES: u64 = 1024;

/// Raises the soft limit of open files to the hard one, because each connection is an open file.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::debug!(%error, "could not raise the limit of open files");
    }
}

/// Connections that the server may have at once: `wanted`, or fewer where the limit of open files
/// is too low for that.
pub(crate) fn connections(wanted: usize) -> usize {
    match getrlimit(Resource::Nofile).current {
        None => wanted,
        Some(open_files) => {
            let most = usize::try_from(connections_of(open_files)).unwrap_or(usize::MAX);
            if most < wanted {
                tracing::warn!(
                    open_files,
                    connections = most,
                    "the limit of open files allows fewer connections than http.max_connections"
                );
            }
            wanted.min(most)
        }
    }
}

/// All but what the rest of the server needs, yet never less than half.
fn connections_of(open_files: u64) -> u64 {
    open_files
        .saturating_sub(OTHER_FILES)
        .max(open_files / 2)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_open_files_to_the_database() {
        assert_eq!(connections_of(1_048_576), 1_047_552);
        assert_eq!(connections_of(4_096), 3_072);
        assert_eq!(connections_of(1_024), 512);
        assert_eq!(connections_of(0), 1);
    }
}
