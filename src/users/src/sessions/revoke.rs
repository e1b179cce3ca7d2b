//! Logout, and every other deletion of a device. Devices and their sessions are deleted in one
//! commit.

use database::{Millis, Read, Stamp, StoreError, Txn, UserNumber};

use crate::{
    account_data, jobs,
    sessions::Authenticated,
    tables::{ACCESS_TOKENS, REFRESH_TOKENS, SESSIONS, TokenHash, TokenPair},
    users::{OnEndedDevices, Users},
};

/// Sessions that are read at once.
const PAGE: usize = 256;

/// Access tokens that a commit revokes, to be invalidated once it is visible.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Revoked(Vec<TokenHash>);

impl Revoked {
    /// Deletes the session of a device, if it has one, but not the device.
    pub(crate) async fn session(
        txn: &Txn,
        user: UserNumber,
        device: &str,
    ) -> Result<Self, StoreError> {
        let mut revoked = Self::default();
        if let Some(session) = txn.get(SESSIONS.at((user, device))).await? {
            txn.delete(SESSIONS.at((user, device)));
            revoked.pair(txn, session.current);
            if let Some(next) = session.next {
                revoked.pair(txn, next);
            }
        }
        Ok(revoked)
    }

    /// Revokes one pair of tokens.
    pub(crate) fn pair(&mut self, txn: &Txn, pair: TokenPair) {
        txn.delete(ACCESS_TOKENS.at(&pair.access));
        if let Some(refresh) = &pair.refresh {
            txn.delete(REFRESH_TOKENS.at(refresh));
        }
        self.0.push(pair.access);
    }

    fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl Users {
    /// Calls `then` after each commit that deletes devices, before their logout is answered. Only the first call counts.
    pub fn on_ended_devices(&self, then: OnEndedDevices) {
        // A second part that wants to know would need a list here.
        let _ = self.0.ended_devices.set(then);
    }

    pub(crate) fn devices_ended(&self, user: UserNumber, is_ended: impl Fn(&str) -> bool) {
        if let Some(then) = self.0.ended_devices.get() {
            then(user, &is_ended);
        }
    }

    /// Whether a user has a device of this id.
    pub async fn has_device(
        &self,
        db: &impl Read,
        user: UserNumber,
        id: &str,
    ) -> Result<bool, StoreError> {
        db.exists(devices::DEVICES.at((user, id))).await
    }

    /// Invalidates the tokens that the commit of `stamp` revoked.
    pub(crate) fn forget(&self, revoked: &Revoked, stamp: Stamp) {
        for hash in &revoked.0 {
            self.0.tokens.remove(hash, stamp);
        }
    }

    /// Deletes all devices of a user, or all but one, with their sessions. Adds jobs; the caller
    /// signals them after its commit (`left_a_job`).
    pub(crate) async fn end_devices(
        &self,
        txn: &Txn,
        user: UserNumber,
        but: Option<&str>,
        now: Millis,
    ) -> Result<Revoked, StoreError> {
        let mut revoked = Revoked::default();
        let mut last: Option<String> = None;
        loop {
            let rows = match &last {
                Some(last) => SESSIONS.under(user).after((user, last)),
                None => SESSIONS.under(user),
            };
            let page = txn.page(rows, PAGE).await?;
            let is_last = page.len() < PAGE;
            for ((_, device), _) in page {
                if but != Some(&device) {
                    revoked.add(Revoked::session(txn, user, &device).await?);
                    jobs::leave_device_job(txn, user, &device, now);
                }
                last = Some(device);
            }
            if is_last {
                break;
            }
        }
        account_data::forget_devices(txn, user, but).await?;
        match but {
            None => devices::delete_all(txn, user).await?,
            Some(keep) => {
                for entry in devices::list(txn, user).await? {
                    if entry.id != keep {
                        devices::delete(txn, user, &entry.id).await?;
                    }
                }
            }
        }
        Ok(revoked)
    }

    /// `POST /logout`: deletes the caller's device.
    pub async fn logout(&self, caller: &Authenticated) -> Result<(), StoreError> {
        let device = caller.device_id.as_str().to_owned();
        self.delete_devices(caller.number, vec![device]).await
    }

    /// `POST /logout/all`: deletes all devices of a user.
    pub async fn logout_all(&self, user: UserNumber) -> Result<(), StoreError> {
        let users = self.clone();
        self.finish(async move {
            let (all, now) = (&users, users.0.clock.now());
            let body = move |txn: Txn| async move { all.end_devices(&txn, user, None, now).await };
            let (revoked, stamp) = users.0.store.transact(body).await?;
            users.forget(&revoked, stamp);
            users.devices_ended(user, |_| true);
            users.left_a_job();
            Ok(())
        })
        .await
    }

    /// Deletes devices with their sessions, in one commit. Skips those that do not exist.
    pub async fn delete_devices(
        &self,
        user: UserNumber,
        ids: Vec<String>,
    ) -> Result<(), StoreError> {
        let users = self.clone();
        self.finish(async move {
            let (ids, now) = (&ids, users.0.clock.now());
            let body = move |txn: Txn| async move {
                let mut revoked = Revoked::default();
                for id in ids {
                    let session = Revoked::session(&txn, user, id).await?;
                    if !session.0.is_empty() {
                        jobs::leave_device_job(&txn, user, id, now);
                    }
                    revoked.add(session);
                    devices::delete(&txn, user, id).await?;
                    account_data::forget_device(&txn, user, id).await?;
                }
                Ok::<_, StoreError>(revoked)
            };
            let (revoked, stamp) = users.0.store.transact(body).await?;
            users.forget(&revoked, stamp);
            users.devices_ended(user, |device| ids.iter().any(|id| id == device));
            users.left_a_job();
            Ok(())
        })
        .await
    }

    /// Renames a device. Returns whether it exists.
    pub async fn rename_device(
        &self,
        user: UserNumber,
        id: &str,
        display_name: Option<&str>,
    ) -> Result<bool, StoreError> {
        let name = &display_name.map(super::start::short_device_name);
        let body =
            move |txn: Txn| async move { devices::rename(&txn, user, id, name.as_deref()).await };
        Ok(self.0.store.transact(body).await?.0)
    }
}
