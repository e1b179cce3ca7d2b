//! Accounts: creation, look-ups, passwords, deactivation.

mod deactivate;
mod hashing;
mod name;
mod password;
mod register;

use database::{Read, StoreError, UserNumber};
use ruma::UserId;

pub(crate) use crate::accounts::hashing::Passwords;
pub use crate::{
    accounts::{
        hashing::{Hashing, Password, PasswordHash},
        password::Logout,
        register::{NewAccount, Registered},
    },
    tables::{AccountRow as Account, AccountStatus},
};
use crate::{tables::ACCOUNTS, users::Users};

impl Users {
    /// The account of a user; `None` for users of other servers and for unused names.
    pub async fn account(
        &self,
        db: &impl Read,
        user: UserNumber,
    ) -> Result<Option<Account>, StoreError> {
        db.get(ACCOUNTS.at(user)).await
    }

    /// Whether a local user exists and is not deactivated.
    pub async fn is_active(&self, db: &impl Read, user: UserNumber) -> Result<bool, StoreError> {
        let account = self.account(db, user).await?;
        Ok(account.is_some_and(|account| account.status == AccountStatus::Active))
    }

    pub async fn is_admin(&self, db: &impl Read, user: UserNumber) -> Result<bool, StoreError> {
        let account = self.account(db, user).await?;
        Ok(account.is_some_and(|account| account.is_admin))
    }

    /// The number of a local user with an active account.
    pub async fn find_active(
        &self,
        db: &impl Read,
        user_id: &UserId,
    ) -> Result<Option<UserNumber>, StoreError> {
        let Some(user) = self.number(db, user_id).await? else {
            return Ok(None);
        };
        Ok(self.is_active(db, user).await?.then_some(user))
    }
}
