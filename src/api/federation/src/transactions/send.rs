//! `PUT /_matrix/federation/v1/send/{txnId}`: server-server API, "Transactions".

use std::time::Duration;

use edge::{ApiError, Call, RawJson, State};
use rooms_remote::{RemoteRooms, Transaction, TransactionError};
use ruma::{api::federation::transactions::send_transaction_message::v1::Request, serde::Raw};

/// `Retry-After` for a server that sends many transactions at once, which the specification forbids.
const BUSY: Duration = Duration::from_secs(1);

/// The origin is the server that signed the request, whatever its body says.
pub(super) async fn send(
    State(remote): State<RemoteRooms>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let transaction = Transaction {
        origin: call.caller.name,
        id: call.request.transaction_id.into(),
        pdus: call.request.pdus,
        edus: call.request.edus.into_iter().map(Raw::into_json).collect(),
    };
    let answer = remote
        .accept_transaction(transaction)
        .await
        .map_err(refuse)?;
    Ok(RawJson(answer.into_bytes()))
}

fn refuse(error: TransactionError) -> ApiError {
    match error {
        TransactionError::TooMany => ApiError::bad_json(error),
        TransactionError::BadId => ApiError::invalid_param(error),
        TransactionError::Busy => ApiError::limit_exceeded(BUSY),
        TransactionError::ShuttingDown => ApiError::internal(error),
        TransactionError::Store(error) => error.into(),
    }
}
