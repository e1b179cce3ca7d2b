//! A request of another server, between its headers and its body.

use http::{Method, request::Parts};
use ruma::{OwnedServerName, ServerName};

use super::{HeaderError, XMatrix, sign::Signed};
use crate::keys::{KeyError, ServerKey, ServerKeys};
use crate::policy::ServerPolicy;

/// Signatures of one request whose keys are fetched.
const MOST_KEYS: usize = 2;

/// Who claims to have sent a request, with the key that can prove it. Nothing of the request may be believed or acted
/// on before [`Claim::verify`].
#[derive(Debug)]
pub struct Claim {
    origin: OwnedServerName,
    destination: OwnedServerName,
    proofs: Vec<(ServerKey, [u8; 64])>,
}

#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("the request is meant for {0}")]
    OtherDestination(OwnedServerName),
    #[error("this server does not federate with {0}")]
    NotAllowed(OwnedServerName),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the signature of the request is not valid")]
    Signature,
    #[error("the request's body is not JSON that can be signed")]
    Content,
}

impl Claim {
    /// Reads the headers and gets the keys, from the network if need be.
    pub(crate) async fn of(
        head: &Parts,
        own: &ServerName,
        policy: &ServerPolicy,
        keys: &ServerKeys,
    ) -> Result<Self, ClaimError> {
        let header = XMatrix::of(&head.headers)?;
        if let Some(destination) = header.destination.filter(|name| name != own) {
            return Err(ClaimError::OtherDestination(destination));
        }
        if !policy.permits(&header.origin) {
            return Err(ClaimError::NotAllowed(header.origin));
        }
        let mut proofs = Vec::new();
        let mut failure = None;
        for (key_id, signature) in header.signatures.into_iter().take(MOST_KEYS) {
            match keys.for_request(&header.origin, &key_id).await {
                Ok(key) => proofs.push((key, signature)),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if proofs.is_empty() => Err(error.into()),
            _ => Ok(Self {
                origin: header.origin,
                destination: own.to_owned(),
                proofs,
            }),
        }
    }

    pub fn origin(&self) -> &ServerName {
        &self.origin
    }

    /// Whether the origin has signed this request. `uri` is the path with the query as it was received.
    pub fn verify(&self, method: &Method, uri: &str, body: &[u8]) -> Result<(), ClaimError> {
        let signed = Signed {
            origin: &self.origin,
            destination: &self.destination,
            method,
            uri,
        };
        let message = signed.message(body).map_err(|_| ClaimError::Content)?;
        let is_signed = self
            .proofs
            .iter()
            .any(|(key, signature)| key.verify(message.as_bytes(), signature));
        if is_signed {
            Ok(())
        } else {
            Err(ClaimError::Signature)
        }
    }
}
