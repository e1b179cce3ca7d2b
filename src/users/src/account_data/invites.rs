//! Blocked invites: `m.invite_permission_config`, client-server API, "Invite permission".

use database::{Read, StoreError, UserNumber};
use serde::Deserialize;

use crate::{account_data, users::Users};

const KIND: &str = "m.invite_permission_config";

#[derive(Deserialize)]
struct Config {
    default_action: String,
}

impl Users {
    /// Whether the user wants no invites. An unsupported value means that they want them.
    pub async fn blocks_invites(
        &self,
        db: &impl Read,
        user: UserNumber,
    ) -> Result<bool, StoreError> {
        let content = account_data::get(db, user, None, KIND).await?;
        let config = content.and_then(|content| serde_json::from_str::<Config>(&content).ok());
        Ok(config.is_some_and(|config| config.default_action == "block"))
    }
}
