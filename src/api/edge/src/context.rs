//! Shared by all requests: accounts, limits and settings of the HTTP layer.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use database::{Blocking, Clock, Random};
use users::Users;

use crate::{
    ApiError, BodyLimits, Class, ClientAddress, InFlightLimits, RateLimits, Servers,
    TrustedProxies, User,
    budget::{Account, Budget},
    limits::{Limiter, RateLimitKey},
};

/// Settings of the HTTP layer, for a whole server.
#[derive(Clone, Debug)]
pub struct EdgeSettings {
    pub rate_limits: RateLimits,
    /// Reverse proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    pub bodies: BodyLimits,
    pub in_flight: InFlightLimits,
    /// Whether `?access_token=` authenticates, which the spec deprecates.
    pub query_access_tokens: bool,
    pub operator: Operator,
}

/// Where users turn to when they reach a limit ("Standard error response" of the spec).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// A page about the limits of accounts: `info_uri` of `M_USER_LIMIT_EXCEEDED`.
    pub info_uri: String,
    /// A URI: `admin_contact` of `M_RESOURCE_LIMIT_EXCEEDED`.
    pub admin_contact: String,
}

/// Shared by all requests of a server.
pub struct EdgeContext {
    pub(crate) users: Users,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) proxies: TrustedProxies,
    /// `None` if rate limits are off.
    limiter: Option<Limiter>,
    pub(crate) bodies: BodyLimits,
    pub(crate) budget: Budget,
    /// Parses large bodies.
    pub(crate) blocking: Arc<dyn Blocking>,
    pub(crate) query_access_tokens: bool,
    pub(crate) operator: Operator,
    /// `None` if this server does not federate.
    pub(crate) servers: Option<Arc<dyn Servers>>,
    /// Random, so that request ids of this process differ from those of the previous one.
    pub(crate) boot: u32,
    panics: AtomicU64,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            rate_limits: RateLimits::default(),
            trusted_proxies: TrustedProxies::default(),
            bodies: BodyLimits::default(),
            in_flight: InFlightLimits::default(),
            query_access_tokens: true,
            operator: Operator {
                info_uri: "http://localhost".to_owned(),
                admin_contact: "http://localhost".to_owned(),
            },
        }
    }
}

impl EdgeContext {
    pub fn new(
        users: Users,
        settings: EdgeSettings,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
        blocking: Arc<dyn Blocking>,
    ) -> Self {
        let limits = &settings.rate_limits;
        let limiter = limits.enabled.then(|| Limiter::new(limits));
        let mut boot = [0; 4];
        random.fill(&mut boot);
        Self {
            users,
            clock,
            proxies: settings.trusted_proxies,
            limiter,
            bodies: settings.bodies,
            budget: Budget::new(settings.in_flight),
            blocking,
            query_access_tokens: settings.query_access_tokens,
            operator: settings.operator,
            servers: None,
            boot: u32::from_le_bytes(boot),
            panics: AtomicU64::new(0),
        }
    }

    /// For endpoints that are for other servers.
    #[must_use]
    pub fn with_servers(mut self, servers: Arc<dyn Servers>) -> Self {
        self.servers = Some(servers);
        self
    }

    /// Takes one token of the user's bucket, or of the address's where there is no user.
    pub(crate) fn charge(
        &self,
        class: Class,
        user: Option<&User>,
        client: ClientAddress,
    ) -> Result<(), ApiError> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        let key = match user {
            Some(user) => RateLimitKey::User(user.number),
            None => RateLimitKey::Address(client.subscriber()),
        };
        limiter
            .charge(class, key, self.clock.monotonic())
            .map_err(ApiError::limit_exceeded)
    }

    /// The shares of the bytes in flight that a request counts towards.
    pub(crate) fn account(&self, user: Option<&User>, client: ClientAddress) -> Account {
        Account {
            user: user.map(|user| user.number),
            address: self.counted_address(client.0),
        }
    }

    /// `None` for addresses that many clients share: loopback (a proxy that sends no header), and
    /// trusted proxies.
    fn counted_address(&self, address: IpAddr) -> Option<IpAddr> {
        let is_shared = address.is_loopback() || self.proxies.contains(address);
        (!is_shared).then(|| ClientAddress(address).subscriber())
    }

    pub(crate) fn count_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}
