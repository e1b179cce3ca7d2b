//! `aqueduct media ...`.

use super::{Failure, execute};
use crate::{
    cli::{MediaCommand, MediaSelection},
    config::{Age, Config},
    control::Request,
    media_requests::{MediaRequest, Which},
};

pub(super) fn run(config: &Config, command: MediaCommand) -> Result<(), Failure> {
    let request = match command {
        MediaCommand::Check => MediaRequest::Check,
        MediaCommand::Usage { user } => MediaRequest::Usage { user },
        MediaCommand::Delete(selection) => MediaRequest::Delete(which(selection)?),
        MediaCommand::Quarantine {
            hash: Some(hash),
            undo,
            ..
        } => MediaRequest::QuarantineContent { hash, undo },
        MediaCommand::Quarantine {
            selection, undo, ..
        } => MediaRequest::Quarantine {
            which: which(selection)?,
            undo,
        },
        MediaCommand::Protect { content, undo } => MediaRequest::Protect { content, undo },
        MediaCommand::Move { to } => MediaRequest::Move { to },
    };
    execute(config, Request::Media(request))
}

/// Exactly one way to select.
fn which(selection: MediaSelection) -> Result<Which, Failure> {
    let MediaSelection {
        uris,
        user,
        server,
        older_than,
        local,
    } = selection;
    match (uris.is_empty(), user, server, older_than) {
        (false, None, None, None) => Ok(Which::These(uris)),
        (true, Some(user), None, None) => Ok(Which::User(user)),
        (true, None, Some(server), None) => Ok(Which::Server(server)),
        (true, None, None, Some(age)) => {
            let age = Age::parse(&age).ok_or("an age is a time such as \"90 d\"")?;
            Ok(Which::OlderThan {
                seconds: age.0.as_secs(),
                local,
            })
        }
        _ => Err("name URIs, or one of --user, --server and --older-than".into()),
    }
}
