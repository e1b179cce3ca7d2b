//! Request types of our own, for endpoints that ruma does not define or decodes too strictly.

use ruma::{api::error::DeserializationError, exports::serde_html_form};
use serde::{Deserialize, de::DeserializeOwned, de::value::SeqDeserializer};

/// The parts of a request that a decoder of [`own_request`](crate::own_request) reads.
pub struct RequestInput<'a> {
    request: http::Request<&'a [u8]>,
    path: &'a [&'a str],
}

impl<'a> RequestInput<'a> {
    #[doc(hidden)]
    pub fn new(request: http::Request<&'a [u8]>, path: &'a [&'a str]) -> Self {
        Self { request, path }
    }

    /// The parameters of the path: a tuple, or a structure whose fields they are in their order.
    pub fn path<T: Deserialize<'a>>(&self) -> Result<T, DeserializationError> {
        let parameters = self.path.iter().copied();
        let parameters = SeqDeserializer::<_, serde::de::value::Error>::new(parameters);
        Ok(T::deserialize(parameters)?)
    }

    pub fn query<T: DeserializeOwned>(&self) -> Result<T, DeserializationError> {
        let query = self.request.uri().query().unwrap_or_default();
        Ok(serde_html_form::from_str(query)?)
    }

    /// The body, which must be there.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, DeserializationError> {
        Ok(serde_json::from_slice(self.request.body())?)
    }

    /// The body, or the default for a client that sends none.
    pub fn optional_json<T: DeserializeOwned + Default>(&self) -> Result<T, DeserializationError> {
        match self.request.body().trim_ascii() {
            b"" => Ok(T::default()),
            body => Ok(serde_json::from_slice(body)?),
        }
    }

    pub fn body(&self) -> &'a [u8] {
        self.request.body()
    }

    /// For a request type of ruma that decodes the same path, query or body.
    pub fn into_parts(self) -> (http::Request<&'a [u8]>, &'a [&'a str]) {
        (self.request, self.path)
    }
}

/// Implements ruma's `IncomingRequest` for a type whose `Metadata` is declared beside it:
/// `own_request!(Request => Response, decode)`, where `decode` is a
/// `fn(RequestInput<'_>) -> Result<Request, DeserializationError>`. `Response` is the response type
/// of ruma for this endpoint, whatever the handler returns.
#[macro_export]
macro_rules! own_request {
    ($request:ty => $response:ty, $decode:expr) => {
        impl $crate::reexported::ruma::api::IncomingRequest for $request {
            type EndpointError = $crate::reexported::ruma::api::error::Error;
            type OutgoingResponse = $response;

            fn try_from_http_request_inner(
                request: $crate::reexported::http::Request<&[u8]>,
                path: &[&str],
            ) -> Result<Self, $crate::reexported::ruma::api::error::DeserializationError> {
                let decode: fn(
                    $crate::RequestInput<'_>,
                ) -> Result<
                    $request,
                    $crate::reexported::ruma::api::error::DeserializationError,
                > = $decode;
                decode($crate::RequestInput::new(request, path))
            }
        }
    };
}
