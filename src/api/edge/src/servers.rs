//! Requests of other servers. They are signed, body included (server-server API, "Request
//! Authentication"), so the sender is known only once its body is there: first a claim, then its
//! proof.

use std::{future::Future, pin::Pin};

use http::request::Parts;
use ruma::{OwnedServerName, ServerName, api::federation::authentication::ServerSignatures};

use crate::{ApiError, Caller, EdgeContext, Scheme, User};

/// Checks who has sent a request. Implemented by the API whose endpoints ask for servers.
pub trait Servers: Send + Sync {
    /// Reads the headers, and gets the keys of the server that they name.
    fn claim<'a>(&'a self, head: &'a Parts) -> Claiming<'a>;
}

pub type Claiming<'a> =
    Pin<Box<dyn Future<Output = Result<Box<dyn ServerClaim>, ApiError>> + Send + 'a>>;

/// What the headers of a request claim.
pub trait ServerClaim: Send + Sync {
    fn origin(&self) -> &ServerName;
    /// Whether the origin has signed this request.
    fn verify(&self, head: &Parts, body: &[u8]) -> Result<(), ApiError>;
}

/// Another server. A handler gets one only after its claim was verified.
pub struct Server {
    pub name: OwnedServerName,
    claim: Box<dyn ServerClaim>,
}

impl Caller for Server {
    fn user(&self) -> Option<&User> {
        None
    }

    fn confirm(&self, head: &Parts, body: &[u8]) -> Result<(), ApiError> {
        self.claim.verify(head, body)
    }
}

impl Scheme for ServerSignatures {
    type Caller = Server;

    async fn identify(context: &EdgeContext, parts: &Parts) -> Result<Server, ApiError> {
        let servers = context
            .servers
            .as_ref()
            .ok_or_else(ApiError::unrecognized)?;
        let claim = servers.claim(parts).await?;
        Ok(Server {
            name: claim.origin().to_owned(),
            claim,
        })
    }
}
