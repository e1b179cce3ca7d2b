//! The TURN servers that clients may use, and the credentials for them.
//!
//! With a shared secret, credentials are made for each user and end by themselves: the name is the time of the end and the user
//! id, the password its HMAC-SHA1 under the secret, which the TURN server knows as well ("TURN REST API", as coturn has it).

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use database::Clock;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ruma::UserId;
use sha1::Sha1;

/// What the operator has set up. Cheap to clone.
#[derive(Clone)]
pub struct Turn(Arc<Parts>);

struct Parts {
    clock: Arc<dyn Clock>,
    /// Such as `turn:turn.example.org?transport=udp`.
    uris: Vec<String>,
    key: TurnKey,
    /// How long a client may use credentials before it asks anew.
    lifetime: Duration,
}

/// What opens the TURN servers.
#[derive(Clone, PartialEq, Eq)]
pub enum TurnKey {
    /// The secret that they share with this server.
    Shared(String),
    /// One account for everybody.
    Fixed { username: String, password: String },
}

/// What a client is told.
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: String,
    pub(super) uris: Vec<String>,
    pub(super) lifetime: Duration,
}

impl Turn {
    pub fn new(uris: Vec<String>, key: TurnKey, lifetime: Duration, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Parts {
            clock,
            uris,
            key,
            lifetime,
        }))
    }

    pub(super) fn credentials(&self, user_id: &UserId) -> Credentials {
        let Parts {
            clock,
            uris,
            key,
            lifetime,
        } = &*self.0;
        let (username, password) = match key {
            TurnKey::Fixed { username, password } => (username.clone(), password.clone()),
            TurnKey::Shared(secret) => {
                let end = clock.now().plus(*lifetime).0 / 1000;
                let username = format!("{end}:{user_id}");
                let password = signed(secret, &username);
                (username, password)
            }
        };
        Credentials {
            username,
            password,
            uris: uris.clone(),
            lifetime: *lifetime,
        }
    }
}

fn signed(secret: &str, username: &str) -> String {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(username.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn(..)")
    }
}

impl fmt::Debug for TurnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TurnKey(..)")
    }
}
