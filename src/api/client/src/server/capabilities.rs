//! `GET /capabilities`: client-server API, "Capabilities negotiation".

use edge::{ApiError, Call, Json, State};
use protocol::room_version::SUPPORTED;
use ruma::api::client::discovery::get_capabilities::v3::Request;
use serde_json::{Map, Value, json};

use crate::server::ServerInfo;

/// As plain JSON, because ruma leaves out what equals the spec's default, and clients want to see it.
pub(crate) async fn capabilities(
    State(server): State<ServerInfo>,
    _: Call<Request>,
) -> Result<Json<Value>, ApiError> {
    let available: Map<String, Value> = SUPPORTED
        .iter()
        .map(|version| (version.to_string(), "stable".into()))
        .collect();
    Ok(Json(json!({
        "capabilities": {
            "m.change_password": { "enabled": true },
            "m.room_versions": {
                "default": server.default_room_version().as_str(),
                "available": available,
            },
            "m.set_displayname": { "enabled": true },
            "m.set_avatar_url": { "enabled": true },
            "m.profile_fields": { "enabled": true },
            "m.3pid_changes": { "enabled": false },
            "m.get_login_token": { "enabled": false },
            "m.forget_forced_upon_leave": { "enabled": false },
        },
    })))
}
