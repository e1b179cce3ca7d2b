//! Which servers a room excludes (client-server API, "Server Access Control Lists").

use std::sync::Arc;

use database::{RoomNumber, Snapshot};
use quick_cache::sync::Cache;
use rooms_store::{RoomError, state_map::EventNumber};
use ruma::{ServerName, events::room::server_acl::RoomServerAclEventContent};
use serde_json::Value;

use crate::handle::RemoteRooms;

/// Parsed lists that are kept. Bound: each is at most as large as an event, 64 KiB. An event never changes what its list says, but a
/// redaction: that replaces the entry, because redacted events are told apart.
const KEPT: usize = 128;

/// Owner: `RemoteRooms`.
pub(crate) struct Acls(Cache<(RoomNumber, EventNumber, bool), Arc<RoomServerAclEventContent>>);

impl Acls {
    pub(crate) fn new() -> Self {
        Self(Cache::new(KEPT))
    }
}

impl RemoteRooms {
    /// Whether a room's current state lets a server take part in it. A room without a list lets everybody.
    pub async fn admits(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        server: &ServerName,
    ) -> Result<bool, RoomError> {
        let rooms = self.rooms();
        let state = rooms.head(db, room).await?.state;
        let event = rooms.state_event(db, room, state, "m.room.server_acl", "");
        let Some(event) = event.await? else {
            return Ok(true);
        };
        let key = (room, event.number, event.redacted_because.is_some());
        let kept = self.0.acls.0.get(&key);
        let acl = kept.unwrap_or_else(|| {
            let acl = Arc::new(parse(event.content()));
            self.0.acls.0.insert(key, acl.clone());
            acl
        });
        Ok(acl.is_allowed(server))
    }
}

/// Entries that are not text are ignored; a list that is none is empty, so that nobody is allowed by it.
fn parse(content: &str) -> RoomServerAclEventContent {
    let content: Value = serde_json::from_str(content).unwrap_or_default();
    let list = |name: &str| {
        let entries = content[name].as_array().into_iter().flatten();
        let texts = entries.filter_map(|entry| entry.as_str().map(str::to_owned));
        texts.collect()
    };
    let allows_literals = content["allow_ip_literals"].as_bool().unwrap_or(true);
    RoomServerAclEventContent::new(allows_literals, list("allow"), list("deny"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(content: &str, server: &str) -> bool {
        let server = <&ServerName>::try_from(server).expect("a server name");
        parse(content).is_allowed(server)
    }

    #[test]
    fn names_are_compared_without_case_and_port() {
        let acl = r#"{"allow":["*"],"deny":["*.Evil.example"]}"#;
        assert!(!admits(acl, "a.evil.EXAMPLE:8448"));
        assert!(admits(acl, "evil.example"));
    }

    #[test]
    fn a_list_of_nobody_admits_nobody() {
        assert!(!admits("{}", "a.example"));
        assert!(!admits(r#"{"allow":"*"}"#, "a.example"));
        assert!(admits(
            r#"{"allow":["a.example",7],"deny":{}}"#,
            "a.example"
        ));
    }

    #[test]
    fn addresses_can_be_excluded() {
        let acl = r#"{"allow":["*"],"allow_ip_literals":false}"#;
        assert!(!admits(acl, "1.1.1.1:1"));
        assert!(!admits(acl, "[::1]"));
        assert!(admits(
            r#"{"allow":["*"],"allow_ip_literals":1}"#,
            "1.1.1.1"
        ));
    }
}
