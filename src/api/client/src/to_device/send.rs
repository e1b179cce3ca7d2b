//! `PUT /sendToDevice/{eventType}/{txnId}`: client-server API, "Send-to-Device messaging".

use std::collections::BTreeMap;

use ::devices::{
    Devices,
    to_device::{Message, Recipient, SendError, Target},
};
use edge::{ApiError, Call, Empty, State, own_request};
use ruma::{
    OwnedUserId,
    api::{
        auth_scheme::AccessToken, client::to_device::send_event_to_device::v3::Response, metadata,
    },
    to_device::DeviceIdOrAllDevices,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use users::Users;

/// Own request type: the event type must stay as it is in the path.
pub(crate) struct Request {
    kind: String,
    transaction: String,
    messages: Messages,
}

type Messages = BTreeMap<OwnedUserId, BTreeMap<DeviceIdOrAllDevices, Box<RawValue>>>;

#[derive(Deserialize)]
struct Body {
    messages: Messages,
}

metadata! {
    @for Request,
    method: PUT,
    rate_limited: false,
    authentication: AccessToken,
    history: {
        1.0 => "/_matrix/client/r0/sendToDevice/{event_type}/{txn_id}",
        1.1 => "/_matrix/client/v3/sendToDevice/{event_type}/{txn_id}",
    }
}

own_request!(Request => Response, |input| {
    let (kind, transaction) = input.path()?;
    let Body { messages } = input.json()?;
    Ok(Request {
        kind,
        transaction,
        messages,
    })
});

/// The longest event type and transaction id.
const LONGEST: usize = 255;

pub(crate) async fn send(
    State(users): State<Users>,
    State(devices): State<Devices>,
    call: Call<Request>,
) -> Result<Empty, ApiError> {
    let Request {
        kind,
        transaction,
        messages,
    } = call.request;
    if kind.len() > LONGEST || transaction.len() > LONGEST {
        return Err(ApiError::invalid_param(
            "This type or transaction id is too long",
        ));
    }
    let count: usize = messages.values().map(BTreeMap::len).sum();
    if count.max(messages.len()) > devices.limits().recipients {
        return Err(refuse(SendError::TooMany(devices.limits().recipients)));
    }
    let db = users.snapshot().await?;
    let mut recipients = Vec::new();
    for (user_id, contents) in messages {
        // Those of other servers hear nothing yet; those that do not exist never will.
        let user = match users.is_local(&user_id) {
            true => users.number(&db, &user_id).await?,
            false => None,
        };
        for (device, content) in contents {
            if !content.get().starts_with('{') {
                return Err(ApiError::bad_json(
                    "The content of a message must be an object",
                ));
            }
            let Some(user) = user else { continue };
            let target = match device {
                DeviceIdOrAllDevices::DeviceId(device) => Target::Device(device.to_string()),
                DeviceIdOrAllDevices::AllDevices => Target::All,
            };
            recipients.push(Recipient {
                user,
                target,
                content: content.get().into(),
            });
        }
    }
    let message = Message {
        sender: call.caller.number,
        sender_id: &call.caller.user_id,
        device: call.caller.device_id.as_str(),
        kind: &kind,
        transaction: &transaction,
        recipients,
    };
    devices.send(&message).await.map_err(refuse)?;
    Ok(Empty)
}

fn refuse(error: SendError) -> ApiError {
    match error {
        SendError::NoDevice => ApiError::unknown_token(false),
        SendError::TooLarge(_) | SendError::TooMany(_) | SendError::TooMuch(_) => {
            ApiError::too_large(error)
        }
        SendError::Store(error) => error.into(),
    }
}
