//! Who has sent a signed request: the errcodes of "Request Authentication".

use database::StoreError;
use edge::{ApiError, Claiming, ServerClaim, Servers};
use federation::{
    Federation, KeyError,
    authentication::{Claim, ClaimError},
};
use http::{StatusCode, request::Parts};
use ruma::{ServerName, api::error::ErrorCode};

/// Lets endpoints ask for servers.
pub struct Signatures(pub Federation);

struct Claimed(Claim, Federation);

impl Servers for Signatures {
    fn claim<'a>(&'a self, head: &'a Parts) -> Claiming<'a> {
        Box::pin(async move {
            let claim = self.0.claim(head).await.map_err(refuse)?;
            Ok(Box::new(Claimed(claim, self.0.clone())) as Box<dyn ServerClaim>)
        })
    }
}

impl ServerClaim for Claimed {
    fn origin(&self) -> &ServerName {
        self.0.origin()
    }

    fn verify(&self, head: &Parts, body: &[u8]) -> Result<(), ApiError> {
        let uri = head.uri.path_and_query().map_or("/", |path| path.as_str());
        self.0.verify(&head.method, uri, body).map_err(refuse)?;
        self.1.note_heard(self.0.origin());
        Ok(())
    }
}

fn refuse(error: ClaimError) -> ApiError {
    match error {
        ClaimError::NotAllowed(_) => ApiError::forbidden(error),
        ClaimError::Content => ApiError::not_json(error),
        ClaimError::Key(KeyError::Store(error)) => of_store(error),
        ClaimError::Header(_)
        | ClaimError::OtherDestination(_)
        | ClaimError::Key(KeyError::Unknown { .. })
        | ClaimError::Signature => {
            ApiError::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, error)
        }
    }
}

fn of_store(error: StoreError) -> ApiError {
    error.into()
}
