//! Account data, global and per room: client-server API, "Client Config".
//!
//! A row contains the position of its last change, and the user's log has one entry per row, at
//! that position: overwriting deletes the old entry. So /sync reads each row that changed after a
//! stamp once.
//!
//! A deleted row (MSC3391) stays as `{}`, because incremental /sync must send the deletion for
//! every older token, like any other change. Everywhere else it reads as absent.

mod ignored;
mod invites;
mod local_notifications;
mod push_rules;
mod quota;
mod tags;

use database::{
    Placed, Position, Read, RoomNumber, Stamp, StoreError, Txn, UserNumber, server_log,
    server_log::Concern,
};
use ruma::UserId;

pub use crate::account_data::push_rules::{PUSH_RULES, PushRuleChange, PushRuleError, PushRules};
pub use crate::account_data::quota::{AccountDataError, AccountDataLimits};
pub(crate) use crate::account_data::{
    ignored::IgnoredCache,
    local_notifications::{forget_device, forget_devices},
};
use crate::{
    tables::{ACCOUNT_DATA, ACCOUNT_DATA_LOG, AccountDataKey, ROOM_ACCOUNT_DATA},
    users::Users,
};

/// Rows that are read at once.
const PAGE: usize = 512;

/// The content of a deleted row.
pub(crate) const DELETED: &str = "{}";

/// One piece of account data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountData {
    /// `None` for global account data.
    pub room: Option<RoomNumber>,
    /// The event type.
    pub kind: String,
    /// The content: the text of a JSON object.
    pub content: String,
}

/// Sets account data as part of a larger commit (a read marker with its receipt). An empty object
/// deletes it, and has no effect if there is none. Everything else uses `Users::set_account_data`,
/// which also updates the cache of ignored users.
pub async fn put(
    txn: &Txn,
    user: UserNumber,
    room: Option<RoomNumber>,
    kind: &str,
    content: &str,
) -> Result<(), StoreError> {
    let before = row(txn, user, room, kind).await?;
    let content = if is_empty(content) { DELETED } else { content }.to_owned();
    if content == DELETED && before.as_ref().is_none_or(|row| row.value == DELETED) {
        return Ok(());
    }
    quota::count(txn, user, kind, before.as_ref(), &content).await?;
    if let Some(before) = before {
        txn.delete(ACCOUNT_DATA_LOG.at((user, before.position)));
    }
    let slot = txn.slot();
    match room {
        None => txn.put_placed(ACCOUNT_DATA.at((user, kind)), &content, slot),
        Some(room) => {
            txn.put_placed(ROOM_ACCOUNT_DATA.at((user, room, kind)), &content, slot);
        }
    }
    let key = AccountDataKey {
        room,
        kind: kind.to_owned(),
    };
    txn.append(ACCOUNT_DATA_LOG.end(user), slot, &key);
    server_log::tell(txn, slot, Concern::User(user));
    Ok(())
}

/// Sets account data within its user's quota.
async fn put_within(
    txn: &Txn,
    user: UserNumber,
    room: Option<RoomNumber>,
    kind: &str,
    content: &str,
    limits: AccountDataLimits,
) -> Result<(), AccountDataError> {
    if content.len() > quota::MAX_CONTENT {
        return Err(AccountDataError::TooLarge);
    }
    let before = quota::size(txn, user).await?;
    put(txn, user, room, kind, content).await?;
    limits.check(before, quota::size(txn, user).await?)
}

/// The content of one piece of account data.
pub async fn get(
    db: &impl Read,
    user: UserNumber,
    room: Option<RoomNumber>,
    kind: &str,
) -> Result<Option<String>, StoreError> {
    let content = row(db, user, room, kind).await?.map(|row| row.value);
    Ok(content.filter(|content| content != DELETED))
}

/// Changes after a stamp, in order. A deleted row is an empty object.
pub async fn since(
    db: &impl Read,
    user: UserNumber,
    stamp: Stamp,
) -> Result<Vec<AccountData>, StoreError> {
    let mut changed = Vec::new();
    let mut after = Position::last_of(stamp);
    loop {
        let page = db
            .page(ACCOUNT_DATA_LOG.under(user).after((user, after)), PAGE)
            .await?;
        let is_last = page.len() < PAGE;
        for ((_, position), key) in page {
            after = position;
            let row = row(db, user, key.room, &key.kind).await?;
            // If one commit changed a row twice, only the last entry counts.
            if let Some(row) = row.filter(|row| row.position == position) {
                changed.push(AccountData {
                    room: key.room,
                    kind: key.kind,
                    content: row.value,
                });
            }
        }
        if is_last {
            return Ok(changed);
        }
    }
}

/// All account data, global first, then by room.
pub async fn all(db: &impl Read, user: UserNumber) -> Result<Vec<AccountData>, StoreError> {
    let mut found = all_global(db, user).await?;
    found.extend(all_of_rooms(db, user).await?);
    found.retain(|data| data.content != DELETED);
    Ok(found)
}

impl Users {
    /// Sets account data for its user. An empty object deletes it.
    pub async fn set_account_data(
        &self,
        user: UserNumber,
        room: Option<RoomNumber>,
        kind: &str,
        content: &str,
    ) -> Result<(), AccountDataError> {
        let (kind, content) = (kind.to_owned(), content.to_owned());
        let users = self.clone();
        self.finish(async move {
            let (kind, content) = (kind.as_str(), content.as_str());
            let limits = users.0.config.account_data;
            let body = move |txn: Txn| async move {
                put_within(&txn, user, room, kind, content, limits).await
            };
            let ((), stamp) = users.0.store.transact(body).await?;
            if room.is_none() && kind == ignored::KIND {
                users.0.ignored.remove(user, stamp);
            }
            Ok(())
        })
        .await
    }

    /// Deletes account data for its user. Has no effect if there is none.
    pub async fn delete_account_data(
        &self,
        user: UserNumber,
        room: Option<RoomNumber>,
        kind: &str,
    ) -> Result<(), AccountDataError> {
        self.set_account_data(user, room, kind, DELETED).await
    }

    /// For incremental /sync: changes after a stamp, deletions as empty objects.
    pub async fn account_data_since(
        &self,
        db: &impl Read,
        user: UserNumber,
        user_id: &UserId,
        stamp: Stamp,
    ) -> Result<Vec<AccountData>, StoreError> {
        let mut changed = since(db, user, stamp).await?;
        if let Some(rules) = changed.iter_mut().find(|data| data.is_push_rules()) {
            rules.content = self.push_rules_content(db, user, user_id).await?;
        }
        Ok(changed)
    }

    /// For initial /sync: everything, including the push rules if the user has not changed any.
    pub async fn account_data_all(
        &self,
        db: &impl Read,
        user: UserNumber,
        user_id: &UserId,
    ) -> Result<Vec<AccountData>, StoreError> {
        let mut found = all(db, user).await?;
        found.retain(|data| !data.is_push_rules());
        let rules = AccountData {
            room: None,
            kind: PUSH_RULES.to_owned(),
            content: self.push_rules_content(db, user, user_id).await?,
        };
        found.insert(0, rules);
        Ok(found)
    }
}

impl AccountData {
    /// Types whose row differs from what clients see.
    fn is_push_rules(&self) -> bool {
        self.room.is_none() && self.kind == PUSH_RULES
    }
}

/// Whether a JSON object has no members.
fn is_empty(object: &str) -> bool {
    let inside = object
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    inside.is_some_and(|inside| inside.trim().is_empty())
}

async fn row(
    db: &impl Read,
    user: UserNumber,
    room: Option<RoomNumber>,
    kind: &str,
) -> Result<Option<Placed<String>>, StoreError> {
    match room {
        None => db.get(ACCOUNT_DATA.at((user, kind))).await,
        Some(room) => db.get(ROOM_ACCOUNT_DATA.at((user, room, kind))).await,
    }
}

async fn all_global(db: &impl Read, user: UserNumber) -> Result<Vec<AccountData>, StoreError> {
    let mut found: Vec<AccountData> = Vec::new();
    loop {
        let rows = match found.last() {
            Some(last) => ACCOUNT_DATA.under(user).after((user, &last.kind)),
            None => ACCOUNT_DATA.under(user),
        };
        let page = db.page(rows, PAGE).await?;
        let is_last = page.len() < PAGE;
        found.extend(page.into_iter().map(|((_, kind), row)| AccountData {
            room: None,
            kind,
            content: row.value,
        }));
        if is_last {
            return Ok(found);
        }
    }
}

async fn all_of_rooms(db: &impl Read, user: UserNumber) -> Result<Vec<AccountData>, StoreError> {
    let mut found: Vec<AccountData> = Vec::new();
    loop {
        let rows = match found.last() {
            Some(AccountData {
                room: Some(room),
                kind,
                ..
            }) => ROOM_ACCOUNT_DATA.under(user).after((user, *room, kind)),
            _ => ROOM_ACCOUNT_DATA.under(user),
        };
        let page = db.page(rows, PAGE).await?;
        let is_last = page.len() < PAGE;
        found.extend(page.into_iter().map(|((_, room, kind), row)| AccountData {
            room: Some(room),
            kind,
            content: row.value,
        }));
        if is_last {
            return Ok(found);
        }
    }
}
