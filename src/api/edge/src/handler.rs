//! Handlers are plain `async fn`s: parts of the API's state first, the request last.

use std::future::Future;

use axum::extract::{FromRef, FromRequest, State};
use ruma::api::{IncomingRequest, Metadata};

use crate::{ApiError, Call, RawCall, Respond, Response, Scheme, User};

/// The last argument of a handler: [`Call`] or [`RawCall`].
pub trait Input: FromRequest<(), Rejection = ApiError> + Send + 'static {
    /// Determines path, method and authentication.
    type Request: Metadata;

    #[doc(hidden)]
    fn user(&self) -> Option<&User>;
}

/// Implemented for `async fn(State<A>, .., Call<R>) -> Result<impl Respond, ApiError>` with up to
/// six parts of the state, and the same with `RawCall<R>`.
pub trait Handler<S, Arguments>: Copy + Send + Sync + 'static {
    type Input: Input;

    fn handle(
        self,
        state: &S,
        input: Self::Input,
    ) -> impl Future<Output = Result<Response, ApiError>> + Send;
}

impl<R> Input for Call<R>
where
    R: IncomingRequest + Metadata<Authentication: Scheme> + Send + 'static,
{
    type Request = R;

    fn user(&self) -> Option<&User> {
        self.user()
    }
}

impl<R> Input for RawCall<R>
where
    R: IncomingRequest + Metadata<Authentication: Scheme> + Send + 'static,
{
    type Request = R;

    fn user(&self) -> Option<&User> {
        self.user()
    }
}

macro_rules! handler {
    ($($part:ident),*) => {
        impl<S, F, Answer, Answered, I, $($part),*> Handler<S, (I, $($part,)*)> for F
        where
            F: Fn($(State<$part>,)* I) -> Answer + Copy + Send + Sync + 'static,
            Answer: Future<Output = Result<Answered, ApiError>> + Send,
            Answered: Respond,
            I: Input,
            $($part: FromRef<S>,)*
        {
            type Input = I;

            fn handle(
                self,
                state: &S,
                input: I,
            ) -> impl Future<Output = Result<Response, ApiError>> + Send {
                // A handler may take no part of it.
                let _ = state;
                let answer = self($(State($part::from_ref(state)),)* input);
                async { answer.await?.respond() }
            }
        }
    };
}

handler!();
handler!(A);
handler!(A, B);
handler!(A, B, C);
handler!(A, B, C, D);
handler!(A, B, C, D, E);
handler!(A, B, C, D, E, G);
