//! Following the server's log: each new event of a local user enters the queues of the servers in
//! its room, and public receipts of local users are noted.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use database::{
    Position, Read as _, RoomNumber, Snapshot, Stamp, StoreError, Txn, follow::Follower,
    server_log::Concern,
};
use rooms_store::{
    Event, Membership, RoomError, RoomStore, Verdict,
    state_map::EventNumber,
    tables::{GAPS, RECEIPT_LOG, ROOM_LOG},
};
use ruma::{OwnedServerName, UserId};
use tokio::time::timeout;

use crate::{
    handle::Sender,
    schedule::ReceiptKey,
    tables::{CATCH_UP, QUEUE, QueuedEvent},
};

/// Entries of the log that are read at once.
const ENTRIES: usize = 256;
/// Rows of one commit, about.
const ROWS: usize = 10_000;
/// Servers of a room that are read at once.
const SERVERS: usize = 1_000;
/// How long a cursor that moved without effects may be behind on disk.
const IDLE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(5);
/// The kind of receipts that are shown to others.
const PUBLIC: &str = "m.read";

/// What one commit adds to the queues.
#[derive(Default)]
struct Effects {
    events: Vec<(QueuedEvent, Arc<Vec<OwnedServerName>>)>,
    receipts: Vec<(ReceiptKey, Arc<Vec<OwnedServerName>>)>,
    rows: usize,
}

pub(crate) async fn run(sender: Sender, mut follower: Follower) {
    let stop = sender.0.needs.stop.clone();
    let mut is_saved = true;
    loop {
        let next = timeout(IDLE, follower.next(ENTRIES));
        let Some(next) = stop.run_until_cancelled(next).await else {
            return;
        };
        let followed = match next {
            Ok(Ok(entries)) => follow(&sender, &mut follower, entries, &mut is_saved).await,
            Ok(Err(error)) => Err(error.into()),
            Err(_) if is_saved => Ok(()),
            Err(_) => {
                is_saved = true;
                let cursor = follower.cursor();
                follower.skip_to(cursor).await.map_err(RoomError::from)
            }
        };
        if let Err(error) = followed {
            tracing::warn!(%error, "could not queue events for other servers, will retry");
            if stop
                .run_until_cancelled(tokio::time::sleep(PAUSE))
                .await
                .is_none()
            {
                return;
            }
        }
    }
}

async fn follow(
    sender: &Sender,
    follower: &mut Follower,
    entries: Vec<(Position, Concern)>,
    is_saved: &mut bool,
) -> Result<(), RoomError> {
    let db = sender.rooms().snapshot().await?;
    let mut known = HashMap::new();
    let mut effects = Effects::default();
    let last = entries.len().saturating_sub(1);
    for (at, (position, concern)) in entries.iter().enumerate() {
        if let Concern::Room(room) = concern {
            collect(sender, &db, *room, position.0, &mut known, &mut effects).await?;
        }
        if at == last || effects.rows >= ROWS {
            commit(
                sender,
                follower,
                std::mem::take(&mut effects),
                *position,
                is_saved,
            )
            .await?;
        }
    }
    Ok(())
}

/// What happened in a room in one commit.
async fn collect(
    sender: &Sender,
    db: &Snapshot,
    room: RoomNumber,
    stamp: Stamp,
    known: &mut HashMap<RoomNumber, Arc<Vec<OwnedServerName>>>,
    effects: &mut Effects,
) -> Result<(), RoomError> {
    let rooms = sender.rooms();
    let (from, to) = (Position::first_of(stamp), Position::last_of(stamp));
    let rows = ROOM_LOG.under(room).from((room, from)).through((room, to));
    let log = db.page(rows, usize::MAX).await?;
    let numbers: Vec<EventNumber> = log.iter().filter_map(|(_, entry)| entry.event).collect();
    let events = rooms.named_events(db, room, &numbers).await?;
    let own = events.into_iter().filter(|event| {
        event.sender.server_name() == rooms.server_name() && event.verdict == Verdict::Accepted
    });
    let mut own: Vec<Arc<Event>> = own.collect();
    for at in (0..own.len()).rev() {
        // A join over federation comes behind a gap. The server that accepted it sends it to the
        // others.
        if db.exists(GAPS.at((room, own[at].position))).await? {
            own.remove(at);
        }
    }
    let rows = RECEIPT_LOG
        .under(room)
        .from((room, from))
        .through((room, to));
    let receipts = db.page(rows, usize::MAX).await?;
    if own.is_empty() && receipts.is_empty() {
        return Ok(());
    }
    let servers = if let Some(servers) = known.get(&room) {
        servers.clone()
    } else {
        let servers = Arc::new(servers(rooms, db, room).await?);
        known.insert(room, servers.clone());
        servers
    };
    for event in own {
        let destinations = with_target(&event, &servers, rooms);
        effects.rows += destinations.len();
        let queued = QueuedEvent {
            room,
            event: event.number,
        };
        effects.events.push((queued, destinations));
    }
    for (_, key) in receipts {
        let user = rooms.users().user_id(db, key.user).await?;
        let is_own = user.is_some_and(|user| user.server_name() == rooms.server_name());
        if key.kind == PUBLIC && is_own {
            let key = ReceiptKey {
                room,
                user: key.user,
                thread: key.thread,
            };
            effects.receipts.push((key, servers.clone()));
        }
    }
    Ok(())
}

/// The servers of the room; for a leave, kick, ban or invite also the server of its target, which
/// may not be among them.
fn with_target(
    event: &Event,
    servers: &Arc<Vec<OwnedServerName>>,
    rooms: &RoomStore,
) -> Arc<Vec<OwnedServerName>> {
    let is_for_target = matches!(
        event.membership,
        Some(Membership::Leave | Membership::Ban | Membership::Invite)
    );
    let target = event.state_key.as_deref().filter(|_| is_for_target);
    let target = target.and_then(|target| <&UserId>::try_from(target).ok());
    let Some(target) = target.map(UserId::server_name) else {
        return servers.clone();
    };
    if target == rooms.server_name() || servers.iter().any(|server| server == target) {
        return servers.clone();
    }
    let mut more = servers.to_vec();
    more.push(target.to_owned());
    Arc::new(more)
}

/// The other servers in a room.
pub(crate) async fn servers(
    rooms: &RoomStore,
    db: &Snapshot,
    room: RoomNumber,
) -> Result<Vec<OwnedServerName>, StoreError> {
    let mut servers: Vec<OwnedServerName> = Vec::new();
    let mut after: Option<OwnedServerName> = None;
    loop {
        let page = rooms
            .servers_in_room(db, room, after.as_deref(), SERVERS)
            .await?;
        let is_last = page.len() < SERVERS;
        after = page.last().cloned();
        servers.extend(
            page.into_iter()
                .filter(|server| server != rooms.server_name()),
        );
        if is_last || after.is_none() {
            return Ok(servers);
        }
    }
}

/// Writes the rows with the cursor, then lets the schedule know.
async fn commit(
    sender: &Sender,
    follower: &mut Follower,
    mut effects: Effects,
    to: Position,
    is_saved: &mut bool,
) -> Result<(), StoreError> {
    let policy = sender.0.needs.federation.policy();
    for (_, servers) in &mut effects.events {
        if servers.iter().any(|server| !policy.permits(server)) {
            let permitted = servers.iter().filter(|server| policy.permits(server));
            *servers = Arc::new(permitted.cloned().collect());
        }
    }
    let all = effects
        .events
        .iter()
        .flat_map(|(_, servers)| servers.iter());
    let behind: HashSet<OwnedServerName> = sender.0.schedule.catching_up(all);
    if effects.events.iter().all(|(_, servers)| servers.is_empty()) {
        follower.reached(to);
        *is_saved = false;
    } else {
        let (rows, behind, own) = (&effects.events, &behind, &*follower);
        let written = sender.rooms().store().transact(|txn: Txn| async move {
            for (event, servers) in rows {
                for server in servers.iter() {
                    if behind.contains(server) {
                        txn.put(CATCH_UP.at((server.as_str(), event.room)), &event.event);
                    } else {
                        txn.append(QUEUE.end(server.as_str()), txn.slot(), event);
                    }
                }
            }
            own.advance(&txn, to);
            Ok::<_, StoreError>(())
        });
        written.await?;
        follower.reached(to);
        *is_saved = true;
    }
    for (_, servers) in &effects.events {
        for server in servers.iter() {
            sender.0.schedule.queued(server, 1);
        }
    }
    for (key, servers) in effects.receipts {
        sender
            .0
            .schedule
            .receipt(&key, &servers, sender.0.needs.clock.now());
    }
    Ok(())
}
