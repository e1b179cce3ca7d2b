mod format;
mod random;
mod signatures;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use ruma::{RoomVersionId, UInt, owned_user_id, server_name};
use serde_json::{Value, json};

use super::*;
use crate::{
    content::Content,
    event::{Draft, OldFormat, Signer},
    room_version::{SUPPORTED, rules},
};

const HASH: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

struct Server(&'static ServerName, SigningKey);

impl Server {
    fn new(name: &'static ServerName) -> Self {
        let seed = hash::sha256(name.as_str());
        Self(name, SigningKey::from_bytes(&seed))
    }
}

impl Signer for Server {
    fn server_name(&self) -> &ServerName {
        self.0
    }

    fn key_id(&self) -> &'static str {
        "ed25519:a"
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.1.sign(message).to_bytes()
    }
}

/// The keys of every server, all with the same id.
fn keys(server: &ServerName, key_id: &str) -> Option<[u8; 32]> {
    let key = SigningKey::from_bytes(&hash::sha256(server.as_str()));
    (key_id == "ed25519:a").then(|| key.verifying_key().to_bytes())
}

fn draft(version: &RoomVersionId, kind: &str, content: &Value) -> Draft {
    let rules = rules(version).expect("a supported version");
    let is_old = rules.event_format.require_event_id;
    let names_itself =
        kind == "m.room.create" && rules.authorization.room_create_event_id_as_room_id;
    let reference = match is_old {
        true => "$previous:y".to_owned(),
        false => format!("${HASH}"),
    };
    let reference = vec![OwnedEventId::try_from(reference).expect("an id")];
    let room_id = match rules.authorization.room_create_event_id_as_room_id {
        true => format!("!B{}", &HASH[1..]),
        false => "!room:x".to_owned(),
    };
    Draft {
        rules,
        room_id: (!names_itself).then(|| room_id.try_into().expect("a room id")),
        sender: owned_user_id!("@alice:x"),
        kind: kind.into(),
        state_key: None,
        content: Content::of(content).expect("content"),
        auth_events: reference.clone(),
        prev_events: reference,
        depth: Depth(12),
        origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::from(1_700_000_000_u32)),
        redacts: None,
        old_format: is_old.then(|| {
            Box::new(OldFormat {
                event_id: "$own:x".try_into().expect("an id"),
                auth_hashes: vec![[1; 32]],
                prev_hashes: vec![[2; 32]],
            })
        }),
    }
}

fn sent(draft: &Draft) -> Value {
    let pdu = draft.sign(&Server::new(server_name!("x"))).expect("signed");
    serde_json::from_str(&pdu.json).expect("JSON")
}

/// A message as another server sent it, signed by `x`.
fn message(version: &RoomVersionId) -> Value {
    sent(&draft(
        version,
        "m.room.message",
        &json!({ "body": "hello" }),
    ))
}

fn member(version: &RoomVersionId, content: &Value) -> Value {
    let mut draft = draft(version, "m.room.member", content);
    draft.state_key = Some("@bob:y".to_owned());
    sent(&draft)
}

fn read(version: &RoomVersionId, event: &Value) -> Result<Pdu, FormatError> {
    Pdu::read(rules(version).expect("rules"), &event.to_string())
}

/// Replaces the signatures by those of some servers, over the event as it is now, with the right content hash.
fn sign_again(version: &RoomVersionId, event: &mut Value, servers: &[&'static ServerName]) {
    event["signatures"] = json!({});
    event["hashes"] = json!({ "sha256": "" });
    let hash = hash::content_hash(&event.to_string()).expect("a hash");
    event["hashes"] = json!({ "sha256": STANDARD_NO_PAD.encode(hash) });
    add_signatures(version, event, servers);
}

fn add_signatures(version: &RoomVersionId, event: &mut Value, servers: &[&'static ServerName]) {
    let rules = rules(version).expect("rules");
    let text = hash::signing_text(rules, &event.to_string()).expect("an event");
    for server in servers {
        let signature = STANDARD_NO_PAD.encode(Server::new(server).sign(text.as_bytes()));
        event["signatures"][server.as_str()] = json!({ "ed25519:a": signature });
    }
}
