//! What holds of every server when all events are everywhere.

use std::collections::{BTreeMap, BTreeSet};

use database::Read as _;
use protocol::{power_levels::PowerLevels, redact, room_version};
use rooms_store::{
    Event, Membership, Place, Verdict,
    tables::{GAPS, LOCAL_MEMBERS, OPEN_ROOMS, ROOM_LOG, TIMELINE},
};
use rooms_testing::graph::Net;
use ruma::{OwnedEventId, OwnedUserId};

use super::plain::{Id, Plain, State};

type Held = Vec<std::sync::Arc<Event>>;

/// Fails with this text unless it holds.
fn require(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

pub(super) async fn check(net: &Net, people: &[(usize, OwnedUserId)]) -> Result<(), String> {
    let wrong = net.wrong();
    require(wrong.is_empty(), || wrong.join(", "))?;
    let mut held = Vec::new();
    for at in 0..net.nodes.len() {
        held.push(net.holdings(at).await);
    }
    let plain = plain(net, &held);
    let all = placed_ids(&held[0]);
    for (at, held) in held.iter().enumerate() {
        // Those who joined later have filled in what was before only after a while.
        let own = placed_ids(held);
        require(own.is_subset(&all), || {
            let more: Vec<_> = own.difference(&all).collect();
            format!("server {at} has {more:?}, server 0 has not")
        })?;
        check_verdicts(&plain, at, held)?;
        check_states(net, &plain, at, held).await?;
        check_waiting(at, held)?;
        check_redactions(net, &plain, at, held)?;
        check_logs(net, at, held).await?;
        check_gaps(net, at, held).await?;
        check_members(net, at, people).await?;
    }
    Ok(())
}

fn plain(net: &Net, held: &[Held]) -> Plain {
    let mut placed = BTreeMap::new();
    let mut outliers = BTreeMap::new();
    for event in held.iter().flatten() {
        let is_placed = matches!(event.place, Place::Placed(_));
        let json = event.json().to_owned();
        match is_placed
            || held[0]
                .iter()
                .any(|own| own.id == event.id && own.is_placed())
        {
            true => placed.insert(event.id.clone(), json),
            false => outliers.insert(event.id.clone(), json),
        };
    }
    let rules = room_version::rules(&net.version).expect("a supported version");
    Plain::new(rules, &placed, &outliers)
}

fn placed_ids(held: &Held) -> BTreeSet<OwnedEventId> {
    let placed = held.iter().filter(|event| event.is_placed());
    placed.map(|event| event.id.clone()).collect()
}

/// An event is rejected where the plain rules reject it.
fn check_verdicts(plain: &Plain, at: usize, held: &Held) -> Result<(), String> {
    for event in held {
        if !matches!(event.place, Place::Placed(_)) {
            continue;
        }
        let id = plain.id(&event.id).expect("a known event");
        require(event.is_rejected() == plain.is_rejected(id), || {
            let verdict = &event.verdict;
            format!("{} at {at}: {verdict:?} and not as by the rules", event.id)
        })?;
    }
    Ok(())
}

/// The current state and the state before each event are those of the plain rules.
async fn check_states(net: &Net, plain: &Plain, at: usize, held: &Held) -> Result<(), String> {
    let ends = net.extremities(at).await;
    let expected = extremities(held);
    require(ends == expected, || {
        format!("extremities of server {at}: {ends:?} and not {expected:?}")
    })?;
    let ends: Vec<Id> = ends
        .iter()
        .map(|id| OwnedEventId::try_from(id.as_str()).expect("an id"))
        .map(|id| plain.id(&id).expect("a known event"))
        .collect();
    let state = net.state(at).await;
    let expected = named(plain, &plain.state_after(&ends));
    require(state == expected, || {
        format!("state of server {at}: {}", difference(&state, &expected))
    })?;
    for id in state.values() {
        let event = held.iter().find(|event| event.id == *id);
        require(event.is_some_and(|event| !event.is_rejected()), || {
            format!("{id} at {at} is rejected and in the state")
        })?;
    }
    for event in held {
        let Some(root) = event.state_before() else {
            continue;
        };
        let id = plain.id(&event.id).expect("a known event");
        let Some(expected) = plain.before(id) else {
            continue;
        };
        let state = net.state_of(at, root).await;
        let expected = named(plain, expected);
        require(state == expected, || {
            let difference = difference(&state, &expected);
            format!("state before {} at {at}: {difference}", event.id)
        })?;
    }
    Ok(())
}

type Named = BTreeMap<(String, String), OwnedEventId>;

fn named(plain: &Plain, state: &State) -> Named {
    let named = state
        .iter()
        .map(|(pair, id)| (pair.clone(), plain.event_id(*id).to_owned()));
    named.collect()
}

fn difference(state: &Named, expected: &Named) -> String {
    let keys: BTreeSet<_> = state.keys().chain(expected.keys()).collect();
    let keys = keys
        .into_iter()
        .filter(|key| state.get(*key) != expected.get(*key));
    let texts = keys.map(|key| {
        let (found, wanted) = (state.get(key), expected.get(key));
        format!("{key:?} is {found:?} and not {wanted:?}")
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// Accepted events that no accepted one follows, directly or through events that are not accepted.
fn extremities(held: &Held) -> BTreeSet<String> {
    let by_id: BTreeMap<_, _> = held.iter().map(|event| (event.id.clone(), event)).collect();
    let is_end = |event: &Event| event.verdict == Verdict::Accepted && event.placement().is_some();
    let mut followed = BTreeSet::new();
    let mut ahead: Vec<&Event> = held
        .iter()
        .map(|event| &**event)
        .filter(|e| is_end(e))
        .collect();
    while let Some(event) = ahead.pop() {
        let previous = event.parts().previous_events(event.json());
        for id in previous.unwrap_or_default() {
            let Some(before) = by_id.get(&id).filter(|_| followed.insert(id.clone())) else {
                continue;
            };
            if matches!(
                before.verdict,
                Verdict::SoftFailed(_) | Verdict::Rejected(_)
            ) {
                ahead.push(before);
            }
        }
    }
    let ends = held
        .iter()
        .filter(|event| is_end(event) && !followed.contains(&event.id));
    ends.map(|event| event.id.to_string()).collect()
}

/// No event waits for others that are all decided.
fn check_waiting(at: usize, held: &Held) -> Result<(), String> {
    let decided: BTreeSet<_> = held
        .iter()
        .filter(|event| event.verdict != Verdict::Unchecked)
        .map(|event| event.id.clone())
        .collect();
    for event in held {
        if event.verdict != Verdict::Unchecked {
            continue;
        }
        let auth = event.parts().auth_events(event.json()).unwrap_or_default();
        require(!auth.iter().all(|id| decided.contains(id)), || {
            format!("{} at {at} waits for nothing", event.id)
        })?;
    }
    Ok(())
}

/// An accepted event is redacted where an accepted redaction has the power to.
fn check_redactions(net: &Net, plain: &Plain, at: usize, held: &Held) -> Result<(), String> {
    let rules = room_version::rules(&net.version).expect("a supported version");
    let is_shown = |event: &&std::sync::Arc<Event>| {
        event.verdict == Verdict::Accepted && matches!(event.place, Place::Placed(_))
    };
    // What a backfilled redaction does hangs on its auth events.
    let backfilled: BTreeSet<_> = held
        .iter()
        .filter(|event| event.place == Place::Backfilled)
        .filter_map(|event| event.redacts.clone())
        .collect();
    let mut redacted = BTreeSet::new();
    for redaction in held.iter().filter(is_shown) {
        let Some(target) = &redaction.redacts else {
            continue;
        };
        let Some(target) = held.iter().find(|event| event.id == *target) else {
            continue;
        };
        let id = plain.id(&redaction.id).expect("a known event");
        let state = plain.before(id).expect("a state");
        let entry = |kind: &str| state.get(&(kind.to_owned(), String::new()));
        let create = entry("m.room.create").expect("a create event");
        let levels = entry("m.room.power_levels").map(|id| plain.event(*id));
        let levels = PowerLevels::new(rules, plain.event(*create), levels).ok();
        if redact::may_apply(rules, plain.event(id), &target.sender, levels.as_ref()) {
            redacted.insert(target.id.clone());
        }
    }
    for event in held.iter().filter(is_shown) {
        if backfilled.contains(&event.id) {
            continue;
        }
        let expected = redacted.contains(&event.id);
        require(event.redacted_because.is_some() == expected, || {
            format!("{} at {at}: redacted is not {expected}", event.id)
        })?;
        let bare = redact::redact(event.json(), &rules.redaction).expect("an event");
        require(!expected || bare == event.json(), || {
            format!("{} at {at} has its content", event.id)
        })?;
    }
    Ok(())
}

/// Each accepted event stands once in the logs, and no other does.
async fn check_logs(net: &Net, at: usize, held: &Held) -> Result<(), String> {
    let node = &net.nodes[at].rooms;
    let db = node.rooms.snapshot().await.expect("a snapshot");
    let room = node.rooms.require(&db, &net.room_id).await;
    let room = room.expect("a room");
    let log = db.page(ROOM_LOG.under(room), usize::MAX).await;
    let log = log.expect("rows");
    let last = log.last().map(|(_, entry)| entry.state);
    let head = node.rooms.head(&db, room).await.expect("a head");
    require(last == Some(head.state), || {
        format!("the log of server {at} ends with another state")
    })?;
    let mut logged: Vec<_> = log.iter().filter_map(|(_, entry)| entry.event).collect();
    logged.sort_unstable();
    let accepted = |is_in: &dyn Fn(&Place) -> bool| {
        let mut numbers: Vec<_> = held
            .iter()
            .filter(|event| event.verdict == Verdict::Accepted && is_in(&event.place))
            .map(|event| event.number)
            .collect();
        numbers.sort_unstable();
        numbers
    };
    let expected = accepted(&|place| matches!(place, Place::Placed(_)));
    require(logged == expected, || format!("the log of server {at}"))?;
    let timeline = db.page(TIMELINE.under(room), usize::MAX).await;
    let mut timeline: Vec<_> = timeline
        .expect("rows")
        .into_iter()
        .map(|row| row.1)
        .collect();
    timeline.sort_unstable();
    let expected = accepted(&|place| *place != Place::Outlier);
    require(timeline == expected, || {
        format!("the timeline of server {at}")
    })
}

/// Whatever an event of the timeline follows is in the timeline, or a gap misses it.
async fn check_gaps(net: &Net, at: usize, held: &Held) -> Result<(), String> {
    let missing: BTreeSet<OwnedEventId> = net.missing(at).await.into_iter().collect();
    let placed = placed_ids(held);
    for event in held {
        let is_shown = event.is_placed() && event.verdict == Verdict::Accepted;
        if !is_shown {
            continue;
        }
        let previous = event.parts().previous_events(event.json());
        for id in previous.unwrap_or_default() {
            require(placed.contains(&id) || missing.contains(&id), || {
                format!("{id} before {} at {at} is in no gap", event.id)
            })?;
        }
    }
    let node = &net.nodes[at].rooms;
    let db = node.rooms.snapshot().await.expect("a snapshot");
    let room = node.rooms.require(&db, &net.room_id).await.expect("a room");
    let gaps = db.page(GAPS.under(room), usize::MAX).await.expect("rows");
    for (_, gap) in gaps {
        require(!gap.missing.is_empty(), || format!("an empty gap at {at}"))?;
        for id in gap.missing {
            let id = OwnedEventId::try_from(id).expect("an id");
            require(!placed.contains(&id), || {
                format!("a gap of server {at} misses {id}, which is held")
            })?;
        }
    }
    Ok(())
}

/// What is derived from the state says the same as the state.
async fn check_members(
    net: &Net,
    at: usize,
    people: &[(usize, OwnedUserId)],
) -> Result<(), String> {
    let members = net.members(at).await;
    let server = &net.nodes[at].rooms;
    let db = server.rooms.snapshot().await.expect("a snapshot");
    let room = server.rooms.require(&db, &net.room_id).await;
    let room = room.expect("a room");
    let mut local = 0;
    for (home, user) in people {
        let row = server.membership(&net.room_id, user).await;
        let word = row.map(Membership::as_str);
        let expected = members.get(user.as_str()).map(String::as_str);
        require(word == expected, || {
            format!("{user} at {at}: {word:?} and not {expected:?}")
        })?;
        local += usize::from(*home == at && expected == Some("join"));
    }
    let head = server.rooms.head(&db, room).await.expect("a head");
    let joined = members.values().filter(|word| *word == "join").count();
    require(head.joined == joined as u64, || {
        format!("{} joined at {at} and not {joined}", head.joined)
    })?;
    let rows = db.page(LOCAL_MEMBERS.under(room), usize::MAX).await;
    let rows = rows.expect("rows").len();
    require(rows == local, || {
        format!("{rows} local members at {at} and not {local}")
    })?;
    let open = db.get(OPEN_ROOMS.at(room)).await.expect("a read");
    require(open.is_some_and(|open| open.to_join), || {
        format!("the room is not open at {at}")
    })
}
