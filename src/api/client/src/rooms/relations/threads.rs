//! `GET /rooms/{roomId}/threads`: client-server API, "Threading".

use edge::{ApiError, Call, RawJson, State};
use rooms_history::{History, ThreadsRequest};
use ruma::api::client::threads::get_threads::v1::{IncludeThreads, Request};

use super::{begin, limit};
use crate::rooms::{
    events::{reader, token},
    refusal::refuse,
};

/// Threads of a page where the client asks for no number.
const USUAL: usize = 20;

pub(in crate::rooms) async fn threads(
    State(rooms): State<History>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let request = call.request;
    let wanted = ThreadsRequest {
        from: token(request.from.as_deref())?,
        limit: limit(request.limit, USUAL)?,
        participated: request.include == IncludeThreads::Participated,
    };
    let page = rooms
        .threads(&request.room_id, &reader(&call.caller), wanted)
        .await
        .map_err(refuse)?;
    let mut out = begin(&page.chunk, page.next);
    out.push(b'}');
    Ok(RawJson(out))
}
