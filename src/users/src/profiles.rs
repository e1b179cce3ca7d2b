//! Profiles: client-server API, "Profiles".
//!
//! A change of name or avatar must reach the member events of the user's rooms: it adds a job in
//! its commit, which `rooms` executes.

use database::{Read, StoreError, Txn, UserNumber, server_log, server_log::Concern};

pub use crate::tables::ProfileRow as Profile;
use crate::{
    error::ProfileError,
    jobs,
    tables::{AccountStatus, PROFILES},
    user_directory,
    users::Users,
};

/// The same as Synapse's, so that names can move between servers.
pub(crate) const NAME_CHARACTERS: usize = 256;
pub(crate) const AVATAR_BYTES: usize = 1000;
/// The limit of the specification for a whole profile.
pub(crate) const PROFILE_BYTES: usize = 64 * 1024;

/// A change of one field. `None` deletes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileChange {
    DisplayName(Option<String>),
    AvatarUrl(Option<String>),
    /// Any other field, as JSON.
    Field {
        name: String,
        json: Option<String>,
    },
}

/// The rooms that get a new name or avatar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Propagation {
    #[default]
    AllRooms,
    /// Only rooms that show the old one.
    UnchangedRooms,
    NoRooms,
}

impl Users {
    /// The profile of a user; empty if nothing was set, and for users of other servers.
    pub async fn profile(&self, db: &impl Read, user: UserNumber) -> Result<Profile, StoreError> {
        Ok(db.get(PROFILES.at(user)).await?.unwrap_or_default())
    }

    /// Changes one field of a profile.
    pub async fn change_profile(
        &self,
        user: UserNumber,
        change: ProfileChange,
        propagation: Propagation,
    ) -> Result<(), ProfileError> {
        check(&change)?;
        let users = self.clone();
        self.finish(async move {
            let (all, change) = (&users, &change);
            let body = move |txn: Txn| async move {
                let account = all.account(&txn, user).await?;
                if account.is_none_or(|account| account.status != AccountStatus::Active) {
                    return Err(ProfileError::UnknownUser);
                }
                let (before, after) = change_in(&txn, user, change).await?;
                if before == after {
                    return Ok(false);
                }
                if before.displayname != after.displayname {
                    let user_id = all.user_id(&txn, user).await?;
                    let user_id = user_id.ok_or(ProfileError::UnknownUser)?;
                    user_directory::unlist(&txn, user, &user_id, before.displayname.as_deref());
                    user_directory::list(&txn, user, &user_id, after.displayname.as_deref());
                }
                tell(&txn, user, change, &before, propagation).await
            };
            let (left_a_job, _) = users.0.store.transact(body).await?;
            if left_a_job {
                users.left_a_job();
            }
            Ok(())
        })
        .await
    }
}

impl Profile {
    /// A field as JSON text.
    pub fn field(&self, name: &str) -> Option<String> {
        match name {
            "displayname" => self.displayname.as_deref().map(json_text),
            "avatar_url" => self.avatar_url.as_deref().map(json_text),
            other => self.fields.get(other).cloned(),
        }
    }

    /// All fields, as one JSON object.
    pub fn to_json(&self) -> String {
        let own = self
            .fields
            .iter()
            .map(|(name, json)| (name.as_str(), json.clone()));
        let named = ["avatar_url", "displayname"]
            .into_iter()
            .filter_map(|name| Some((name, self.field(name)?)));
        let fields: Vec<String> = named
            .chain(own)
            .map(|(name, json)| format!("{}:{json}", json_text(name)))
            .collect();
        format!("{{{}}}", fields.join(","))
    }

    fn set(&mut self, change: &ProfileChange) {
        match change {
            ProfileChange::DisplayName(name) => self.displayname.clone_from(name),
            ProfileChange::AvatarUrl(url) => self.avatar_url.clone_from(url),
            ProfileChange::Field {
                name,
                json: Some(json),
            } => {
                self.fields.insert(name.clone(), json.clone());
            }
            ProfileChange::Field { name, json: None } => {
                self.fields.remove(name);
            }
        }
    }
}

/// The profile before and after the change.
async fn change_in(
    txn: &Txn,
    user: UserNumber,
    change: &ProfileChange,
) -> Result<(Profile, Profile), ProfileError> {
    let before = txn.get(PROFILES.at(user)).await?.unwrap_or_default();
    let mut after = before.clone();
    after.set(change);
    if after != before {
        if after.to_json().len() >= PROFILE_BYTES {
            return Err(ProfileError::TooLarge);
        }
        txn.put(PROFILES.at(user), &after);
    }
    Ok((before, after))
}

/// Announces the change to the user's own devices, and adds a job if rooms must change. Returns
/// whether one was added.
async fn tell(
    txn: &Txn,
    user: UserNumber,
    change: &ProfileChange,
    before: &Profile,
    propagation: Propagation,
) -> Result<bool, ProfileError> {
    let slot = txn.slot();
    server_log::tell(txn, slot, Concern::User(user));
    let is_shown = !matches!(change, ProfileChange::Field { .. });
    if !is_shown || propagation == Propagation::NoRooms {
        return Ok(false);
    }
    let only_unchanged = propagation == Propagation::UnchangedRooms;
    jobs::leave_profile_job(txn, user, before, only_unchanged, slot).await?;
    Ok(true)
}

fn check(change: &ProfileChange) -> Result<(), ProfileError> {
    match change {
        ProfileChange::DisplayName(Some(name)) if name.chars().count() > NAME_CHARACTERS => {
            Err(ProfileError::NameTooLong)
        }
        ProfileChange::AvatarUrl(Some(url)) if url.len() > AVATAR_BYTES => {
            Err(ProfileError::AvatarTooLong)
        }
        _ => Ok(()),
    }
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
