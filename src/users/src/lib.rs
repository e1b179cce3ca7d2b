//! Accounts: registration, passwords, sessions and their tokens, interactive auth, profiles,
//! account data, filters.
//!
//! `Users` is the handle; its methods are in the file of their subject. A change that must also
//! reach rooms (a new name, a deactivated account) adds a job in the same commit: see `jobs`.

pub mod account_data;
mod accounts;
mod cache;
mod error;
mod filters;
mod interactive;
pub mod jobs;
mod openid;
mod profiles;
mod sessions;
pub mod tables;
pub mod user_directory;
mod users;

pub use crate::{
    account_data::{
        AccountData, AccountDataError, AccountDataLimits, PUSH_RULES, PushRuleChange,
        PushRuleError, PushRules,
    },
    accounts::{
        Account, AccountStatus, Hashing, Logout, NewAccount, Password, PasswordHash, Registered,
    },
    error::{FilterError, LoginError, NameError, ProfileError, RegisterError, TokenError},
    interactive::{
        Attempt, Challenge, Flows, InteractiveError, NewRegistration, Operation, PASSWORD_FLOWS,
        Proof, Refusal, Stage,
    },
    openid::{OPENID_LIFETIME, OpenIdToken},
    profiles::{Profile, ProfileChange, Propagation},
    sessions::{
        AccessToken, Authenticated, Identity, LoggedIn, NewDevice, NewSession, RefreshToken,
        Renewed,
    },
    tables::tables,
    user_directory::{FoundUser, NameSearch},
    users::{OnEndedDevices, Registration, Users, UsersConfig},
};
