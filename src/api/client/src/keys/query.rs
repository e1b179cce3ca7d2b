//! `POST /keys/query`: client-server API, "Key management". Answers with text that is stored; nothing is parsed.

use std::collections::BTreeSet;

use ::devices::keys::{Reader, UserKeys, query as read_keys};
use edge::{ApiError, Call, RawJson, State};
use ruma::{DeviceId, api::client::keys::get_keys::v3::Request};
use tokio::task::coop::consume_budget;
use users::Users;

use super::check_count;

/// The objects of an answer that is being written, each without its closing brace.
struct Answer {
    device_keys: String,
    master_keys: String,
    self_signing_keys: String,
    user_signing_keys: String,
}

pub(crate) async fn query(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let wanted = &call.request.device_keys;
    check_count(wanted.len() + wanted.values().map(Vec::len).sum::<usize>())?;
    let db = users.snapshot().await?;
    let user_id = call.caller.user_id.as_str();
    let reader = Reader {
        user: call.caller.number,
        user_id,
    };
    let mut answer = Answer::new();
    let mut unreachable = BTreeSet::new();
    for (owner_id, wanted) in wanted {
        // Thousands of users are read from memory without waiting.
        consume_budget().await;
        if !users.is_local(owner_id) {
            unreachable.insert(owner_id.server_name().as_str());
            continue;
        }
        let Some(user) = users.number(&db, owner_id).await? else {
            continue;
        };
        let owner = Reader {
            user,
            user_id: owner_id.as_str(),
        };
        let wanted: Vec<&str> = wanted.iter().map(|id| DeviceId::as_str(id)).collect();
        let keys = read_keys(&db, reader, owner, &wanted).await?;
        answer.add(owner_id.as_str(), &keys);
    }
    Ok(RawJson(answer.finish(&unreachable).into_bytes()))
}

impl Answer {
    fn new() -> Self {
        let open = || "{".to_owned();
        Self {
            device_keys: open(),
            master_keys: open(),
            self_signing_keys: open(),
            user_signing_keys: open(),
        }
    }

    /// Users without keys have an entry without devices.
    fn add(&mut self, owner: &str, keys: &UserKeys) {
        let mut devices = "{".to_owned();
        for (device, json) in &keys.devices {
            member(&mut devices, device, json);
        }
        devices.push('}');
        member(&mut self.device_keys, owner, &devices);
        let sections = [
            (&mut self.master_keys, &keys.master),
            (&mut self.self_signing_keys, &keys.self_signing),
            (&mut self.user_signing_keys, &keys.user_signing),
        ];
        for (section, key) in sections {
            if let Some(key) = key {
                member(section, owner, key);
            }
        }
    }

    fn finish(self, unreachable: &BTreeSet<&str>) -> String {
        let mut failures = "{".to_owned();
        for server in unreachable {
            member(&mut failures, server, "{}");
        }
        let mut whole = "{".to_owned();
        let sections = [
            ("device_keys", self.device_keys),
            ("failures", failures),
            ("master_keys", self.master_keys),
            ("self_signing_keys", self.self_signing_keys),
            ("user_signing_keys", self.user_signing_keys),
        ];
        for (name, mut section) in sections {
            section.push('}');
            member(&mut whole, name, &section);
        }
        whole.push('}');
        whole
    }
}

/// Adds a member to an object that is not closed yet.
fn member(object: &mut String, name: &str, json: &str) {
    if object.len() > 1 {
        object.push(',');
    }
    object.push_str(&serde_json::to_string(name).expect("strings always serialize"));
    object.push(':');
    object.push_str(json);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_json_with_every_user_asked_for() {
        let mut answer = Answer::new();
        answer.add("@a:x", &UserKeys::default());
        let keys = UserKeys {
            devices: vec![("D\"1".to_owned(), "{\"a\":1}".to_owned())],
            master: Some("{\"m\":1}".to_owned()),
            ..UserKeys::default()
        };
        answer.add("@b:x", &keys);

        let text = answer.finish(&BTreeSet::from(["far.org"]));

        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["device_keys"]["@a:x"], serde_json::json!({}));
        assert_eq!(json["device_keys"]["@b:x"]["D\"1"]["a"], 1);
        assert_eq!(json["master_keys"]["@b:x"]["m"], 1);
        assert_eq!(json["failures"], serde_json::json!({ "far.org": {} }));
    }
}
