//! Reading rooms as a user may see them: visibility, timelines, state and members at a position, client JSON, filters,
//! receipts. Knows nothing of how events are written.

pub mod client_json;
mod filter;
mod handle;
pub mod receipts;
mod state_read;
mod timeline;
mod token;
mod visibility;

pub use crate::{
    filter::{EventFilter, Relations},
    handle::History,
    receipts::Markers,
    state_read::{MembersFilter, StateFormat},
    timeline::{Context, ContextRequest, Direction, MessagesPage, MessagesRequest, Reader},
    token::{AnyToken, BadToken, PaginationToken, SyncToken},
    visibility::{Departure, HistoryVisibility, ServerViewer, Standing, Viewer},
};
