//! Deactivates an account: client-server API, "Deactivating your account".

use database::{Read, UserNumber, server_log, server_log::Concern};

use crate::{
    accounts::AccountStatus,
    error::LoginError,
    tables::{
        ACCOUNT_DATA, ACCOUNT_DATA_LOG, ACCOUNT_DATA_SIZES, ACCOUNTS, DEACTIVATION_JOBS,
        DeactivationJobRow, FILTER_COUNTS, FILTERS, PROFILE_JOBS, PROFILES, ROOM_ACCOUNT_DATA,
    },
    user_directory,
    users::Users,
};

impl Users {
    /// Deactivates an account permanently, in one commit: deletes its password, devices, sessions,
    /// account data and filters, and adds a job that leaves all rooms. `erase` also deletes the
    /// profile. Idempotent.
    pub async fn deactivate(&self, user: UserNumber, erase: bool) -> Result<(), LoginError> {
        let users = self.clone();
        self.finish(async move {
            let (users, now) = (&users, users.0.clock.now());
            let body = move |txn: database::Txn| async move {
                let Some(mut account) = txn.get(ACCOUNTS.at(user)).await? else {
                    return Err(LoginError::Refused);
                };
                account.status = AccountStatus::Deactivated;
                account.password = None;
                txn.put(ACCOUNTS.at(user), &account);
                txn.clear(ACCOUNT_DATA.under(user));
                txn.clear(ROOM_ACCOUNT_DATA.under(user));
                txn.delete(ACCOUNT_DATA_SIZES.at(user));
                txn.clear(ACCOUNT_DATA_LOG.under(user));
                txn.clear(FILTERS.under(user));
                txn.delete(FILTER_COUNTS.at(user));
                txn.delete(PROFILE_JOBS.at(user));
                let name = users.profile(&txn, user).await?.displayname;
                if let Some(user_id) = users.user_id(&txn, user).await? {
                    user_directory::unlist(&txn, user, &user_id, name.as_deref());
                }
                if erase {
                    txn.delete(PROFILES.at(user));
                }
                let revoked = users.end_devices(&txn, user, None, now).await?;
                devices::forget(&txn, user).await?;
                let slot = txn.slot();
                txn.put_placed(
                    DEACTIVATION_JOBS.at(user),
                    &DeactivationJobRow { erase },
                    slot,
                );
                server_log::tell(&txn, slot, Concern::User(user));
                Ok(revoked)
            };
            let (revoked, stamp) = users.0.store.transact(body).await?;
            users.forget(&revoked, stamp);
            users.0.ignored.remove(user, stamp);
            users.devices_ended(user, |_| true);
            users.left_a_job();
            Ok(())
        })
        .await
    }
}
