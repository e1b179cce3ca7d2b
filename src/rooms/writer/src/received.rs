//! Events of other servers, as they enter the room's writer: format, hash and signatures have been checked.

use protocol::authorize::AuthEvent;
use protocol::receive::Pdu;
use protocol::scan::{self, ScanError};
use ruma::{OwnedEventId, OwnedUserId, state_res::Event as _};

/// A checked PDU of another server.
#[derive(Clone, Debug)]
pub struct ReceivedPdu {
    pub event_id: OwnedEventId,
    /// Canonical JSON, as it was signed; redacted where the content hash did not match.
    pub json: String,
    pub(crate) depth: u64,
    pub(crate) auth: AuthEvent,
}

/// How an event comes into the room's graph.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// Sent now, or fetched because a later event names it: enters the timeline and the log. All its previous events must be
    /// placed.
    Live,
    /// Like `Live`, but some of its previous events cannot be had. The state before it is given by the ids of its events,
    /// all of which are held.
    AfterGap { state: Vec<OwnedEventId> },
    /// The event by which a local user joins the room on another server. The state before it is given like that of `AfterGap`. If no
    /// local user was joined, it replaces what was known of the room: what happened in the absence cannot be resolved.
    Join { state: Vec<OwnedEventId> },
    /// Part of an auth chain or of a state.
    Outlier,
}

/// The result of receiving one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    SoftFailed(String),
    Rejected(String),
    /// Stored as an outlier: these auth events are missing.
    Unchecked(Vec<OwnedEventId>),
    /// It was held already, at the same place.
    Known,
    /// Not stored: these previous events are not placed.
    MissingPrevious(Vec<OwnedEventId>),
}

impl ReceivedPdu {
    /// Reads a PDU whose format, hash and signatures the caller has checked.
    pub fn new(event_id: OwnedEventId, json: String) -> Result<Self, ScanError> {
        let parts = scan::scan(&json)?;
        let depth = parts.depth(&json).ok_or(ScanError::Field("depth"))?;
        let auth = AuthEvent::parse(event_id.clone(), &json)?;
        Ok(Self {
            event_id,
            json,
            depth,
            auth,
        })
    }

    /// The same for one that is parsed already. Only `Pdu::verify` gives one whose signatures are checked.
    pub fn of(pdu: Pdu) -> Self {
        Self {
            event_id: pdu.event_id().to_owned(),
            depth: pdu.depth().0,
            auth: pdu.auth_event().clone(),
            json: pdu.into_json(),
        }
    }

    pub(crate) fn sender(&self) -> OwnedUserId {
        self.auth.sender().to_owned()
    }

    pub(crate) fn previous_events(&self) -> Vec<OwnedEventId> {
        self.auth.prev_events().cloned().collect()
    }

    pub(crate) fn auth_events(&self) -> Vec<OwnedEventId> {
        self.auth.auth_events().cloned().collect()
    }
}
