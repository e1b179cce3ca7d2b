//! `POST /rooms/{roomId}/receipt/{receiptType}/{eventId}`: client-server API, "Receipts".

use edge::{ApiError, Call, State};
use rooms::{Markers, Rooms};
use ruma::{
    api::client::receipt::create_receipt::v3::{ReceiptType, Request, Response},
    events::receipt::ReceiptThread,
};

use crate::rooms::refusal::refuse;

pub(super) async fn receipt(
    State(rooms): State<Rooms>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request {
        room_id,
        receipt_type,
        event_id,
        thread,
        ..
    } = call.request;
    let thread = match thread {
        ReceiptThread::Unthreaded => None,
        ReceiptThread::Main => Some("main".to_owned()),
        ReceiptThread::Thread(root) => Some(root.to_string()),
        _ => {
            return Err(ApiError::invalid_param(
                "`thread_id` must be `main` or an event id",
            ));
        }
    };
    let markers = Markers {
        thread,
        ..Markers::default()
    };
    let markers = match receipt_type {
        ReceiptType::Read => Markers {
            read: Some(event_id),
            ..markers
        },
        ReceiptType::ReadPrivate => Markers {
            read_private: Some(event_id),
            ..markers
        },
        ReceiptType::FullyRead if markers.thread.is_none() => Markers {
            fully_read: Some(event_id),
            ..markers
        },
        ReceiptType::FullyRead => {
            return Err(ApiError::invalid_param("m.fully_read has no threads"));
        }
        _ => return Err(ApiError::invalid_param("unknown receipt type")),
    };
    rooms
        .mark_read(&room_id, call.caller.number, markers)
        .await
        .map_err(refuse)?;
    Ok(Response::new())
}
