//! All tables of users, with their writers and readers.

use std::collections::BTreeMap;

use database::{Millis, Placed, Position, Record, RoomNumber, Table, TableInfo, UserNumber};
use serde::{Deserialize, Serialize};

use crate::accounts::PasswordHash;

/// SHA-256 of a token: the stored value gives no access.
pub type TokenHash = [u8; 32];

/// The number of a user, local or remote, by user id. Written by the first commit that refers to
/// the user.
pub static USER_NUMBERS: Table<String, UserNumber> = Table::new("user_numbers");
/// The user id of a number.
pub static USER_IDS: Table<UserNumber, String> = Table::new("user_ids");

/// The accounts of this server. Written by registration, password change and deactivation; read by
/// login.
pub static ACCOUNTS: Table<UserNumber, AccountRow> = Table::new("accounts");
/// The session of a device. Written by login, refresh and logout.
pub static SESSIONS: Table<(UserNumber, String), SessionRow> = Table::new("sessions");
/// The user and device of an access token, by the token's hash. Read by requests whose token is not
/// cached.
pub static ACCESS_TOKENS: Table<TokenHash, AccessTokenRow> = Table::new("access_tokens");
/// The session that a refresh token renews, by the token's hash.
pub static REFRESH_TOKENS: Table<TokenHash, RefreshTokenRow> = Table::new("refresh_tokens");

/// The user of an OpenID token, by the token's hash. Written when a client requests a token; read
/// by `/openid/userinfo`.
pub static OPENID_TOKENS: Table<TokenHash, OpenIdRow> = Table::new("openid_tokens");
/// OpenID tokens by expiry time, so that expired ones can be deleted.
pub static OPENID_EXPIRIES: Table<(Millis, TokenHash), ()> = Table::new("openid_expiries");

/// Display names, avatars and other profile fields. Written by the profile endpoints; read by them
/// and when a user joins a room.
pub static PROFILES: Table<UserNumber, ProfileRow> = Table::new("profiles");
/// The search terms of an active account, in lower case: the words of its display name, its
/// localpart, and its full user id. Written by registration, profile change and deactivation; read
/// by the user directory.
pub static USER_WORDS: Table<(String, UserNumber), ()> = Table::new("user_words");
/// Profiles whose change has not reached the rooms yet. Deleted by `rooms`.
pub static PROFILE_JOBS: Table<UserNumber, Placed<ProfileJobRow>> = Table::new("profile_jobs");
/// Deactivated users who have not left all rooms yet. Deleted by `rooms`.
pub static DEACTIVATION_JOBS: Table<UserNumber, Placed<DeactivationJobRow>> =
    Table::new("deactivation_jobs");

/// Deleted devices and the time of deletion, until `rooms` has deleted their transaction ids.
/// Deleted by `rooms`.
pub static ENDED_DEVICES: Table<(UserNumber, String), Millis> = Table::new("ended_devices");

/// Global account data by type: JSON, and its position in the log; `{}` if it was deleted.
pub static ACCOUNT_DATA: Table<(UserNumber, String), Placed<String>> = Table::new("account_data");
/// Account data of a room by type: JSON, and its position in the log; `{}` if it was deleted.
pub static ROOM_ACCOUNT_DATA: Table<(UserNumber, RoomNumber, String), Placed<String>> =
    Table::new("room_account_data");
/// The size of a user's account data, without read markers. Written with it; counted at the first
/// change where it is missing.
pub static ACCOUNT_DATA_SIZES: Table<UserNumber, AccountDataSize> =
    Table::new("account_data_sizes");
/// Changes of account data, in order. Contains only the last change of each row.
pub static ACCOUNT_DATA_LOG: Table<(UserNumber, Position), AccountDataKey> =
    Table::new("account_data_log");
/// The push rules that a user had until the change at this position: JSON, as in the row of
/// `m.push_rules`. Written by that change; read when older events are counted, and deleted once no
/// such event is left.
pub static EARLIER_PUSH_RULES: Table<(UserNumber, Position), String> =
    Table::new("earlier_push_rules");

/// Filters by user and the hash of their JSON.
pub static FILTERS: Table<(UserNumber, String), String> = Table::new("filters");
/// The number of filters of a user.
pub static FILTER_COUNTS: Table<UserNumber, u64> = Table::new("filter_counts");

/// The state of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountStatus {
    Active,
    /// Permanent: the name is never reused.
    Deactivated,
}

/// An account as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    pub status: AccountStatus,
    /// `None`: nobody can log in with a password.
    pub password: Option<PasswordHash>,
    pub is_admin: bool,
    /// Unix milliseconds.
    pub created: u64,
}

/// The tokens of one login or of one refresh, by their hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenPair {
    pub access: TokenHash,
    /// `None` if the client does not support refresh tokens.
    pub refresh: Option<TokenHash>,
}

/// The session of a device, with one pair of tokens, and after a refresh a second pair until that
/// is first used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    pub current: TokenPair,
    pub next: Option<TokenPair>,
}

/// The user and device of an access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessTokenRow {
    pub user: UserNumber,
    pub device: String,
    /// Unix milliseconds.
    pub expires: Option<u64>,
    /// It comes from a refresh and is unused: its first use revokes the previous pair.
    pub is_unused: bool,
}

/// The session that a refresh token renews.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshTokenRow {
    pub user: UserNumber,
    pub device: String,
}

/// The user of an OpenID token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenIdRow {
    pub user: UserNumber,
    pub expires: Millis,
}

/// A profile as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRow {
    pub displayname: Option<String>,
    pub avatar_url: Option<String>,
    /// All other fields: JSON by name.
    pub fields: BTreeMap<String, String>,
}

/// A changed profile that must be applied to rooms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileJobRow {
    /// Only rooms that show `displayname_before` and `avatar_url_before` are changed; rooms with a
    /// different name keep it.
    pub only_unchanged: bool,
    /// The values that rooms following the profile still show.
    pub displayname_before: Option<String>,
    pub avatar_url_before: Option<String>,
}

/// A deactivated user who must leave all rooms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeactivationJobRow {
    /// The user asked to hide their messages from users who join later.
    pub erase: bool,
}

/// The account data of one user, global and of all rooms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDataSize {
    /// With deleted ones, whose rows remain.
    pub rows: u64,
    /// Of all contents.
    pub bytes: u64,
}

/// The account data that a log entry refers to.
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
impl Record for AccountDataSize {}
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
        ACCOUNT_DATA_SIZES.info(),
        ACCOUNT_DATA_LOG.info(),
        EARLIER_PUSH_RULES.info(),
        FILTERS.info(),
        FILTER_COUNTS.info(),
    ]
}
