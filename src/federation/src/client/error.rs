//! Why an exchange failed.

use std::{error::Error, fmt::Write as _, net::IpAddr};

/// Cloned to everybody who waited for the same exchange, so it holds text instead of a source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// An address that is not public, and not in `outgoing.allowed_networks`.
    #[error("{0} is not a public address")]
    Forbidden(IpAddr),
    #[error("the URL is not one that this server requests: {0}")]
    InvalidUrl(&'static str),
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("timed out {0}")]
    TimedOut(&'static str),
    #[error("the response is larger than {0} bytes")]
    TooLarge(u64),
    #[error("the redirect cannot be followed: {0}")]
    Redirect(&'static str),
    /// The connection ended, or what arrived is not HTTP.
    #[error("the exchange failed: {0}")]
    Interrupted(String),
    /// Too many requests are under way: of this process, not of the destination.
    #[error("too many outgoing requests")]
    Busy,
}

/// An error with its causes, in one line.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.ends_with(&part) {
            write!(text, ": {part}").expect("writing to a String cannot fail");
        }
        cause = error.source();
    }
    text
}
