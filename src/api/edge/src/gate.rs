//! What the edge needs of the house to let a request in.

use std::sync::Arc;

use database::{Clock, Random};
use users::Users;

use crate::{BodyLimits, RateLimits, Servers, TrustedProxies, limits::Limiter};

/// Shared by all requests; made once, by the server.
pub struct Gate {
    pub(crate) users: Users,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) proxies: TrustedProxies,
    /// `None` where rate limits are off, so that they cost nothing.
    pub(crate) limiter: Option<Limiter>,
    pub(crate) bodies: BodyLimits,
    /// `None` where this server does not federate.
    pub(crate) servers: Option<Arc<dyn Servers>>,
    /// Sets the request ids of this process apart from those of the one before.
    pub(crate) boot: u32,
}

impl Gate {
    pub fn new(
        users: Users,
        limits: &RateLimits,
        proxies: TrustedProxies,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
    ) -> Self {
        let limiter = limits.enabled.then(|| Limiter::new(limits));
        let mut boot = [0; 4];
        random.fill(&mut boot);
        Self {
            users,
            clock,
            proxies,
            limiter,
            bodies: BodyLimits::default(),
            servers: None,
            boot: u32::from_le_bytes(boot),
        }
    }

    /// For endpoints that ask for servers.
    #[must_use]
    pub fn with_servers(mut self, servers: Arc<dyn Servers>) -> Self {
        self.servers = Some(servers);
        self
    }

    /// With other limits of bodies than the default ones.
    #[must_use]
    pub fn with_bodies(mut self, bodies: BodyLimits) -> Self {
        self.bodies = bodies;
        self
    }
}
