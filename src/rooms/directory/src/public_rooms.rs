//! The directory of published rooms (client-server API, "Published room directory").
//!
//! Rooms come in the order of their numbers, which never changes: a token is the number of the room at which its page
//! begins or ends. Each answer looks at a bounded number of rooms.

use std::{collections::HashSet, fmt, str::FromStr};

use database::{Read, RoomNumber, Snapshot, UserNumber};
use protocol::scan;
use ruma::{OwnedRoomId, RoomId, UserId};
use serde_json::Value;

use crate::handle::RoomDirectory;
use rooms_history::{BadToken, HistoryVisibility};
use rooms_store::{
    RoomError,
    tables::{DIRECTORY, RoomHead},
};
use rooms_writer::Visibility;

/// A room as the directory shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicRoom {
    pub room_id: OwnedRoomId,
    pub name: Option<String>,
    pub topic: Option<String>,
    pub avatar_url: Option<String>,
    pub canonical_alias: Option<String>,
    pub joined: u64,
    pub is_world_readable: bool,
    pub may_guests_join: bool,
    pub join_rule: Option<String>,
    pub room_type: Option<String>,
}

/// Which rooms a client asks for.
#[derive(Clone, Debug, Default)]
pub struct DirectoryRequest {
    pub since: Option<DirectoryToken>,
    /// `None` for as many as there are in a page.
    pub limit: Option<usize>,
    /// Looked for in name, topic and canonical alias, whatever the case.
    pub search: Option<String>,
    /// `None` in the set stands for rooms without a type.
    pub room_types: Option<HashSet<Option<String>>>,
}

/// A page of the directory.
#[derive(Clone, Debug, Default)]
pub struct DirectoryPage {
    pub rooms: Vec<PublicRoom>,
    pub next: Option<DirectoryToken>,
    pub previous: Option<DirectoryToken>,
    /// How many rooms the directory has; counted up to a bound.
    pub total: usize,
}

/// Where a page of the directory begins, and which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryToken {
    After(RoomNumber),
    Before(RoomNumber),
}

/// Rooms of one page.
const LONGEST_PAGE: usize = 500;
/// Rooms looked at for one page.
const MOST_ROWS: usize = 5_000;
const STEP: usize = 256;

impl RoomDirectory {
    /// Whether the directory shows a room.
    pub async fn is_published(&self, room_id: &RoomId) -> Result<bool, RoomError> {
        let db = self.rooms.snapshot().await?;
        let room = self.rooms.require(&db, room_id).await?;
        Ok(db.exists(DIRECTORY.at(room)).await?)
    }

    /// Shows a room in the directory, or no longer. Who may set its canonical alias may do that.
    pub async fn publish(
        &self,
        room_id: &RoomId,
        user: UserNumber,
        user_id: &UserId,
        visibility: Visibility,
    ) -> Result<(), RoomError> {
        let db = self.rooms.snapshot().await?;
        let room = self.rooms.require(&db, room_id).await?;
        if !self.may_name(&db, room, user, user_id).await? {
            return Err(RoomError::Forbidden(
                "you may not publish this room".to_owned(),
            ));
        }
        drop(db);
        self.rooms
            .store()
            .transact::<_, RoomError, _>(|txn| async move {
                match visibility {
                    Visibility::Public => txn.put(DIRECTORY.at(room), &()),
                    Visibility::Private => txn.delete(DIRECTORY.at(room)),
                }
                Ok(())
            })
            .await?;
        Ok(())
    }

    /// A page of the directory.
    pub async fn public_rooms(
        &self,
        request: &DirectoryRequest,
    ) -> Result<DirectoryPage, RoomError> {
        let db = self.rooms.snapshot().await?;
        let limit = request.limit.unwrap_or(LONGEST_PAGE).clamp(1, LONGEST_PAGE);
        let is_backward = matches!(request.since, Some(DirectoryToken::Before(_)));
        let mut found: Vec<(RoomNumber, PublicRoom)> = Vec::new();
        let mut since = request.since;
        let mut looked_at = 0;
        let stopped = 'walk: loop {
            let numbers = page_of(&db, since).await?;
            for number in &numbers {
                if found.len() == limit || looked_at == MOST_ROWS {
                    break 'walk since;
                }
                looked_at += 1;
                since = Some(if is_backward {
                    DirectoryToken::Before(*number)
                } else {
                    DirectoryToken::After(*number)
                });
                if let Some(room) = self.public_room(&db, *number, request).await? {
                    found.push((*number, room));
                }
            }
            if numbers.len() < STEP {
                break None;
            }
        };
        let turned_back = request.since.map(|token| match token {
            DirectoryToken::After(number) => {
                DirectoryToken::Before(RoomNumber(number.0.saturating_add(1)))
            }
            DirectoryToken::Before(number) => {
                DirectoryToken::After(RoomNumber(number.0.saturating_sub(1)))
            }
        });
        let (next, previous) = if is_backward {
            (turned_back, stopped)
        } else {
            (stopped, turned_back)
        };
        if is_backward {
            found.reverse();
        }
        let total = db.page(DIRECTORY.all(), MOST_ROWS).await?.len();
        Ok(DirectoryPage {
            rooms: found.into_iter().map(|(_, room)| room).collect(),
            next,
            previous,
            total,
        })
    }

    /// One room, if it is asked for.
    async fn public_room(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        request: &DirectoryRequest,
    ) -> Result<Option<PublicRoom>, RoomError> {
        let head = self.rooms.head(db, room).await?;
        let room_type = self.said(db, room, &head, "m.room.create", "type").await?;
        if request
            .room_types
            .as_ref()
            .is_some_and(|types| !types.contains(&room_type))
        {
            return Ok(None);
        }
        let mut public = PublicRoom {
            room_id: self.rooms.room_id(db, room).await?,
            name: self.said(db, room, &head, "m.room.name", "name").await?,
            topic: self.topic(db, room, &head).await?,
            avatar_url: None,
            canonical_alias: self
                .said(db, room, &head, "m.room.canonical_alias", "alias")
                .await?,
            joined: head.joined,
            is_world_readable: false,
            may_guests_join: false,
            join_rule: None,
            room_type,
        };
        if request
            .search
            .as_deref()
            .is_some_and(|term| !public.mentions(term))
        {
            return Ok(None);
        }
        public.avatar_url = self.said(db, room, &head, "m.room.avatar", "url").await?;
        public.join_rule = self
            .said(db, room, &head, "m.room.join_rules", "join_rule")
            .await?;
        let guests = self
            .said(db, room, &head, "m.room.guest_access", "guest_access")
            .await?;
        public.may_guests_join = guests.as_deref() == Some("can_join");
        let visibility = self
            .history
            .history_visibility(db, room, head.state)
            .await?;
        public.is_world_readable = visibility == HistoryVisibility::WorldReadable;
        Ok(Some(public))
    }

    /// The plain text of `m.topic`, else `topic`.
    async fn topic(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        head: &RoomHead,
    ) -> Result<Option<String>, RoomError> {
        let event = self
            .rooms
            .state_event(db, room, head.state, "m.room.topic", "");
        let topic = event.await?.and_then(|event| plain_topic(event.content()));
        match topic {
            Some(topic) => Ok(Some(topic)),
            None => self.said(db, room, head, "m.room.topic", "topic").await,
        }
    }

    /// A text in the content of a piece of the room's state, if it is not empty.
    async fn said(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        head: &RoomHead,
        kind: &str,
        key: &str,
    ) -> Result<Option<String>, RoomError> {
        let event = self
            .rooms
            .state_event(db, room, head.state, kind, "")
            .await?;
        let text = event.and_then(|event| {
            scan::string_member(event.content(), key).map(std::borrow::Cow::into_owned)
        });
        Ok(text.filter(|text| !text.is_empty()))
    }
}

/// The plain text in `m.topic`, whose first suitable representation counts.
fn plain_topic(content: &str) -> Option<String> {
    let texts = scan::member(scan::member(content, "m.topic")?, "m.text")?;
    let texts: Vec<Value> = serde_json::from_str(texts).ok()?;
    let is_plain = |text: &&Value| {
        let kind = text.get("mimetype");
        kind.is_none_or(|kind| kind == "text/plain")
    };
    let body = texts.iter().find(is_plain)?.get("body")?.as_str()?;
    (!body.is_empty()).then(|| body.to_owned())
}

/// The next rooms of the directory, in the direction of the token.
async fn page_of(
    db: &Snapshot,
    since: Option<DirectoryToken>,
) -> Result<Vec<RoomNumber>, RoomError> {
    let rows = match since {
        None => DIRECTORY.all(),
        Some(DirectoryToken::After(room)) => DIRECTORY.all().after(room),
        Some(DirectoryToken::Before(room)) => DIRECTORY.all().before(room).reversed(),
    };
    Ok(db
        .page(rows, STEP)
        .await?
        .into_iter()
        .map(|(room, ())| room)
        .collect())
}

impl PublicRoom {
    fn mentions(&self, term: &str) -> bool {
        let term = term.to_lowercase();
        let texts = [&self.name, &self.topic, &self.canonical_alias];
        texts
            .into_iter()
            .flatten()
            .any(|text| text.to_lowercase().contains(&term))
    }
}

impl fmt::Display for DirectoryToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(room) => write!(f, "a{}", room.0),
            Self::Before(room) => write!(f, "b{}", room.0),
        }
    }
}

impl FromStr for DirectoryToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let number = |text: &str| text.parse().map(RoomNumber).map_err(|_| BadToken);
        match text.split_at_checked(1) {
            Some(("a", rest)) => Ok(Self::After(number(rest)?)),
            Some(("b", rest)) => Ok(Self::Before(number(rest)?)),
            _ => Err(BadToken),
        }
    }
}
