//! Tags of a room: `m.tag` account data, client-server API, "Room Tagging". One tag changes in one
//! commit, so two clients that tag the same room at once lose nothing.

use database::{Read, RoomNumber, StoreError, Txn, UserNumber};
use serde_json::{Map, Value};

use crate::{
    account_data::{self, AccountDataError, put_within},
    users::Users,
};

const KIND: &str = "m.tag";

impl Users {
    /// The tags of a room with their content, such as `order`.
    pub async fn tags(
        &self,
        db: &impl Read,
        user: UserNumber,
        room: RoomNumber,
    ) -> Result<Map<String, Value>, StoreError> {
        let content = account_data::get(db, user, Some(room), KIND).await?;
        Ok(content.map(|content| tags_of(&content)).unwrap_or_default())
    }

    /// Sets a tag, or removes it with `None`.
    pub async fn set_tag(
        &self,
        user: UserNumber,
        room: RoomNumber,
        tag: &str,
        info: Option<Value>,
    ) -> Result<(), AccountDataError> {
        let (info, limits) = (&info, self.0.config.account_data);
        let body = move |txn: Txn| async move {
            let mut tags = self.tags(&txn, user, room).await?;
            match info {
                Some(info) => tags.insert(tag.to_owned(), info.clone()),
                None => tags.remove(tag),
            };
            let content = Value::from(Map::from_iter([("tags".to_owned(), tags.into())]));
            let content = content.to_string();
            put_within(&txn, user, Some(room), KIND, &content, limits).await
        };
        self.0.store.transact(body).await?;
        Ok(())
    }
}

/// Lenient: clients can write anything as plain account data.
fn tags_of(content: &str) -> Map<String, Value> {
    match serde_json::from_str(content) {
        Ok(Value::Object(mut content)) => match content.remove("tags") {
            Some(Value::Object(tags)) => tags,
            _ => Map::new(),
        },
        _ => Map::new(),
    }
}
