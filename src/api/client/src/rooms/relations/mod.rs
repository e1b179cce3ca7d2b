//! Client-server API, "Forming relationships between events" and "Threading".

mod children;
mod threads;

use edge::{ApiError, Routes};
use rooms_history::PaginationToken;
use ruma::UInt;

use crate::ClientApi;

pub(super) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes
        .add(children::all)
        .add(children::of_relation)
        .add(children::of_relation_and_kind)
        .add(threads::threads)
}

/// Events of a page: what the client asks for, or a usual number.
fn limit(asked: Option<UInt>, usual: usize) -> Result<usize, ApiError> {
    match asked {
        None => Ok(usual),
        Some(asked) if asked == UInt::from(0_u32) => {
            Err(ApiError::invalid_param("`limit` must be at least 1"))
        }
        Some(asked) => Ok(usize::try_from(u64::from(asked)).unwrap_or(usize::MAX)),
    }
}

/// The beginning of an answer: its list of events and where to go on.
fn begin(chunk: &[u8], next: Option<PaginationToken>) -> Vec<u8> {
    let mut out = Vec::with_capacity(chunk.len() + 256);
    out.extend_from_slice(br#"{"chunk":["#);
    out.extend_from_slice(chunk);
    out.push(b']');
    if let Some(next) = next {
        out.extend_from_slice(format!(r#","next_batch":"{next}""#).as_bytes());
    }
    out
}
