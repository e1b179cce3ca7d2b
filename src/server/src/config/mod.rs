//! The configuration. `conduit.toml` at the root of the repository documents every setting; tests
//! compare it with the definitions and defaults here.

mod account_data;
mod devices;
mod federation;
mod load;
mod media;
mod names;
mod origins;
mod presence;
mod secret;
mod support;
mod tls;
mod turn;
mod units;
mod variables;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use edge::{BodyLimits, ConnectionTimeouts, Network, RateLimits};
use protocol::push::BodyMentions;
use rooms_writer::MailboxLimits;
use ruma::{OwnedServerName, RoomVersionId};
use serde::Deserialize;
use users::Registration;

use self::{
    account_data::AccountData,
    devices::Devices,
    federation::{Federation, Outgoing},
    media::Media,
    presence::Presence,
    secret::Secret,
    support::SupportSettings,
    tls::Tls,
    turn::TurnSettings,
    units::{Bytes, Seconds},
};
pub(crate) use self::{load::load, origins::Setting, units::Age};

/// RocksDB alone needs this much.
const MIN_BUDGET: u64 = 32 << 20;
/// An event has up to 65,536 bytes, and more in a request whose JSON is escaped.
const MIN_BODY: u64 = 128 << 10;

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) server_name: OwnedServerName,
    public_base_url: Option<String>,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) tls: Tls,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) default_room_version: RoomVersionId,
    pub(crate) database: Database,
    pub(crate) memory: Memory,
    registration: RegistrationSettings,
    pub(crate) federation: Federation,
    pub(crate) outgoing: Outgoing,
    pub(crate) support: SupportSettings,
    pub(crate) turn: TurnSettings,
    pub(crate) rate_limits: RateLimits,
    pub(crate) http: Http,
    pub(crate) rooms: Rooms,
    pub(crate) devices: Devices,
    pub(crate) media: Media,
    pub(crate) account_data: AccountData,
    pub(crate) sync: Sync,
    pub(crate) presence: Presence,
    pub(crate) push: Push,
    pub(crate) log: Log,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Database {
    pub(crate) path: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Memory {
    pub(crate) budget: Bytes,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RegistrationSettings {
    mode: Option<RegistrationMode>,
    token: Option<Secret>,
    shared_secret: Option<Secret>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RegistrationMode {
    Open,
    Token,
    Closed,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) max_connections: usize,
    pub(crate) max_connections_per_address: usize,
    pub(crate) query_access_tokens: bool,
    idle_timeout: Seconds,
    stall_timeout: Seconds,
    body_timeout: Seconds,
    body_size: Bytes,
    large_body_size: Bytes,
    pub(crate) shutdown_timeout: Seconds,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rooms {
    mailbox_events: usize,
    mailbox_size: Bytes,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sync {
    pub(crate) longest_wait: Seconds,
    pub(crate) open_per_device: usize,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Push {
    body_mentions: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server_name: ruma::server_name!("localhost").to_owned(),
            public_base_url: None,
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8008))],
            tls: Tls::default(),
            trusted_proxies: Vec::new(),
            default_room_version: RoomVersionId::V12,
            database: Database::default(),
            memory: Memory::default(),
            registration: RegistrationSettings::default(),
            federation: Federation::default(),
            outgoing: Outgoing::default(),
            support: SupportSettings::default(),
            turn: TurnSettings::default(),
            rate_limits: RateLimits::default(),
            http: Http::default(),
            rooms: Rooms::default(),
            devices: Devices::default(),
            media: Media::default(),
            account_data: AccountData::default(),
            sync: Sync::default(),
            presence: Presence::default(),
            push: Push::default(),
            log: Log::default(),
        }
    }
}

impl Default for Database {
    fn default() -> Self {
        Self {
            path: PathBuf::from("./data"),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            budget: Bytes(128 << 20),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            max_connections: 200_000,
            max_connections_per_address: 1_024,
            query_access_tokens: true,
            idle_timeout: Seconds(60),
            stall_timeout: Seconds(60),
            body_timeout: Seconds(60),
            body_size: Bytes(1 << 20),
            large_body_size: Bytes(16 << 20),
            shutdown_timeout: Seconds(20),
        }
    }
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            mailbox_events: 512,
            mailbox_size: Bytes(8 << 20),
        }
    }
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            longest_wait: Seconds(300),
            open_per_device: 20,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

impl Config {
    /// The URL under which clients reach this server, without a slash at the end.
    pub(crate) fn public_base_url(&self) -> String {
        match &self.public_base_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None if self.is_local() => {
                let port = self.listen.first().map_or(8008, SocketAddr::port);
                format!("http://localhost:{port}")
            }
            None => format!("https://{}", self.server_name),
        }
    }

    pub(crate) fn registration(&self) -> Registration {
        let by_default = if self.is_local() {
            RegistrationMode::Open
        } else {
            RegistrationMode::Closed
        };
        match (
            self.registration.mode.unwrap_or(by_default),
            &self.registration.token,
        ) {
            (RegistrationMode::Open, _) => Registration::Open,
            (RegistrationMode::Token, Some(token)) => {
                Registration::Token(token.reveal().to_owned())
            }
            (RegistrationMode::Token, None) | (RegistrationMode::Closed, _) => Registration::Closed,
        }
    }

    /// Whether anybody who reaches the server can create an account.
    pub(crate) fn registration_is_open(&self) -> bool {
        matches!(self.registration(), Registration::Open)
    }

    /// Whether names in bodies are mentions.
    pub(crate) fn body_mentions(&self) -> BodyMentions {
        if self.push.body_mentions {
            BodyMentions::Notify
        } else {
            BodyMentions::Ignored
        }
    }

    pub(crate) fn registration_secret(&self) -> Option<String> {
        self.registration
            .shared_secret
            .as_ref()
            .map(|secret| secret.reveal().to_owned())
    }

    /// Whether only users of this machine can reach the server.
    fn is_local(&self) -> bool {
        let mut listeners = self.listen.iter().chain(&self.tls.listen);
        self.server_name == "localhost" && listeners.all(|at| at.ip().is_loopback())
    }

    /// Mistakes that the types of the settings do not rule out.
    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut check = |is_right: bool, text: &str| {
            if !is_right {
                mistakes.push(text.to_owned());
            }
        };
        check(
            !self.listen.is_empty() || !self.tls.listen.is_empty(),
            "`listen` or `tls.listen` must name at least one address",
        );
        check(
            self.registration.mode != Some(RegistrationMode::Token)
                || self.registration.token.is_some(),
            "`registration.mode` is \"token\", but `registration.token` is not set",
        );
        check(
            protocol::room_version::SUPPORTED.contains(&self.default_room_version),
            "`default_room_version` must be one of 1 to 12",
        );
        check(
            self.public_base_url
                .as_ref()
                .is_none_or(|url| url.starts_with("http://") || url.starts_with("https://")),
            "`public_base_url` must begin with http:// or https://",
        );
        check(
            self.memory.budget.0 >= MIN_BUDGET,
            "`memory.budget` must be at least 32 MiB",
        );
        check(
            self.http.max_connections > 0,
            "`http.max_connections` must not be 0",
        );
        check(
            self.http.max_connections_per_address > 0,
            "`http.max_connections_per_address` must not be 0",
        );
        check(
            self.sync.open_per_device > 0,
            "`sync.open_per_device` must not be 0",
        );
        check(
            self.http.idle_timeout.0 > 0,
            "`http.idle_timeout` must not be 0",
        );
        check(
            self.http.stall_timeout.0 > 0 && self.http.body_timeout.0 > 0,
            "`http.stall_timeout` and `http.body_timeout` must not be 0",
        );
        check(
            self.http.body_size.0 >= MIN_BODY && self.http.large_body_size.0 >= MIN_BODY,
            "`http.body_size` and `http.large_body_size` must be at least 128 KiB, so that an event fits",
        );
        check(
            self.rooms.mailbox_events > 0,
            "`rooms.mailbox_events` must not be 0",
        );
        check(
            tracing_subscriber::EnvFilter::try_new(&self.log.level).is_ok(),
            "`log.level` must be error, warn, info, debug or trace, or for example \"info,requests=warn\"",
        );
        mistakes.extend(self.tls.mistakes());
        mistakes.extend(self.support.mistakes());
        mistakes.extend(self.turn.mistakes());
        mistakes.extend(self.devices.mistakes());
        mistakes.extend(self.presence.mistakes());
        mistakes.extend(self.media.mistakes());
        mistakes
    }
}

impl Http {
    pub(crate) fn timeouts(&self) -> ConnectionTimeouts {
        ConnectionTimeouts {
            head: self.idle_timeout.into(),
            stall: self.stall_timeout.into(),
        }
    }

    pub(crate) fn bodies(&self) -> BodyLimits {
        BodyLimits {
            usual: self.body_size.in_memory(),
            large: self.large_body_size.in_memory(),
            timeout: self.body_timeout.into(),
        }
    }

    pub(crate) fn shutdown_timeout(&self) -> Duration {
        self.shutdown_timeout.into()
    }
}

impl Rooms {
    pub(crate) fn mailbox(&self) -> MailboxLimits {
        MailboxLimits {
            intents: self.mailbox_events,
            bytes: self.mailbox_size.in_memory(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> Config {
        Config::default()
    }

    #[test]
    fn registration_is_open_only_where_nobody_else_can_come() {
        assert_eq!(format!("{:?}", local().registration()), "Open");

        let mut public = local();
        public.listen.push(SocketAddr::from(([0, 0, 0, 0], 8008)));
        assert_eq!(format!("{:?}", public.registration()), "Closed");

        let mut named = local();
        named.server_name = ruma::server_name!("example.org").to_owned();
        assert_eq!(format!("{:?}", named.registration()), "Closed");
    }

    #[test]
    fn the_public_url_follows_from_the_name() {
        assert_eq!(local().public_base_url(), "http://localhost:8008");

        let mut named = local();
        named.server_name = ruma::server_name!("example.org").to_owned();
        assert_eq!(named.public_base_url(), "https://example.org");
    }
}
