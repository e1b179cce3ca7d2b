//! Every table of a user, each with who writes and who reads it.

use std::collections::BTreeMap;

use database::{Millis, Placed, Position, Record, RoomNumber, Table, TableInfo, UserNumber};
use serde::{Deserialize, Serialize};

use crate::accounts::PasswordHash;

/// SHA-256 of a token: what is stored opens nothing.
pub type TokenHash = [u8; 32];

/// The number of a user, local or not, by user id. Written when a user is first named in a commit.
pub static USER_NUMBERS: Table<String, UserNumber> = Table::new("user_numbers");
/// The user id of a number.
pub static USER_IDS: Table<UserNumber, String> = Table::new("user_ids");

/// The accounts of this server. Written by registration, password change and deactivation; read by login.
pub static ACCOUNTS: Table<UserNumber, AccountRow> = Table::new("accounts");
/// The session of a device. Written by login, refresh and logout.
pub static SESSIONS: Table<(UserNumber, String), SessionRow> = Table::new("sessions");
/// Who an access token speaks for, by the token's hash. Read by every request whose token is not in memory.
pub static ACCESS_TOKENS: Table<TokenHash, AccessTokenRow> = Table::new("access_tokens");
/// Whose session a refresh token renews, by the token's hash.
pub static REFRESH_TOKENS: Table<TokenHash, RefreshTokenRow> = Table::new("refresh_tokens");

/// Who an OpenID token speaks for, by the token's hash. Written when it is asked for; read by `/openid/userinfo`.
pub static OPENID_TOKENS: Table<TokenHash, OpenIdRow> = Table::new("openid_tokens");
/// OpenID tokens by the time when they expire, so that old ones are found and forgotten.
pub static OPENID_EXPIRIES: Table<(Millis, TokenHash), ()> = Table::new("openid_expiries");

/// What users say of themselves. Written by the profile endpoints; read by them and when a user joins a room.
pub static PROFILES: Table<UserNumber, ProfileRow> = Table::new("profiles");
/// The words by which an active account can be found: those of its display name and its localpart, and the whole user id; all in
/// lower case. Written by registration, profile change and deactivation; read by the user directory.
pub static USER_WORDS: Table<(String, UserNumber), ()> = Table::new("user_words");
/// Profiles whose change has not reached the rooms yet. Deleted by `rooms`.
pub static PROFILE_JOBS: Table<UserNumber, Placed<ProfileJobRow>> = Table::new("profile_jobs");
/// Deactivated users who have not left all rooms yet. Deleted by `rooms`.
pub static DEACTIVATION_JOBS: Table<UserNumber, Placed<DeactivationJobRow>> =
    Table::new("deactivation_jobs");

/// Devices that ended, and when, while `rooms` still remembers their transaction ids. Deleted by `rooms`.
pub static ENDED_DEVICES: Table<(UserNumber, String), Millis> = Table::new("ended_devices");

/// Account data that belongs to no room, by type: JSON, and its place in the log; `{}` if it was deleted.
pub static ACCOUNT_DATA: Table<(UserNumber, String), Placed<String>> = Table::new("account_data");
/// Account data of a room, by type: JSON, and its place in the log; `{}` if it was deleted.
pub static ROOM_ACCOUNT_DATA: Table<(UserNumber, RoomNumber, String), Placed<String>> =
    Table::new("room_account_data");
/// Which account data changed when. One entry for each row, that of its last change.
pub static ACCOUNT_DATA_LOG: Table<(UserNumber, Position), AccountDataKey> =
    Table::new("account_data_log");
/// The push rules that a user had until the change at this position: JSON, as in the row of `m.push_rules`. Written by that change;
/// read by who counts events from before it, and deleted once nobody does.
pub static EARLIER_PUSH_RULES: Table<(UserNumber, Position), String> =
    Table::new("earlier_push_rules");

/// Filters by user and the hash of their JSON.
pub static FILTERS: Table<(UserNumber, String), String> = Table::new("filters");
/// How many filters a user has.
pub static FILTER_COUNTS: Table<UserNumber, u64> = Table::new("filter_counts");

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountStatus {
    Active,
    /// For good: its name is never given out again.
    Deactivated,
}

/// An account as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    pub status: AccountStatus,
    /// `None` means only that no password opens this account.
    pub password: Option<PasswordHash>,
    pub is_admin: bool,
    /// Unix milliseconds.
    pub created: u64,
}

/// The tokens of one login or of one refresh, by their hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenPair {
    pub access: TokenHash,
    /// `None` for a client that cannot refresh.
    pub refresh: Option<TokenHash>,
}

/// The session of a device: it has one pair of tokens, and a second one from a refresh until that is first used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    pub current: TokenPair,
    pub next: Option<TokenPair>,
}

/// Who an access token speaks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessTokenRow {
    pub user: UserNumber,
    pub device: String,
    /// Unix milliseconds.
    pub expires: Option<u64>,
    /// It comes from a refresh and was not used yet: its first use ends the pair before it.
    pub is_unused: bool,
}

/// Whose session a refresh token renews.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshTokenRow {
    pub user: UserNumber,
    pub device: String,
}

/// Who an OpenID token speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenIdRow {
    pub user: UserNumber,
    pub expires: Millis,
}

/// A profile as it lies on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRow {
    pub displayname: Option<String>,
    pub avatar_url: Option<String>,
    /// All other fields: JSON by name.
    pub fields: BTreeMap<String, String>,
}

/// A changed profile that rooms must learn of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileJobRow {
    /// Only rooms that show `displayname_before` and `avatar_url_before` change; rooms with a name of their own keep it.
    pub only_unchanged: bool,
    /// What rooms that are up to date with the profile still show.
    pub displayname_before: Option<String>,
    pub avatar_url_before: Option<String>,
}

/// A deactivated user who must leave all rooms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeactivationJobRow {
    /// The user asked that what they wrote be hidden from those who come later.
    pub erase: bool,
}

/// Which account data a log entry speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDataKey {
    pub room: Option<RoomNumber>,
    pub kind: String,
}

impl Record for AccountRow {}
impl Record for SessionRow {}
impl Record for AccessTokenRow {}
impl Record for RefreshTokenRow {}
impl Record for OpenIdRow {}
impl Record for ProfileRow {}
impl Record for ProfileJobRow {}
impl Record for DeactivationJobRow {}
impl Record for AccountDataKey {}

/// All tables of this crate, for docs/database.md.
pub fn tables() -> Vec<TableInfo> {
    vec![
        USER_NUMBERS.info(),
        USER_IDS.info(),
        ACCOUNTS.info(),
        SESSIONS.info(),
        ACCESS_TOKENS.info(),
        REFRESH_TOKENS.info(),
        OPENID_TOKENS.info(),
        OPENID_EXPIRIES.info(),
        PROFILES.info(),
        USER_WORDS.info(),
        PROFILE_JOBS.info(),
        DEACTIVATION_JOBS.info(),
        ENDED_DEVICES.info(),
        ACCOUNT_DATA.info(),
        ROOM_ACCOUNT_DATA.info(),
        ACCOUNT_DATA_LOG.info(),
        EARLIER_PUSH_RULES.info(),
        FILTERS.info(),
        FILTER_COUNTS.info(),
    ]
}
