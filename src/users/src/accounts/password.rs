//! Checking and changing passwords: client-server API, "Password management".

use database::{Read, StoreError, UserNumber};
use ruma::UserId;

use crate::{
    accounts::{AccountStatus, Password, PasswordHash},
    error::LoginError,
    sessions::Revoked,
    tables::ACCOUNTS,
    users::Users,
};

/// A user whose password was correct, with the hash that it matched. A commit that relies on it
/// checks the hash again.
pub(crate) struct Proven {
    pub(crate) user: UserNumber,
    pub(crate) hash: PasswordHash,
}

impl Users {
    /// Checks a password. An unknown user and a wrong password take the same time and give the same
    /// error.
    pub(crate) async fn prove(
        &self,
        user_id: Option<&UserId>,
        password: &Password,
    ) -> Result<Proven, LoginError> {
        let known = match user_id {
            Some(user_id) => self.password_of(user_id).await?,
            None => None,
        };
        let stored = known.as_ref().map(|known| known.hash.clone());
        let is_right = self.0.passwords.verify(stored, password).await?;
        known.filter(|_| is_right).ok_or(LoginError::Refused)
    }

    async fn password_of(&self, user_id: &UserId) -> Result<Option<Proven>, StoreError> {
        let db = self.snapshot().await?;
        let Some(user) = self.number(&db, user_id).await? else {
            return Ok(None);
        };
        let account = self.account(&db, user).await?;
        Ok(account
            .filter(|account| account.status == AccountStatus::Active)
            .and_then(|account| account.password)
            .map(|hash| Proven { user, hash }))
    }

    /// Whether a password is still valid: it may have changed while it was being checked.
    pub(crate) async fn still_opens(
        &self,
        db: &impl Read,
        proven: &Proven,
    ) -> Result<bool, StoreError> {
        let account = self.account(db, proven.user).await?;
        Ok(account.is_some_and(|account| {
            account.status == AccountStatus::Active
                && account.password.as_ref() == Some(&proven.hash)
        }))
    }

    /// Sets a password, and logs out the devices that `logout` selects.
    pub async fn change_password(
        &self,
        user: UserNumber,
        password: Password,
        logout: Logout,
    ) -> Result<(), LoginError> {
        let hash = self.0.passwords.hash(&password).await?;
        let users = self.clone();
        self.finish(async move {
            let (users, hash, logout) = (&users, &hash, &logout);
            let now = users.0.clock.now();
            let body = move |txn: database::Txn| async move {
                let Some(mut account) = txn.get(ACCOUNTS.at(user)).await? else {
                    return Err(LoginError::Refused);
                };
                if account.status != AccountStatus::Active {
                    return Err(LoginError::Refused);
                }
                account.password = Some(hash.clone());
                txn.put(ACCOUNTS.at(user), &account);
                Ok(match logout {
                    Logout::Nobody => Revoked::default(),
                    Logout::Everybody => users.end_devices(&txn, user, None, now).await?,
                    Logout::AllBut(device) => {
                        users.end_devices(&txn, user, Some(device), now).await?
                    }
                })
            };
            let (revoked, stamp) = users.0.store.transact(body).await?;
            users.forget(&revoked, stamp);
            match logout {
                Logout::Nobody => {}
                Logout::Everybody => users.devices_ended(user, |_| true),
                Logout::AllBut(keep) => users.devices_ended(user, |device| device != keep),
            }
            users.left_a_job();
            Ok(())
        })
        .await
    }

    /// Sets a password for the operator and logs out every device. Returns whether there is such an
    /// active account.
    pub async fn reset_password(&self, name: &str, password: Password) -> Result<bool, LoginError> {
        let Some(user_id) = self.login_name(name) else {
            return Ok(false);
        };
        let db = self.snapshot().await?;
        let Some(user) = self.find_active(&db, &user_id).await? else {
            return Ok(false);
        };
        self.change_password(user, password, Logout::Everybody)
            .await?;
        Ok(true)
    }
}

/// The devices that a new password logs out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logout {
    Nobody,
    Everybody,
    /// All but the device with this id.
    AllBut(String),
}
