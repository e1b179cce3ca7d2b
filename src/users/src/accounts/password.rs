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

/// A user whose password was right, with the hash that said so: whoever commits on the strength of it looks again.
pub(crate) struct Proven {
    pub(crate) user: UserNumber,
    pub(crate) hash: PasswordHash,
}

impl Users {
    /// Whose password this is. Takes the same time and gives the same answer for a wrong user and a wrong password.
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

    /// Whether a password still opens the account: it may have changed while it was being checked.
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

    /// Sets a password. Logs out all devices, or all but `keep`, or with `Logout::Nobody` none.
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
            users.left_a_job();
            Ok(())
        })
        .await
    }

    /// Sets a password at the operator's word and logs out every device. Says whether there is such an active account.
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

/// Whose sessions a new password ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logout {
    Nobody,
    Everybody,
    /// All but the device with this id.
    AllBut(String),
}
