//! An endpoint as axum's router calls it: extraction, the handler and its panics, the request log,
//! and the headers that every response has.

use std::{future::Future, marker::PhantomData, panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use axum::extract::{FromRequest as _, Request};
use futures_util::FutureExt as _;

use crate::{ApiError, Handler, Response, Rule, call::Arrival, handler::Input, log::Outcome};

/// A handler with the state of its API. Cheap to clone, as axum clones it for each request.
pub(crate) struct Endpoint<S, Arguments, H>(Arc<Definition<S, Arguments, H>>);

struct Definition<S, Arguments, H> {
    handler: H,
    state: Arc<S>,
    rule: Rule,
    template: &'static str,
    arguments: PhantomData<fn() -> Arguments>,
}

type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

impl<S, Arguments, H> Endpoint<S, Arguments, H> {
    pub(crate) fn new(handler: H, state: Arc<S>, rule: Rule, template: &'static str) -> Self {
        Self(Arc::new(Definition {
            handler,
            state,
            rule,
            template,
            arguments: PhantomData,
        }))
    }
}

impl<S, Arguments, H> Clone for Endpoint<S, Arguments, H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S, Arguments, H> axum::handler::Handler<(Arguments,), ()> for Endpoint<S, Arguments, H>
where
    S: Send + Sync + 'static,
    Arguments: 'static,
    H: Handler<S, Arguments>,
{
    type Future = Answer;

    fn call(self, mut request: Request, (): ()) -> Answer {
        let Some(arrival) = request.extensions_mut().get_mut::<Arrival>() else {
            let error = ApiError::internal("a request did not come through `Edge`");
            return Box::pin(std::future::ready(error.to_response()));
        };
        arrival.rule = self.0.rule;
        arrival.has_parameters = self.0.template.contains('{');
        let arrival = arrival.clone();
        // A future of its own, which is freed with the head of the request before the handler runs.
        let input = Box::pin(H::Input::from_request(request, &()));
        Box::pin(async move {
            let answer = AssertUnwindSafe(self.0.answer(input, &arrival)).catch_unwind();
            let outcome = answer.await.unwrap_or_else(|panic| {
                arrival.context.count_panic();
                Outcome::refused(ApiError::internal(panic_text(&*panic)), None)
            });
            arrival.finish(self.0.template, outcome)
        })
    }
}

impl<S, Arguments, H> Definition<S, Arguments, H>
where
    H: Handler<S, Arguments>,
{
    async fn answer(
        &self,
        input: Pin<Box<impl Future<Output = Result<H::Input, ApiError>> + Send>>,
        arrival: &Arrival,
    ) -> Outcome {
        let context = &*arrival.context;
        let refused =
            |error: ApiError, user| Outcome::refused(error.with_operator(&context.operator), user);
        let input = match input.await {
            Ok(input) => input,
            Err(error) => return refused(error, None),
        };
        let user = input.user().cloned();
        let answer = self.handler.handle(&self.state, input).await;
        let account = || context.account(user.as_ref(), arrival.client);
        match answer.and_then(|response| context.budget.admit(response, account)) {
            Ok(response) => Outcome {
                response,
                user,
                cause: None,
            },
            Err(error) => refused(error, user),
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("no message"))
}
