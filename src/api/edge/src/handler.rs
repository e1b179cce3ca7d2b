//! Handlers are plain `async fn`s: parts of the API's state first, the `Call` last.

use std::future::Future;

use ruma::api::{IncomingRequest, Metadata};

use crate::{ApiError, Call, RawCall, Respond, Response, Rule, Scheme, User, call::Exchange};

/// A part of the API's state, taken as a handler's argument: `State(rooms): State<Rooms>`.
#[derive(Clone, Copy, Debug)]
pub struct State<T>(pub T);

/// Says where in the API's state a part is found. Parts are handles that are cheap to clone.
pub trait FromRef<S> {
    fn from_ref(state: &S) -> Self;
}

/// The last argument of a handler: [`Call`] or [`RawCall`].
pub trait Input: Send + Sized {
    /// Determines path, method and authentication.
    type Request: Metadata;

    #[doc(hidden)]
    fn read(
        exchange: Box<Exchange>,
        rule: Rule,
    ) -> impl Future<Output = Result<Self, ApiError>> + Send;

    #[doc(hidden)]
    fn user(&self) -> Option<&User>;
}

/// Implemented for `async fn(State<A>, …, Call<R>) -> Result<impl Respond, ApiError>` with up to six parts of the state, and the
/// same with `RawCall<R>`.
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
    R: IncomingRequest + Metadata<Authentication: Scheme> + Send,
{
    type Request = R;

    async fn read(exchange: Box<Exchange>, rule: Rule) -> Result<Self, ApiError> {
        Self::read(exchange, rule).await
    }

    fn user(&self) -> Option<&User> {
        self.user()
    }
}

impl<R> Input for RawCall<R>
where
    R: IncomingRequest + Metadata<Authentication: Scheme> + Send,
{
    type Request = R;

    async fn read(exchange: Box<Exchange>, rule: Rule) -> Result<Self, ApiError> {
        Self::read(exchange, rule).await
    }

    fn user(&self) -> Option<&User> {
        self.user()
    }
}

macro_rules! handler {
    ($($part:ident),*) => {
        impl<S, F, Answering, Answer, I, $($part),*> Handler<S, (I, $($part,)*)> for F
        where
            F: Fn($(State<$part>,)* I) -> Answering + Copy + Send + Sync + 'static,
            Answering: Future<Output = Result<Answer, ApiError>> + Send,
            Answer: Respond,
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
                let answering = self($(State($part::from_ref(state)),)* input);
                async { answering.await?.respond() }
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
