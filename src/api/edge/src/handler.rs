//! Handlers are plain `async fn`s: parts of the API's state first, the `Call` last.

use std::future::Future;

use ruma::api::{IncomingRequest, Metadata};

use crate::{ApiError, Call, Respond, Response, Scheme};

/// A part of the API's state, taken as a handler's argument: `State(rooms): State<Rooms>`.
#[derive(Clone, Copy, Debug)]
pub struct State<T>(pub T);

/// Says where in the API's state a part is found. Parts are handles that are cheap to clone.
pub trait FromRef<S> {
    fn from_ref(state: &S) -> Self;
}

/// Implemented for `async fn(State<A>, …, Call<R>) -> Result<impl Respond, ApiError>` with up to six parts of the state.
pub trait Handler<S, Arguments>: Copy + Send + Sync + 'static {
    type Request: IncomingRequest + Metadata<Authentication: Scheme> + Send;

    fn handle(
        self,
        state: &S,
        call: Call<Self::Request>,
    ) -> impl Future<Output = Result<Response, ApiError>> + Send;
}

macro_rules! handler {
    ($($part:ident),*) => {
        impl<S, F, Answering, Answer, R, $($part),*> Handler<S, (R, $($part,)*)> for F
        where
            F: Fn($(State<$part>,)* Call<R>) -> Answering + Copy + Send + Sync + 'static,
            Answering: Future<Output = Result<Answer, ApiError>> + Send,
            Answer: Respond,
            R: IncomingRequest + Metadata<Authentication: Scheme> + Send,
            $($part: FromRef<S>,)*
        {
            type Request = R;

            fn handle(
                self,
                state: &S,
                call: Call<R>,
            ) -> impl Future<Output = Result<Response, ApiError>> + Send {
                // A handler may take no part of it.
                let _ = state;
                let answering = self($(State($part::from_ref(state)),)* call);
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
