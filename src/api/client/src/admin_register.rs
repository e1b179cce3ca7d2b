//! `GET` and `POST /_synapse/admin/v1/register`: accounts for whoever knows the operator's shared secret, as Synapse's scripts
//! and test suites make them. Unknown to the server unless `registration.shared_secret` is set.
//!
//! The client asks for a nonce, good for one account and one minute, and signs it with what it wants: HMAC-SHA1, keyed by the
//! secret, over nonce, name, password and `admin` or `notadmin`, separated by zero bytes.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use database::{Clock, Millis, Random};
use edge::{ApiError, Call, Json, Routes, State, own_request};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::StatusCode;
use ruma::api::{auth_scheme::NoAuthentication, client::account::register::v3::Response, metadata};
use serde::Deserialize;
use serde_json::{Value, json};
use sha1::Sha1;
use users::{NewAccount, NewDevice, Password, ProfileChange, Propagation, Users};

use crate::{
    ClientApi,
    account::{refuse_name, refuse_registration},
};

const NONCE_LIFETIME: Duration = Duration::from_secs(60);
const NONCE_LENGTH: usize = 40;
/// Nonces that wait for their account; the oldest goes first.
const NONCES: usize = 10_000;

/// The shared secret and the nonces that are out. Cheap to clone.
#[derive(Clone)]
pub struct AdminRegister(Arc<Parts>);

struct Parts {
    secret: Option<String>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Oldest first.
    nonces: Mutex<VecDeque<(Millis, String)>>,
}

impl AdminRegister {
    /// Without a secret (an empty one is none) these endpoints do not exist.
    pub fn new(secret: Option<String>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let secret = secret.filter(|secret| !secret.is_empty());
        Self(Arc::new(Parts {
            secret,
            clock,
            random,
            nonces: Mutex::default(),
        }))
    }

    fn secret(&self) -> Result<&str, ApiError> {
        self.0.secret.as_deref().ok_or_else(ApiError::unrecognized)
    }

    fn new_nonce(&self) -> String {
        let nonce = self.0.random.token(NONCE_LENGTH);
        let expires = self.0.clock.now().plus(NONCE_LIFETIME);
        let mut nonces = self.0.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        if nonces.len() >= NONCES {
            nonces.pop_front();
        }
        nonces.push_back((expires, nonce.clone()));
        nonce
    }

    /// Takes a nonce out: it is good once.
    fn take_nonce(&self, nonce: &str) -> bool {
        let now = self.0.clock.now();
        let mut nonces = self.0.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        while nonces.front().is_some_and(|(expires, _)| *expires <= now) {
            nonces.pop_front();
        }
        let at = nonces.iter().position(|(_, known)| known == nonce);
        at.and_then(|at| nonces.remove(at)).is_some()
    }
}

impl fmt::Debug for AdminRegister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminRegister(..)")
    }
}

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes.add(nonce).add(register)
}

/// Asks for a nonce.
pub(crate) struct NonceRequest;

metadata! {
    @for NonceRequest,
    method: GET,
    rate_limited: true,
    authentication: NoAuthentication,
    path: "/_synapse/admin/v1/register",
}

own_request!(NonceRequest => Response, |_input| Ok(NonceRequest));

/// Asks for an account.
#[derive(Deserialize)]
pub(crate) struct RegisterRequest {
    nonce: String,
    username: String,
    password: String,
    displayname: Option<String>,
    #[serde(default)]
    admin: bool,
    user_type: Option<String>,
    mac: String,
}

metadata! {
    @for RegisterRequest,
    method: POST,
    rate_limited: true,
    authentication: NoAuthentication,
    path: "/_synapse/admin/v1/register",
}

own_request!(RegisterRequest => Response, |input| input.json());

async fn nonce(
    State(admin): State<AdminRegister>,
    _: Call<NonceRequest>,
) -> Result<Json<Value>, ApiError> {
    admin.secret()?;
    Ok(Json(json!({ "nonce": admin.new_nonce() })))
}

async fn register(
    State(admin): State<AdminRegister>,
    State(users): State<Users>,
    call: Call<RegisterRequest>,
) -> Result<Json<Value>, ApiError> {
    let secret = admin.secret()?;
    let request = call.request;
    if !admin.take_nonce(&request.nonce) {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "M_UNKNOWN",
            "Unrecognized nonce",
        ));
    }
    if !is_signed(secret, &request) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "M_UNKNOWN",
            "HMAC incorrect",
        ));
    }
    let password = Password::new(request.password)
        .ok_or_else(|| ApiError::invalid_param("This password is empty or too long"))?;
    let new = NewAccount {
        user_id: users.wanted_name(&request.username).map_err(refuse_name)?,
        password: Some(password),
        is_admin: request.admin,
        device: Some(NewDevice::default()),
    };
    let registered = users.register(new).await.map_err(refuse_registration)?;
    if let Some(name) = request.displayname {
        let change = ProfileChange::DisplayName(Some(name));
        let set = users
            .change_profile(registered.number, change, Propagation::NoRooms)
            .await;
        set.map_err(ApiError::invalid_param)?;
    }
    let session = registered
        .session
        .ok_or_else(|| ApiError::internal("no session was begun"))?;
    Ok(Json(json!({
        "user_id": registered.user_id,
        "home_server": users.server_name(),
        "access_token": session.access_token.reveal(),
        "device_id": session.device_id,
    })))
}

/// Compares in constant time.
fn is_signed(secret: &str, request: &RegisterRequest) -> bool {
    let Ok(mac) = hex::decode(&request.mac) else {
        return false;
    };
    let Ok(mut expected) = Hmac::<Sha1>::new_from_slice(secret.as_bytes()) else {
        return false;
    };
    let role = if request.admin { "admin" } else { "notadmin" };
    let parts = [&request.nonce, &request.username, &request.password, role];
    for (at, part) in parts
        .into_iter()
        .chain(request.user_type.as_deref())
        .enumerate()
    {
        if at > 0 {
            expected.update(&[0]);
        }
        expected.update(part.as_bytes());
    }
    expected.verify_slice(&mac).is_ok()
}

#[cfg(test)]
mod tests {
    use database::{MockClock, SeededRandom};

    use super::*;

    fn request(mac: &str) -> RegisterRequest {
        RegisterRequest {
            nonce: "abcd".to_owned(),
            username: "pepper_roni".to_owned(),
            password: "pizza".to_owned(),
            displayname: None,
            admin: true,
            user_type: None,
            mac: mac.to_owned(),
        }
    }

    fn admin() -> (AdminRegister, Arc<MockClock>) {
        let clock = Arc::new(MockClock::new(Millis(1_000)));
        let random = Arc::new(SeededRandom::new(1));
        (
            AdminRegister::new(Some("secret".to_owned()), clock.clone(), random),
            clock,
        )
    }

    #[test]
    fn the_signature_covers_all_parts() {
        // From Python: hmac.new(b"secret", b"abcd\0pepper_roni\0pizza\0admin", "sha1").hexdigest()
        let good = "c67a6872a454e9faf578bd52d19fa54b744519f3";
        assert!(is_signed("secret", &request(good)));
        assert!(!is_signed("other", &request(good)));
        assert!(!is_signed(
            "secret",
            &RegisterRequest {
                admin: false,
                ..request(good)
            }
        ));
        assert!(!is_signed("secret", &request("not hex")));
    }

    #[test]
    fn a_nonce_is_good_once_and_for_a_minute() {
        let (admin, clock) = admin();
        let first = admin.new_nonce();
        let second = admin.new_nonce();

        assert!(admin.take_nonce(&first));
        assert!(!admin.take_nonce(&first));
        clock.advance(NONCE_LIFETIME);
        assert!(!admin.take_nonce(&second));
    }

    #[test]
    fn without_a_secret_there_is_nothing_here() {
        let clock = Arc::new(MockClock::new(Millis(0)));
        let admin = AdminRegister::new(Some(String::new()), clock, Arc::new(SeededRandom::new(1)));
        assert_eq!(admin.secret().expect_err("off").errcode(), "M_UNRECOGNIZED");
    }
}
