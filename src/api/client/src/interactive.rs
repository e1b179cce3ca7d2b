//! Interactive auth in requests and responses: client-server API, "User-Interactive Authentication
//! API". The rules are in `users::interactive`.

use std::time::Duration;

use edge::{ApiError, Call, Class, Scheme};
use ruma::api::{
    Metadata,
    client::uiaa::{AuthData, UserIdentifier},
};
use serde::Serialize;
use serde_json::{Map, Value};
use users::{Attempt, Challenge, InteractiveError, Password, Proof, Refusal, Stage};

/// When to come back after `Busy`.
pub(crate) const BUSY: Duration = Duration::from_secs(1);

/// Charges the login class of the rate limits if the client offers a password, which is then
/// checked.
pub(crate) fn charge<R>(call: &Call<R>, auth: Option<&AuthData>) -> Result<(), ApiError>
where
    R: Metadata<Authentication: Scheme>,
{
    match auth {
        Some(AuthData::Password(_)) => call.charge(Class::Login),
        _ => Ok(()),
    }
}

/// The attempt in the `auth` of a request.
pub(crate) fn attempt(auth: Option<AuthData>) -> Option<Attempt> {
    let auth = auth?;
    let session = auth.session().map(str::to_owned);
    let proof = match auth {
        AuthData::Dummy(_) => Proof::Dummy,
        AuthData::RegistrationToken(given) => Proof::RegistrationToken(given.token),
        AuthData::Password(given) => Proof::Password {
            name: Some(name_of(given.identifier)),
            password: Password::new(given.password),
        },
        AuthData::FallbackAcknowledgement(_) => Proof::Nothing,
        _ => Proof::Unsupported,
    };
    Some(Attempt { session, proof })
}

/// Who the client says it is. Identifiers other than user names lead nowhere here, to the empty name.
pub(crate) fn name_of(identifier: UserIdentifier) -> String {
    match identifier {
        UserIdentifier::Matrix(matrix) => matrix.user,
        _ => String::new(),
    }
}

pub(crate) fn refuse(error: InteractiveError) -> ApiError {
    match error {
        InteractiveError::Challenge(challenge) => ApiError::uiaa(Information::from(challenge)),
        InteractiveError::OtherOperation | InteractiveError::OtherUser => {
            ApiError::forbidden(error)
        }
        InteractiveError::Busy => ApiError::limit_exceeded(BUSY),
        InteractiveError::Store(error) => error.into(),
    }
}

/// The body of a 401 that asks for more. `params` is always there: clients count on it.
#[derive(Serialize)]
struct Information {
    session: String,
    flows: Vec<Flow>,
    params: Map<String, Value>,
    completed: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errcode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

#[derive(Serialize)]
struct Flow {
    stages: Vec<&'static str>,
}

impl From<Challenge> for Information {
    fn from(challenge: Challenge) -> Self {
        let names = |stages: &[Stage]| stages.iter().copied().map(name).collect::<Vec<_>>();
        let (errcode, error) = challenge.refused.map(explain).unzip();
        Self {
            session: challenge.session,
            flows: challenge
                .flows
                .iter()
                .map(|flow| Flow {
                    stages: names(flow),
                })
                .collect(),
            params: Map::new(),
            completed: names(&challenge.completed),
            errcode,
            error,
        }
    }
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Dummy => "m.login.dummy",
        Stage::RegistrationToken => "m.login.registration_token",
        Stage::Password => "m.login.password",
    }
}

pub(crate) fn explain(refusal: Refusal) -> (&'static str, &'static str) {
    match refusal {
        Refusal::WrongPassword => ("M_FORBIDDEN", "Wrong user name or password"),
        Refusal::WrongToken => ("M_UNAUTHORIZED", "Wrong registration token"),
        Refusal::UnsupportedStage => ("M_UNRECOGNIZED", "There is no such stage here"),
        Refusal::UnknownSession => (
            "M_FORBIDDEN",
            "This session is over: go on with the new one",
        ),
    }
}
