//! `unsigned["m.relations"]`: the bundled aggregations of one event.

use database::{Millis, UserNumber};
use rooms_store::Event;
use ruma::{DeviceId, RoomId};

use super::{Unsigned, page::transaction_id, separate, write_event, write_number, write_text};
use crate::relations::{Bundle, ThreadBundle};

/// A bundle, and the form in which its events are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relations<'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) reader: UserNumber,
    pub(super) device: Option<&'a DeviceId>,
    pub(super) room_id: Option<&'a RoomId>,
}

impl Relations<'_> {
    pub(super) fn write(self, out: &mut Vec<u8>, now: Option<Millis>) {
        let Bundle {
            thread,
            replacement,
            references,
        } = self.bundle;
        out.push(b'{');
        let start = out.len();
        if let Some(thread) = thread {
            self.write_thread(out, thread, now);
        }
        if let Some(event) = replacement {
            separate(out, start);
            out.extend_from_slice(br#""m.replace":"#);
            self.write_child(out, event, None, now);
        }
        if !references.is_empty() {
            separate(out, start);
            out.extend_from_slice(br#""m.reference":{"chunk":["#);
            let start = out.len();
            for id in references {
                separate(out, start);
                out.extend_from_slice(br#"{"event_id":"#);
                write_text(out, id.as_str());
                out.push(b'}');
            }
            out.extend_from_slice(b"]}");
        }
        out.push(b'}');
    }

    fn write_thread(self, out: &mut Vec<u8>, thread: &ThreadBundle, now: Option<Millis>) {
        out.extend_from_slice(br#""m.thread":{"latest_event":"#);
        let bundle = thread.bundle_of_latest.as_deref();
        self.write_child(out, &thread.latest, bundle, now);
        out.extend_from_slice(br#","count":"#);
        write_number(out, thread.count);
        out.extend_from_slice(br#","current_user_participated":"#);
        let participated: &[u8] = if thread.participated {
            b"true}"
        } else {
            b"false}"
        };
        out.extend_from_slice(participated);
    }

    fn write_child(
        self,
        out: &mut Vec<u8>,
        event: &Event,
        bundle: Option<&Bundle>,
        now: Option<Millis>,
    ) {
        let unsigned = Unsigned {
            now,
            transaction_id: transaction_id(event, self.reader, self.device),
            relations: bundle.map(|bundle| Relations { bundle, ..self }),
            ..Unsigned::default()
        };
        write_event(out, event, self.room_id, &unsigned);
    }
}
