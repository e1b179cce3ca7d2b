//! Paging through a room (client-server API, `GET /rooms/{roomId}/messages`), and the events around one of them (`context`).

mod context;
mod messages;
mod walk;

use database::UserNumber;
use ruma::OwnedDeviceId;

pub use self::walk::Direction;
pub use self::{
    context::{Context, ContextRequest},
    messages::{MessagesPage, MessagesRequest},
};

/// Who reads, and on which device.
#[derive(Clone, Debug)]
pub struct Reader {
    pub user: UserNumber,
    pub device: OwnedDeviceId,
}
