//! Pure Matrix: the formats of events, who may send them, what a redaction leaves of them, how conflicting states are resolved,
//! whom events notify. No I/O, no async, no clock and no randomness: everything here is a function of its arguments.
//!
//! * [`content`]: canonical JSON of what a client sent; [`event`]: from a draft to a signed PDU; [`receive`]: from the text of
//!   another server to a checked PDU; [`scan`]: reading the parts of a stored PDU without parsing it; [`hash`]: reference and
//!   content hashes; [`redact`]: what a redaction leaves, and whether it may be applied.
//! * [`authorize`]: the authorization rules; [`power_levels`]: who may do what, for answers and decisions outside of them;
//!   [`resolve`]: the resolution of conflicting states.
//! * [`push`]: push rules.
//! * [`room_version`]: the supported room versions.

pub mod authorize;
mod canonical;
pub mod content;
pub mod event;
pub mod hash;
pub mod power_levels;
pub mod push;
pub mod receive;
pub mod redact;
pub mod resolve;
pub mod room_version;
pub mod scan;
