//! Stretches of a room's log in which nothing notifies most readers: joins, reactions, edits. Who counts far passes over them
//! in one step, so that the first count of a large room that somebody never read costs little.
//!
//! A stretch goes from one boundary to the next; boundaries are events that chance chose, so that all readers share the
//! stretches wherever they begin. A redaction makes events mean less, never more: what is known of a stretch stays true.

use std::sync::Arc;

use database::{Position, RoomNumber};
use protocol::push::Stir;
use rooms_store::{Event, state_map::EventNumber};

use crate::{meaning::Meaning, push::Parts};

/// What a stretch may mean to anybody. Kept by the boundary that it begins behind.
#[derive(Debug)]
pub(crate) struct Stretch {
    /// The boundary at its end, which is part of it.
    pub(crate) end: Position,
    pub(crate) events: usize,
    pub(crate) stir: Stir,
    /// Redactions are never passed over: what they empty may have been counted.
    pub(crate) has_redactions: bool,
}

/// A stretch that somebody is walking through.
pub(crate) struct Walked {
    begin: Position,
    stretch: Stretch,
}

/// One event in 256 is a boundary.
pub(crate) fn is_boundary(event: EventNumber) -> bool {
    event.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56 == 0
}

impl Stretch {
    pub(crate) fn weight(&self) -> u64 {
        (size_of::<Self>() + self.stir.weight()) as u64
    }
}

impl Walked {
    pub(crate) fn from(begin: Position) -> Self {
        let stretch = Stretch {
            end: begin,
            events: 0,
            stir: Stir::default(),
            has_redactions: false,
        };
        Self { begin, stretch }
    }

    pub(crate) fn add(&mut self, event: &Event, meaning: &Meaning) {
        self.stretch.end = event.position;
        self.stretch.events += 1;
        self.stretch.stir.add(&meaning.marks);
        self.stretch.has_redactions |= event.redacts.is_some();
    }
}

impl Parts {
    pub(crate) fn stretch(&self, room: RoomNumber, begin: Position) -> Option<Arc<Stretch>> {
        self.stretches.get(&(room, begin))
    }

    /// Keeps a stretch that was walked to its end.
    pub(crate) fn keep_stretch(&self, room: RoomNumber, walked: Walked) {
        self.stretches
            .insert((room, walked.begin), Arc::new(walked.stretch));
    }
}
