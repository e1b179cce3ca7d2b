//! What another server proposes for a membership event. Only its place in the room's graph is taken from it.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use rooms_writer::{OutsidePlace, ReferenceHashes};
use ruma::{
    OwnedEventId, OwnedUserId, RoomId, ServerName, UserId,
    room_version_rules::{EventsReferenceFormatVersion, RoomVersionRules},
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
pub(crate) struct Template {
    #[serde(rename = "type")]
    kind: String,
    room_id: String,
    sender: String,
    state_key: Option<String>,
    content: Content,
    #[serde(default)]
    depth: u64,
    prev_events: Vec<Value>,
    auth_events: Vec<Value>,
}

#[derive(Deserialize)]
struct Content {
    membership: String,
    join_authorised_via_users_server: Option<String>,
}

type References = (Vec<OwnedEventId>, Vec<[u8; 32]>);

impl Template {
    /// Reads a template, which must be for what was asked.
    pub(super) fn read(
        text: &str,
        room_id: &RoomId,
        user: &UserId,
        membership: &str,
    ) -> Result<Self, &'static str> {
        let template: Self = serde_json::from_str(text).map_err(|_| "the template is no event")?;
        let is_asked = template.kind == "m.room.member"
            && template.room_id == room_id.as_str()
            && template.sender == user.as_str()
            && template.state_key.as_deref() == Some(user.as_str())
            && template.content.membership == membership;
        is_asked
            .then_some(template)
            .ok_or("the template is for something else")
    }

    /// The member of a restricted room in whose name the server lets the user in: one of its own, whose signature it can give.
    pub(super) fn authorizer(
        &self,
        server: &ServerName,
        rules: &RoomVersionRules,
    ) -> Result<Option<OwnedUserId>, &'static str> {
        let Some(user) = &self.content.join_authorised_via_users_server else {
            return Ok(None);
        };
        if !rules.authorization.restricted_join_rule {
            return Ok(None);
        }
        let user = OwnedUserId::try_from(user.as_str()).ok();
        let user = user.filter(|user| user.server_name() == server);
        user.map(Some)
            .ok_or("the template names a user of another server")
    }

    pub(super) fn place(
        self,
        room_id: &RoomId,
        rules: &'static RoomVersionRules,
    ) -> Result<OutsidePlace, &'static str> {
        let wrong = "the template refers to events in a wrong way";
        let (auth_events, auth_hashes) = references(rules, &self.auth_events).ok_or(wrong)?;
        let (prev_events, prev_hashes) = references(rules, &self.prev_events).ok_or(wrong)?;
        let is_old = rules.event_format.require_event_id;
        Ok(OutsidePlace {
            room_id: room_id.to_owned(),
            rules,
            auth_events,
            prev_events,
            depth: self.depth,
            hashes: is_old.then_some(ReferenceHashes {
                auth: auth_hashes,
                prev: prev_hashes,
            }),
        })
    }
}

/// Events by id; in room versions 1 and 2 with their hashes.
fn references(rules: &RoomVersionRules, list: &[Value]) -> Option<References> {
    let (mut ids, mut hashes) = (Vec::new(), Vec::new());
    for reference in list {
        let id = match rules.events_reference_format {
            EventsReferenceFormatVersion::V1 => {
                let hash = reference.get(1)?.get("sha256")?.as_str()?;
                let hash = STANDARD_NO_PAD.decode(hash).ok()?;
                hashes.push(hash.try_into().ok()?);
                reference.get(0)?
            }
            _ => reference,
        };
        ids.push(OwnedEventId::try_from(id.as_str()?).ok()?);
    }
    Some((ids, hashes))
}

#[cfg(test)]
mod tests {
    use protocol::room_version;
    use ruma::{RoomVersionId, room_id, server_name, user_id};
    use serde_json::json;

    use super::*;

    fn read(change: impl FnOnce(&mut Value)) -> Result<Template, &'static str> {
        let mut template = json!({
            "type": "m.room.member", "room_id": "!room:a.example", "sender": "@bob:b.example",
            "state_key": "@bob:b.example", "content": { "membership": "join" }, "depth": 7,
            "prev_events": [], "auth_events": [],
        });
        change(&mut template);
        let (room, user) = (room_id!("!room:a.example"), user_id!("@bob:b.example"));
        Template::read(&template.to_string(), room, user, "join")
    }

    #[test]
    fn a_template_for_something_else_is_refused() {
        assert!(read(|_| ()).is_ok());
        for (name, value) in [
            ("type", json!("m.room.power_levels")),
            ("room_id", json!("!other:a.example")),
            ("sender", json!("@ann:b.example")),
            ("state_key", json!("@ann:b.example")),
            ("content", json!({ "membership": "leave" })),
            ("prev_events", json!({})),
            ("depth", json!(-1)),
        ] {
            assert!(read(|template| template[name] = value).is_err(), "{name}");
        }
    }

    #[test]
    fn a_server_vouches_only_by_its_own_users() {
        let rules = room_version::rules(&RoomVersionId::V10).expect("it is supported");
        let by = |user: &str| {
            let via = json!({ "membership": "join", "join_authorised_via_users_server": user });
            let template = read(|template| template["content"] = via).expect("a template");
            template.authorizer(server_name!("a.example"), rules)
        };
        assert!(by("@alice:a.example").is_ok());
        assert!(by("@alice:c.example").is_err());
        assert!(by("nobody").is_err());
    }
}
