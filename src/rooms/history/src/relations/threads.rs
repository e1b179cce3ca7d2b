//! The threads of a room (client-server API, `GET /rooms/{roomId}/threads`), by their newest event.

use database::{Read, Snapshot};
use rooms_store::{
    RoomError,
    relations::{THREAD, THREAD_ORDER, has_child_by},
};
use ruma::{EventId, RoomId};

use crate::{
    handle::History,
    timeline::Reader,
    token::{AnyToken, PaginationToken},
    visibility::Viewer,
};

/// What a client asks of `/threads`.
#[derive(Clone, Copy, Debug)]
pub struct ThreadsRequest {
    pub from: Option<AnyToken>,
    pub limit: usize,
    /// Only threads in which the reader has written, or whose root is theirs.
    pub participated: bool,
}

/// The answer; `chunk` is the elements of a JSON list: the roots.
#[derive(Clone, Debug)]
pub struct ThreadsPage {
    pub chunk: Vec<u8>,
    pub next: Option<PaginationToken>,
}

/// Roots of one page.
const MOST_ROOTS: usize = 100;
/// Threads that one request looks at.
const MOST_LOOKED_AT: usize = 1_000;

impl History {
    pub async fn threads(
        &self,
        room_id: &RoomId,
        reader: &Reader,
        request: ThreadsRequest,
    ) -> Result<ThreadsPage, RoomError> {
        let db = self.rooms.snapshot().await?;
        let (room, _) = self.require_standing(&db, room_id, reader.user).await?;
        let mut viewer = self.viewer(&db, room, reader.user).await?;
        let limit = request.limit.clamp(1, MOST_ROOTS);
        let mut rows = THREAD_ORDER.under(room).reversed();
        if let Some(from) = request.from {
            rows = rows.through((room, from.pagination().position));
        }
        let mut page = ThreadsPage {
            chunk: Vec::new(),
            next: None,
        };
        let (mut found, mut looked_at) = (0, 0);
        loop {
            let threads = db.page(rows.clone(), limit + 1).await?;
            let is_end = threads.len() <= limit;
            for ((_, at), root) in threads.iter().take(limit) {
                looked_at += 1;
                rows = rows.before((room, *at));
                let is_written = self
                    .write_thread(
                        &mut page.chunk,
                        &db,
                        &mut viewer,
                        reader,
                        room_id,
                        root,
                        request,
                    )
                    .await?;
                found += usize::from(is_written);
                if found == limit || looked_at >= MOST_LOOKED_AT {
                    let is_last = is_end && threads.last().is_some_and(|((_, end), _)| end == at);
                    if !is_last {
                        page.next = Some(PaginationToken::before(*at, db.stamp()));
                    }
                    return Ok(page);
                }
            }
            if is_end {
                return Ok(page);
            }
        }
    }

    /// Writes the root of a thread, if the reader gets it and something of the thread.
    #[expect(clippy::too_many_arguments, reason = "one step of a loop over threads")]
    async fn write_thread(
        &self,
        out: &mut Vec<u8>,
        db: &Snapshot,
        viewer: &mut Viewer,
        reader: &Reader,
        room_id: &RoomId,
        root: &str,
        request: ThreadsRequest,
    ) -> Result<bool, RoomError> {
        let Ok(id) = <&EventId>::try_from(root) else {
            return Ok(false);
        };
        let room = viewer.room();
        let Some(event) = self.rooms.event_by_id(db, room, id).await? else {
            return Ok(false);
        };
        if request.participated
            && event.sender_number != reader.user
            && !has_child_by(db, room, root, THREAD, reader.user).await?
        {
            return Ok(false);
        }
        let events = [event];
        let ignored = self.ignored_by(db, viewer).await?;
        let is_visible = viewer.visible(&self.rooms, db, &events).await? == [true];
        if !is_visible || ignored.hides(&events[0]) {
            return Ok(false);
        }
        let bundles = self.bundles(db, viewer, &events).await?;
        let bundle = bundles.get(&events[0].number);
        if !events[0].is_state() && bundle.is_none_or(|bundle| bundle.thread.is_none()) {
            return Ok(false);
        }
        if !out.is_empty() {
            out.push(b',');
        }
        let device = Some(&*reader.device);
        self.write_events(out, db, viewer, device, &events, Some(room_id))
            .await?;
        Ok(true)
    }
}
