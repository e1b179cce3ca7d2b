//! Names of local users: appendices, "User Identifiers".
//!
//! Local names are lower case. Names in requests are converted.

use ruma::OwnedUserId;

use crate::{error::NameError, users::Users};

/// The limit of the specification for a full user id.
const USER_ID_BYTES: usize = 255;

impl Users {
    /// The user id of a requested name, whether it is taken or not.
    pub fn wanted_name(&self, name: &str) -> Result<OwnedUserId, NameError> {
        if name.starts_with('_') {
            return Err(NameError::Reserved);
        }
        self.local_user_id(name)
    }

    /// The user id of a login, which names a user by name or by user id.
    pub fn login_name(&self, name_or_id: &str) -> Option<OwnedUserId> {
        let name = match name_or_id.strip_prefix('@') {
            Some(rest) => {
                let (name, server) = rest.split_once(':')?;
                (server == self.server_name().as_str()).then_some(name)?
            }
            None => name_or_id,
        };
        self.local_user_id(name).ok()
    }

    fn local_user_id(&self, name: &str) -> Result<OwnedUserId, NameError> {
        let name = name.to_ascii_lowercase();
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if !name.bytes().all(is_name_byte) {
            return Err(NameError::Character);
        }
        let user_id = format!("@{name}:{}", self.server_name());
        if user_id.len() > USER_ID_BYTES {
            return Err(NameError::TooLong);
        }
        OwnedUserId::try_from(user_id).map_err(|_| NameError::Character)
    }
}

fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'=' | b'-' | b'/' | b'+')
}
