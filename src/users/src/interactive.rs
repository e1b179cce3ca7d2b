//! Interactive auth: client-server API, "User-Interactive Authentication API".
//!
//! An authentication session is bound to one operation (endpoint, caller and parameters), expires,
//! and is consumed by its use: it authorizes no other request. Sessions are in memory; beyond a
//! limit, the oldest is dropped.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use database::{Millis, StoreError, UserNumber};
use sha2::{Digest, Sha256};

use crate::{
    accounts::{Password, Registered},
    error::LoginError,
    users::{Registration, Users},
};

const LIFETIME: Duration = Duration::from_mins(30);
const CONVERSATIONS: usize = 10_000;
const ID_LENGTH: usize = 24;
/// Longer parameters of a registration are not kept, and have to be repeated.
const REMEMBERED_BYTES: usize = 2 * 1024;

/// One step of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Dummy,
    RegistrationToken,
    Password,
}

/// The flows, one of which must be completed.
pub type Flows = &'static [&'static [Stage]];

/// For operations of an account's owner.
pub const PASSWORD_FLOWS: Flows = &[&[Stage::Password]];
const OPEN_REGISTRATION: Flows = &[&[Stage::Dummy]];
const TOKEN_REGISTRATION: Flows = &[&[Stage::RegistrationToken]];

/// An operation with all its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation([u8; 32]);

impl Operation {
    /// `name` identifies the endpoint, `parameters` are path and body without `auth`.
    pub fn new(name: &str, caller: Option<UserNumber>, parameters: &[&str]) -> Self {
        let mut hash = Sha256::new();
        hash.update(caller.map_or(u64::MAX, |user| user.0).to_be_bytes());
        for part in std::iter::once(&name).chain(parameters) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        Self(hash.finalize().into())
    }
}

/// The credentials of a client for one stage.
#[derive(Clone, Debug)]
pub enum Proof {
    Dummy,
    RegistrationToken(String),
    /// `name` is a user name or user id; `None` means that of the caller.
    Password {
        name: Option<String>,
        password: Option<Password>,
    },
    /// Asks for the state of the session, as clients do after a fallback web page.
    Nothing,
    /// A stage that this server does not have.
    Unsupported,
}

/// The `auth` of a request.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// From an earlier challenge; without one, the attempt starts a new session.
    pub session: Option<String>,
    pub proof: Proof,
}

/// Parameters of a registration, as its first request has them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NewRegistration {
    pub username: Option<String>,
    pub password: Option<String>,
    pub device_id: Option<String>,
    pub device_name: Option<String>,
    pub inhibit_login: bool,
    pub refresh_token: bool,
}

impl NewRegistration {
    fn bytes(&self) -> usize {
        let texts = [
            &self.username,
            &self.password,
            &self.device_id,
            &self.device_name,
        ];
        texts
            .iter()
            .map(|text| text.as_ref().map_or(0, String::len))
            .sum()
    }
}

/// Why the last attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    WrongPassword,
    WrongToken,
    UnsupportedStage,
    UnknownSession,
}

/// The stages that the client must complete.
#[derive(Clone, Debug)]
pub struct Challenge {
    pub session: String,
    pub flows: Flows,
    pub completed: Vec<Stage>,
    pub refused: Option<Refusal>,
}

/// Why an operation is not authorized.
#[derive(Debug, thiserror::Error)]
pub enum InteractiveError {
    #[error("more authentication is needed")]
    Challenge(Challenge),
    #[error("this session was begun for another request")]
    OtherOperation,
    #[error("this is the password of another user")]
    OtherUser,
    #[error("too many passwords are being hashed")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The open sessions.
#[derive(Default)]
pub(crate) struct Conversations(Mutex<Open>);

#[derive(Default)]
struct Open {
    by_id: HashMap<String, Conversation>,
    /// Oldest first; all have the same lifetime. Can contain ended sessions.
    by_age: VecDeque<(Millis, String)>,
}

#[derive(Clone)]
struct Conversation {
    operation: Operation,
    /// The user whose password counts.
    caller: Option<UserNumber>,
    completed: Vec<Stage>,
    expires: Millis,
    registration: Registrations,
    /// It opened its operation and opens nothing else.
    is_over: bool,
}

/// The part of a conversation that only registration has.
#[derive(Clone, Default)]
struct Registrations {
    /// Parameters of the request that began it.
    asked: Option<Arc<NewRegistration>>,
    /// The account that it made, for a client that missed the response.
    made: Option<Registered>,
}

impl Users {
    /// The flows of registration; `None` while it is closed.
    pub fn registration_flows(&self) -> Option<Flows> {
        match self.registration() {
            Registration::Open => Some(OPEN_REGISTRATION),
            Registration::Token(_) => Some(TOKEN_REGISTRATION),
            Registration::Closed => None,
        }
    }

    /// Whether a text is the operator's registration token.
    pub fn is_registration_token(&self, text: &str) -> bool {
        match self.registration() {
            // Compares hashes, so that the time of the comparison reveals nothing about the token.
            Registration::Token(token) => {
                Sha256::digest(token.as_bytes()) == Sha256::digest(text.as_bytes())
            }
            Registration::Open | Registration::Closed => false,
        }
    }

    /// Authorizes an operation once one of `flows` is complete. The password must be that of
    /// `caller`.
    pub async fn authorize(
        &self,
        operation: Operation,
        caller: Option<UserNumber>,
        flows: Flows,
        attempt: Option<Attempt>,
    ) -> Result<(), InteractiveError> {
        let Some(attempt) = attempt else {
            return Err(self.challenge(operation, caller, flows, Vec::new(), None));
        };
        let now = self.0.clock.now();
        if let Some(id) = &attempt.session {
            match self.0.conversations.find(id, now) {
                None => {
                    let refused = Some(Refusal::UnknownSession);
                    return Err(self.challenge(operation, caller, flows, Vec::new(), refused));
                }
                Some(known) if known.operation != operation => {
                    return Err(InteractiveError::OtherOperation);
                }
                Some(_) => {}
            }
        }
        match self.check(caller, attempt.proof).await? {
            Ok(stage) => self.advance(operation, caller, flows, attempt.session, stage),
            Err(refused) => Err(self.refuse(operation, caller, flows, attempt.session, refused)),
        }
    }

    /// The stage that a proof completes, if any.
    async fn check(
        &self,
        caller: Option<UserNumber>,
        proof: Proof,
    ) -> Result<Result<Option<Stage>, Refusal>, InteractiveError> {
        Ok(match proof {
            Proof::Nothing => Ok(None),
            Proof::Unsupported => Err(Refusal::UnsupportedStage),
            Proof::Dummy => Ok(Some(Stage::Dummy)),
            Proof::RegistrationToken(token) if self.is_registration_token(&token) => {
                Ok(Some(Stage::RegistrationToken))
            }
            Proof::RegistrationToken(_) => Err(Refusal::WrongToken),
            Proof::Password {
                name,
                password: Some(password),
            } => self.check_password(caller, name, &password).await?,
            Proof::Password { password: None, .. } => Err(Refusal::WrongPassword),
        })
    }

    async fn check_password(
        &self,
        caller: Option<UserNumber>,
        name: Option<String>,
        password: &Password,
    ) -> Result<Result<Option<Stage>, Refusal>, InteractiveError> {
        let Some(caller) = caller else {
            return Ok(Err(Refusal::UnsupportedStage));
        };
        let user_id = match name {
            Some(name) => self.login_name(&name),
            None => self.user_id(&self.snapshot().await?, caller).await?,
        };
        match self.prove(user_id.as_deref(), password).await {
            Ok(proven) if proven.user == caller => Ok(Ok(Some(Stage::Password))),
            Ok(_) => Err(InteractiveError::OtherUser),
            Err(LoginError::Refused | LoginError::DeviceId | LoginError::Device(_)) => {
                Ok(Err(Refusal::WrongPassword))
            }
            Err(LoginError::Busy) => Err(InteractiveError::Busy),
            Err(LoginError::Store(error)) => Err(error.into()),
        }
    }

    /// Adds a completed stage; the session ends if it was the last.
    fn advance(
        &self,
        operation: Operation,
        caller: Option<UserNumber>,
        flows: Flows,
        session: Option<String>,
        stage: Option<Stage>,
    ) -> Result<(), InteractiveError> {
        let Some(id) = session else {
            let completed: Vec<Stage> = stage.into_iter().collect();
            return if is_complete(flows, &completed) {
                Ok(())
            } else {
                Err(self.challenge(operation, caller, flows, completed, None))
            };
        };
        let mut open = self.0.conversations.lock();
        // It may have ended while a password was being checked: then it opens nothing any more.
        let known = open.by_id.get_mut(&id).filter(|known| !known.is_over);
        let Some(known) = known else {
            drop(open);
            let refused = Some(Refusal::UnknownSession);
            return Err(self.challenge(operation, caller, flows, Vec::new(), refused));
        };
        known
            .completed
            .extend(stage.filter(|stage| !known.completed.contains(stage)));
        if is_complete(flows, &known.completed) {
            known.is_over = true;
            return Ok(());
        }
        let completed = known.completed.clone();
        Err(InteractiveError::Challenge(Challenge {
            session: id,
            flows,
            completed,
            refused: None,
        }))
    }

    /// Repeats the challenge, with the error.
    fn refuse(
        &self,
        operation: Operation,
        caller: Option<UserNumber>,
        flows: Flows,
        session: Option<String>,
        refused: Refusal,
    ) -> InteractiveError {
        let refused = Some(refused);
        let known = session.and_then(|id| {
            let known = self.0.conversations.find(&id, self.0.clock.now())?;
            Some((id, known.completed))
        });
        match known {
            Some((session, completed)) => InteractiveError::Challenge(Challenge {
                session,
                flows,
                completed,
                refused,
            }),
            None => self.challenge(operation, caller, flows, Vec::new(), refused),
        }
    }

    /// Starts a session.
    fn challenge(
        &self,
        operation: Operation,
        caller: Option<UserNumber>,
        flows: Flows,
        completed: Vec<Stage>,
        refused: Option<Refusal>,
    ) -> InteractiveError {
        let session = self.0.random.token(ID_LENGTH);
        let now = self.0.clock.now();
        let conversation = Conversation {
            operation,
            caller,
            completed: completed.clone(),
            expires: now.plus(LIFETIME),
            registration: Registrations::default(),
            is_over: false,
        };
        self.0
            .conversations
            .begin(session.clone(), conversation, now);
        InteractiveError::Challenge(Challenge {
            session,
            flows,
            completed,
            refused,
        })
    }
}

impl Users {
    /// Completes one stage of a conversation outside its request, in a web page. The request is then
    /// repeated with `Proof::Nothing`.
    pub async fn complete_stage(
        &self,
        session: &str,
        proof: Proof,
    ) -> Result<Result<(), Refusal>, InteractiveError> {
        let known = self.0.conversations.find(session, self.0.clock.now());
        let Some(known) = known else {
            return Ok(Err(Refusal::UnknownSession));
        };
        let stage = match self.check(known.caller, proof).await {
            Ok(Ok(stage)) => stage,
            Ok(Err(refused)) => return Ok(Err(refused)),
            Err(InteractiveError::OtherUser) => return Ok(Err(Refusal::WrongPassword)),
            Err(error) => return Err(error),
        };
        let mut open = self.0.conversations.lock();
        match open.by_id.get_mut(session).filter(|known| !known.is_over) {
            Some(known) => {
                let new = stage.filter(|stage| !known.completed.contains(stage));
                known.completed.extend(new);
                Ok(Ok(()))
            }
            None => Ok(Err(Refusal::UnknownSession)),
        }
    }

    /// Keeps the parameters of a registration for the later requests of its conversation, which may
    /// leave them out.
    pub fn remember_registration(&self, session: &str, asked: NewRegistration) {
        let mut open = self.0.conversations.lock();
        if let Some(known) = open.by_id.get_mut(session)
            && asked.bytes() <= REMEMBERED_BYTES
        {
            known.registration.asked = Some(Arc::new(asked));
        }
    }

    pub fn remembered_registration(&self, session: &str) -> Option<Arc<NewRegistration>> {
        let known = self.0.conversations.find(session, self.0.clock.now())?;
        known.registration.asked
    }

    /// Keeps the account that a conversation made.
    pub fn finish_registration(&self, session: &str, made: &Registered) {
        let mut open = self.0.conversations.lock();
        if let Some(known) = open.by_id.get_mut(session) {
            known.registration = Registrations {
                asked: None,
                made: Some(made.clone()),
            };
        }
    }

    /// The account that this conversation made for the same request. Its last request may be
    /// repeated, if the client missed the response.
    pub fn finished_registration(&self, session: &str, operation: Operation) -> Option<Registered> {
        let now = self.0.clock.now();
        let open = self.0.conversations.lock();
        let known = open.by_id.get(session)?;
        let is_same = known.is_over && known.operation == operation && known.expires > now;
        known.registration.made.clone().filter(|_| is_same)
    }
}

impl Conversations {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: &str, now: Millis) -> Option<Conversation> {
        let open = self.lock();
        open.by_id
            .get(id)
            .filter(|known| known.expires > now && !known.is_over)
            .cloned()
    }

    fn begin(&self, id: String, conversation: Conversation, now: Millis) {
        let mut open = self.lock();
        while let Some((expires, _)) = open.by_age.front()
            && (*expires <= now || open.by_age.len() >= CONVERSATIONS)
        {
            if let Some((_, oldest)) = open.by_age.pop_front() {
                open.by_id.remove(&oldest);
            }
        }
        open.by_age.push_back((conversation.expires, id.clone()));
        open.by_id.insert(id, conversation);
    }
}

fn is_complete(flows: Flows, completed: &[Stage]) -> bool {
    flows
        .iter()
        .any(|flow| flow.iter().all(|stage| completed.contains(stage)))
}
