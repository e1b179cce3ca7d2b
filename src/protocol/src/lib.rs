//! Pure Matrix: how events look, who may send them, what redaction leaves of them, whom they notify. No I/O, no async, no
//! clock and no randomness: everything here is a function of its arguments.
//!
//! * [`content`]: canonical JSON of what a client sent; [`event`]: from a draft to a signed PDU; [`scan`]: reading the
//!   parts of a stored PDU without parsing it; [`redact`]: what a redaction leaves.
//! * [`authorize`]: the authorization rules; [`power_levels`]: who may do what, for answers and decisions outside of them.
//! * [`push`]: push rules.
//! * [`room_version`]: the room versions that this server knows.

pub mod authorize;
pub mod content;
pub mod event;
pub mod power_levels;
pub mod push;
pub mod redact;
pub mod room_version;
pub mod scan;
