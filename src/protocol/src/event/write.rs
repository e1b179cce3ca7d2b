//! A draft as canonical JSON text.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ruma::OwnedEventId;

use super::{Draft, Signer};
use crate::canonical::push_string;

impl Draft {
    /// Canonical JSON: the members are in the order of their names.
    pub(super) fn write(&self, out: &mut String, form: &Form<'_>) {
        use std::fmt::Write as _;
        out.push_str("{\"auth_events\":");
        let old = self.old_format.as_deref();
        let hashes = old.map(|old| old.auth_hashes.as_slice());
        push_references(out, &self.auth_events, hashes);
        out.push_str(",\"content\":");
        out.push_str(form.content);
        write!(out, ",\"depth\":{}", self.depth.0).expect("writing to a string does not fail");
        if let Some(old) = old {
            out.push_str(",\"event_id\":");
            push_string(out, old.event_id.as_str());
        }
        if let Some(hash) = form.hash {
            out.push_str(",\"hashes\":{\"sha256\":\"");
            out.push_str(hash);
            out.push_str("\"}");
        }
        write!(out, ",\"origin_server_ts\":{}", self.origin_server_ts.0)
            .expect("writing to a string does not fail");
        out.push_str(",\"prev_events\":");
        let hashes = old.map(|old| old.prev_hashes.as_slice());
        push_references(out, &self.prev_events, hashes);
        if let Some(redacts) = &self.redacts
            && !form.is_redacted
            && !self.rules.redaction.content_field_redacts
        {
            out.push_str(",\"redacts\":");
            push_string(out, redacts.as_str());
        }
        if let Some(room_id) = &self.room_id {
            out.push_str(",\"room_id\":");
            push_string(out, room_id.as_str());
        }
        out.push_str(",\"sender\":");
        push_string(out, self.sender.as_str());
        if let Some(signature) = form.signature {
            out.push_str(",\"signatures\":");
            out.push_str(signature);
        }
        if let Some(state_key) = &self.state_key {
            out.push_str(",\"state_key\":");
            push_string(out, state_key);
        }
        out.push_str(",\"type\":");
        push_string(out, form.kind);
        out.push('}');
    }
}

/// Which of an event's forms is written.
pub(super) struct Form<'a> {
    pub(super) kind: &'a str,
    pub(super) content: &'a str,
    pub(super) hash: Option<&'a str>,
    pub(super) signature: Option<&'a str>,
    pub(super) is_redacted: bool,
}

pub(super) fn signature_member(signer: &impl Signer, signature: &str) -> String {
    let mut out = String::with_capacity(160);
    out.push('{');
    push_string(&mut out, signer.server_name().as_str());
    out.push_str(":{");
    push_string(&mut out, signer.key_id());
    out.push_str(":\"");
    out.push_str(signature);
    out.push_str("\"}}");
    out
}

/// Ids, with their reference hashes in room versions 1 and 2.
fn push_references(out: &mut String, ids: &[OwnedEventId], hashes: Option<&[[u8; 32]]>) {
    out.push('[');
    for (index, id) in ids.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match hashes.and_then(|hashes| hashes.get(index)) {
            Some(hash) => {
                out.push('[');
                push_string(out, id.as_str());
                out.push_str(",{\"sha256\":\"");
                STANDARD_NO_PAD.encode_string(hash, out);
                out.push_str("\"}]");
            }
            None => push_string(out, id.as_str()),
        }
    }
    out.push(']');
}
