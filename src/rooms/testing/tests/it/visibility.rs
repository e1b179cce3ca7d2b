//! Who sees what, against a second, plain function that was written from the spec ("Room History Visibility") and shares
//! nothing with the first: over forks and merges, leaving, bans and coming back.

use std::collections::BTreeMap;

use database::{RoomNumber, UserNumber};
use proptest::prelude::*;
use rooms_store::{
    Membership, Place, Placement, RoomError, Verdict,
    state_map::{EventNumber, StateKeyNumber, StateRoot},
    tables::{
        EVENT_NUMBERS, EVENTS, MEMBER_HISTORY, MEMBERS, Member, MemberChange, StoredEvent, TIMELINE,
    },
};
use ruma::{EventId, OwnedEventId};
use serde_json::{Value, json};

use rooms_testing::TestRooms;

const READER: &str = "@reader:example.org";
const SENDER: &str = "@sender:example.org";
const MEMBERSHIPS: [&str; 5] = ["join", "leave", "invite", "ban", "knock"];
const VISIBILITIES: [&str; 5] = ["world_readable", "shared", "invited", "joined", "nonsense"];

/// What happens in one step, after which of the steps before it.
#[derive(Clone, Debug)]
struct Step {
    what: What,
    /// How far back the event that it follows is; 0 is the last.
    follows: usize,
    /// Another event that it follows, too.
    merges: Option<usize>,
    is_rejected: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Message,
    Visibility(&'static str),
    OwnMembership(&'static str),
    OthersMembership(&'static str),
}

/// The state that the rules look at, in words: (type, state key) to the word that counts, and where the event is.
type State = BTreeMap<(&'static str, &'static str), (&'static str, EventNumber)>;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        4 => Just(What::Message),
        2 => prop::sample::select(&VISIBILITIES[..]).prop_map(What::Visibility),
        4 => prop::sample::select(&MEMBERSHIPS[..]).prop_map(What::OwnMembership),
        1 => prop::sample::select(&MEMBERSHIPS[..]).prop_map(What::OthersMembership),
    ];
    let follows = prop_oneof![3 => Just(0_usize), 1 => 0..6_usize];
    let merges = prop_oneof![4 => Just(None), 1 => (0..6_usize).prop_map(Some)];
    let step = (what, follows, merges, prop::bool::weighted(0.05)).prop_map(
        |(what, follows, merges, is_rejected)| Step {
            what,
            follows,
            merges,
            is_rejected,
        },
    );
    prop::collection::vec(step, 1..30)
}

// ── The spec, in plain words ──

/// Rules 1 to 5 of "Server behaviour".
fn allowed(visibility: &str, membership: &str, joined_later: bool) -> bool {
    if visibility == "world_readable" {
        return true;
    }
    if membership == "join" {
        return true;
    }
    if visibility == "shared" && joined_later {
        return true;
    }
    membership == "invite" && visibility == "invited"
}

/// "By default if no history_visibility is set, or if the value is not understood, the visibility is assumed to be shared."
fn understood(visibility: Option<&'static str>) -> &'static str {
    match visibility {
        Some(word @ ("world_readable" | "invited" | "joined")) => word,
        _ => "shared",
    }
}

fn expected(steps: &[Step], states: &[State], at: usize) -> bool {
    if steps[at].is_rejected {
        return false;
    }
    // The room's own order: was the reader in it at any moment from this event on?
    let mut membership = "leave";
    let mut joined_later = false;
    for (number, step) in steps.iter().enumerate() {
        if let What::OwnMembership(word) = step.what
            && !step.is_rejected
        {
            membership = word;
        }
        joined_later |= number >= at && membership == "join";
    }
    let word = |kind, key| states[at].get(&(kind, key)).map(|(word, _)| *word);
    let visibility = understood(word("m.room.history_visibility", ""));
    let membership = word("m.room.member", READER).unwrap_or("leave");
    let before = allowed(visibility, membership, joined_later);
    match steps[at].what {
        What::Visibility(after) => {
            before || allowed(understood(Some(after)), membership, joined_later)
        }
        What::OwnMembership(after) => before || allowed(visibility, after, joined_later),
        What::Message | What::OthersMembership(_) => before,
    }
}

// ── The same history on disk ──

/// The state before each step, by what it follows; where two branches meet, the second wins.
fn states(steps: &[Step]) -> Vec<State> {
    let mut before: Vec<State> = Vec::new();
    let mut after: Vec<State> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let mut state = State::new();
        for back in [Some(step.follows), step.merges].into_iter().flatten() {
            if let Some(parent) = at.checked_sub(1 + back) {
                state.extend(after[parent].clone());
            }
        }
        before.push(state.clone());
        if let (Some(entry), false) = (entry(step, EventNumber(at as u64 + 1)), step.is_rejected) {
            state.insert(entry.0, entry.1);
        }
        after.push(state);
    }
    before
}

type Entry = ((&'static str, &'static str), (&'static str, EventNumber));

fn entry(step: &Step, event: EventNumber) -> Option<Entry> {
    match step.what {
        What::Message => None,
        What::Visibility(word) => Some((("m.room.history_visibility", ""), (word, event))),
        What::OwnMembership(word) => Some((("m.room.member", READER), (word, event))),
        What::OthersMembership(word) => Some((("m.room.member", SENDER), (word, event))),
    }
}

fn event_json(what: &What) -> String {
    let (kind, state_key, content): (_, Option<&str>, Value) = match what {
        What::Message => ("m.room.message", None, json!({ "body": "hello" })),
        What::Visibility(word) => (
            "m.room.history_visibility",
            Some(""),
            json!({ "history_visibility": word }),
        ),
        What::OwnMembership(word) => ("m.room.member", Some(READER), json!({ "membership": word })),
        What::OthersMembership(word) => {
            ("m.room.member", Some(SENDER), json!({ "membership": word }))
        }
    };
    let mut event = json!({
        "auth_events": [], "content": content, "depth": 1, "origin_server_ts": 1, "prev_events": [],
        "sender": SENDER, "type": kind,
    });
    if let Some(state_key) = state_key {
        event["state_key"] = state_key.into();
    }
    event.to_string()
}

fn event_id(event: EventNumber) -> OwnedEventId {
    EventId::parse(format!("$event{}:example.org", event.0)).expect("an event id")
}

struct Room {
    room: RoomNumber,
    reader: UserNumber,
    events: Vec<EventNumber>,
}

fn stored(step: &Step, event: EventNumber, sender: UserNumber, root: StateRoot) -> StoredEvent {
    StoredEvent {
        verdict: match step.is_rejected {
            true => Verdict::Rejected("test".to_owned()),
            false => Verdict::Accepted,
        },
        place: Place::Placed(Placement {
            state_before: root,
            state_after: None,
            joined_before: 1,
        }),
        event_id: event_id(event).to_string(),
        sender,
        replaces: None,
        redacted_because: None,
        thread: None,
        transaction: None,
        json: event_json(&step.what),
    }
}

async fn write(house: &TestRooms, steps: &[Step], states: &[State]) -> Room {
    let mut last = "leave";
    let mut room = Room {
        room: RoomNumber(0),
        reader: UserNumber(0),
        events: Vec::new(),
    };
    for (at, (step, state)) in steps.iter().zip(states).enumerate() {
        let event = EventNumber(at as u64 + 1);
        let own = match step.what {
            What::OwnMembership(word) if !step.is_rejected => Some(word),
            _ => None,
        };
        let is_new = own.is_some_and(|word| word != last);
        last = own.unwrap_or(last);
        let written = house
            .rooms
            .store()
            .transact::<_, RoomError, _>(|txn| async move {
                let rooms = &house.rooms;
                let room = rooms
                    .numbers()
                    .intern_room(&txn, "!room:example.org")
                    .await?;
                let reader = house.users.intern(&txn, READER).await?;
                let sender = house.users.intern(&txn, SENDER).await?;
                let mut changes: Vec<(StateKeyNumber, Option<EventNumber>)> = Vec::new();
                for ((kind, key), (_, number)) in state {
                    let key = rooms.numbers().intern_state_key(&txn, kind, key).await?;
                    changes.push((key, Some(*number)));
                }
                let root = rooms
                    .states()
                    .update(&txn, room, StateRoot::EMPTY, &changes)
                    .await?;
                let stored = stored(step, event, sender, root);
                let slot = txn.slot();
                txn.put_placed(EVENTS.at((room, event)), &stored, slot);
                txn.put(EVENT_NUMBERS.at((room, stored.event_id.as_str())), &event);
                txn.append(TIMELINE.end(room), slot, &event);
                if let Some(word) = own {
                    let membership = Membership::parse(word).expect("one of the five");
                    txn.put_placed(
                        MEMBERS.at((room, reader)),
                        &Member { membership, event },
                        slot,
                    );
                    if is_new {
                        let change = MemberChange {
                            membership,
                            event: Some(event),
                        };
                        txn.append(MEMBER_HISTORY.end((room, reader)), slot, &change);
                    }
                }
                Ok((room, reader))
            });
        let ((number, reader), _) = written.await.expect("a commit");
        room = Room {
            room: number,
            reader,
            events: room.events,
        };
        room.events.push(event);
    }
    room
}

#[test]
fn readers_see_what_the_spec_says() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let config = ProptestConfig {
        cases: 400,
        ..ProptestConfig::default()
    };
    proptest!(config, |(steps in steps())| {
        let states = states(&steps);
        let (seen, memberships) = runtime.block_on(async {
            let house = TestRooms::new().await;
            let Room { room, reader, events } = write(&house, &steps, &states).await;
            let db = house.rooms.snapshot().await.expect("a snapshot");
            let events = house.rooms.named_events(&db, room, &events).await.expect("events");
            let mut viewer = house.history.viewer(&db, room, reader).await.expect("a viewer");
            let seen = viewer.visible(&house.rooms, &db, &events).await.expect("an answer");
            let memberships = viewer.memberships(&house.rooms, &db, &events).await;
            (seen, memberships.expect("an answer"))
        });
        for at in 0..steps.len() {
            prop_assert_eq!(seen[at], expected(&steps, &states, at), "step {}: {:?}", at, steps[at]);
            let before = states[at].get(&("m.room.member", READER)).map_or("leave", |(word, _)| word);
            let after = match steps[at].what {
                What::OwnMembership(word) => word,
                _ => before,
            };
            prop_assert_eq!(memberships[at].as_str(), after);
        }
    });
}
