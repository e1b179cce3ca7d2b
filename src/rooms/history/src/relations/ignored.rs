//! Whose events a reader does not get (client-server API, "Ignoring Users").

use std::{collections::HashSet, sync::Arc};

use database::{Snapshot, StoreError, UserNumber};
use rooms_store::Event;
use ruma::OwnedUserId;

use crate::{handle::History, visibility::Viewer};

/// The users that a reader ignores; never the reader.
pub(crate) struct Ignored {
    reader: UserNumber,
    ids: Arc<HashSet<OwnedUserId>>,
}

impl History {
    pub(crate) async fn ignored_by(
        &self,
        db: &Snapshot,
        viewer: &Viewer,
    ) -> Result<Ignored, StoreError> {
        let reader = viewer.user();
        Ok(Ignored {
            reader,
            ids: self.rooms.users().ignored(db, reader).await?,
        })
    }

    /// The same as numbers. Users that this server does not know have sent nothing.
    pub(crate) async fn ignored_numbers(
        &self,
        db: &Snapshot,
        ignored: &Ignored,
    ) -> Result<HashSet<UserNumber>, StoreError> {
        let mut numbers = HashSet::with_capacity(ignored.ids.len());
        for id in ignored.ids.iter() {
            let number = self.rooms.users().find_number(db, id.as_str()).await?;
            numbers.extend(number.filter(|number| *number != ignored.reader));
        }
        Ok(numbers)
    }
}

impl Ignored {
    /// Whether the reader does not get this event. State is told whoever sent it.
    pub(crate) fn hides(&self, event: &Event) -> bool {
        !event.is_state() && self.is_by(event)
    }

    /// Whether an ignored user has sent this event.
    pub(crate) fn is_by(&self, event: &Event) -> bool {
        event.sender_number != self.reader && self.ids.contains(&event.sender)
    }
}
