//! New accounts: client-server API, "Account registration".

use database::{Read, StoreError, UserNumber};
use ruma::{OwnedUserId, UserId};

use crate::{
    accounts::{Account, AccountStatus, Password},
    error::RegisterError,
    sessions::{NewDevice, NewSession},
    tables::ACCOUNTS,
    user_directory,
    users::Users,
};

/// A request for a new account.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// From `Users::wanted_name` or `Users::unused_name`.
    pub user_id: OwnedUserId,
    /// Without one, nobody can log in with a password.
    pub password: Option<Password>,
    pub is_admin: bool,
    /// Logs in, in the same commit.
    pub device: Option<NewDevice>,
}

/// A new account.
#[derive(Clone, Debug)]
pub struct Registered {
    pub user_id: OwnedUserId,
    pub number: UserNumber,
    pub session: Option<NewSession>,
}

impl Users {
    /// Whether this user id was never used. Names of deactivated accounts stay taken.
    pub async fn is_available(&self, db: &impl Read, user_id: &UserId) -> Result<bool, StoreError> {
        match self.number(db, user_id).await? {
            Some(user) => Ok(self.account(db, user).await?.is_none()),
            None => Ok(true),
        }
    }

    /// A random user id.
    pub fn unused_name(&self) -> Result<OwnedUserId, RegisterError> {
        let name = self.0.random.token(16).to_ascii_lowercase();
        Ok(self.wanted_name(&name)?)
    }

    /// Creates an account and, if a device is given, its first session, in one commit. Callers
    /// decide whether it is allowed: the client-server API by `registration` and interactive
    /// authentication; the operator's commands always.
    pub async fn register(&self, new: NewAccount) -> Result<Registered, RegisterError> {
        let prepared = match &new.device {
            Some(device) => Some(
                self.prepare_session(device)
                    .ok_or(RegisterError::DeviceId)?,
            ),
            None => None,
        };
        let password = match &new.password {
            Some(password) => Some(self.0.passwords.hash(password).await?),
            None => None,
        };
        let account = &Account {
            status: AccountStatus::Active,
            password,
            is_admin: new.is_admin,
            created: self.0.clock.now().0,
        };
        let (user_id, session) = (&new.user_id, prepared.as_ref());
        let body = move |txn: database::Txn| async move {
            let user = self.intern(&txn, user_id.as_str()).await?;
            if txn.exists(ACCOUNTS.at(user)).await? {
                return Err(RegisterError::InUse);
            }
            txn.put(ACCOUNTS.at(user), account);
            user_directory::list(&txn, user, user_id, None);
            if let Some(session) = session {
                // A new account has no tokens to revoke.
                let _ = session.start(&txn, user).await?;
            }
            Ok(user)
        };
        let (number, _) = self.0.store.transact(body).await?;
        let session = prepared.map(crate::sessions::Prepared::into_session);
        Ok(Registered {
            user_id: new.user_id,
            number,
            session,
        })
    }

    /// Creates an account for the operator, without a session.
    pub async fn create(
        &self,
        name: &str,
        password: Password,
        is_admin: bool,
    ) -> Result<OwnedUserId, RegisterError> {
        let user_id = self.wanted_name(name)?;
        let new = NewAccount {
            user_id,
            password: Some(password),
            is_admin,
            device: None,
        };
        Ok(self.register(new).await?.user_id)
    }
}
