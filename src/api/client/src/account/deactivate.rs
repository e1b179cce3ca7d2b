//! `POST /account/deactivate`: client-server API, "Deactivating your account".

use edge::{ApiError, Call, State};
use ruma::api::client::account::{
    ThirdPartyIdRemovalStatus,
    deactivate::v3::{Request, Response},
};
use users::{Operation, PASSWORD_FLOWS, Users};

use crate::{account::password::refuse, interactive};

pub(crate) async fn deactivate(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    interactive::charge(&call, call.request.auth.as_ref())?;
    let caller = call.caller.ok_or_else(ApiError::missing_token)?;
    let erase = call.request.erase;
    let operation = Operation::new("deactivate", Some(caller.number), &[&erase.to_string()]);
    users
        .authorize(
            operation,
            Some(caller.number),
            PASSWORD_FLOWS,
            interactive::attempt(call.request.auth),
        )
        .await
        .map_err(interactive::refuse)?;
    users
        .deactivate(caller.number, erase)
        .await
        .map_err(refuse)?;
    // There is no third-party identifier to unbind, which the spec counts as success.
    Ok(Response::new(ThirdPartyIdRemovalStatus::Success))
}
