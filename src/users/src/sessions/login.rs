//! `POST /login` with a password.

use database::Txn;
use ruma::OwnedUserId;

use crate::{
    accounts::Password,
    error::LoginError,
    sessions::{NewDevice, NewSession},
    users::Users,
};

/// A successful login.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    pub user_id: OwnedUserId,
    pub session: NewSession,
}

impl Users {
    /// Logs in by name (or user id) and password.
    pub async fn login(
        &self,
        name: &str,
        password: &Password,
        device: &NewDevice,
    ) -> Result<LoggedIn, LoginError> {
        let prepared = self.prepare_session(device).ok_or(LoginError::DeviceId)?;
        let user_id = self.login_name(name);
        let proven = self.prove(user_id.as_deref(), password).await?;
        let user_id = user_id.ok_or(LoginError::Refused)?;
        let (users, session) = (self.clone(), prepared.clone());
        self.finish(async move {
            let (all, session, proven) = (&users, &session, &proven);
            let body = move |txn: Txn| async move {
                if !all.still_opens(&txn, proven).await? {
                    return Err(LoginError::Refused);
                }
                let (device, limit) = (session.device_id(), all.0.config.devices);
                devices::check_new(&txn, proven.user, device, limit).await?;
                Ok(session.start(&txn, proven.user).await?)
            };
            let (revoked, stamp) = users.0.store.transact(body).await?;
            users.forget(&revoked, stamp);
            Ok::<_, LoginError>(())
        })
        .await?;
        Ok(LoggedIn {
            user_id,
            session: prepared.into_session(),
        })
    }
}
