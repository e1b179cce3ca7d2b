//! One transaction: built, sent, and its rows deleted.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use database::{Millis, Position, Read as _, RoomNumber, Snapshot, StoreError, Txn};
use federation::{AnswerKind, FederationError, Urgency};
use rooms_store::{Event, RoomError, state_map::EventNumber};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedTransactionId, ServerName, UInt,
    api::federation::transactions::send_transaction_message::v1::Request, serde::Raw,
};
use serde_json::value::RawValue;

use crate::{
    catch_up,
    handle::Sender,
    schedule::{End, Ephemeral, MOST_QUEUED, Start},
    tables::{CATCH_UP, DELIVERY_ERRORS, DeliveryError, EDU_QUEUE, QUEUE, QueuedEvent},
    typing,
};

pub(crate) const MOST_PDUS: usize = 50;
const MOST_EDUS: usize = 100;
/// A destination that fails for so long gets marks instead of a queue.
const QUEUE_FOR: Duration = Duration::from_hours(1);
/// And after this, EDUs that must arrive are given up.
const EDUS_FOR: Duration = Duration::from_hours(14 * 24);
/// The pause after an error of our own.
const PAUSE: Duration = Duration::from_secs(5);
/// The pause after a transaction was refused; doubled with each further one.
const REFUSED: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_hours(1);
/// After so many, the queue may hold what is refused: marks take its place.
const MOST_REFUSALS: u32 = 6;
/// Bytes of an error that are kept.
const LONGEST_REASON: usize = 300;

/// What goes out.
#[derive(Default)]
struct Draft {
    pdus: Vec<Arc<Event>>,
    edus: Vec<Box<RawValue>>,
    /// Rows that the acknowledgement deletes.
    events: Vec<(Position, QueuedEvent)>,
    marks: Vec<(RoomNumber, EventNumber)>,
    sent_edus: Vec<Position>,
    ephemeral: Ephemeral,
}

/// Sends one transaction, if there is anything to send.
pub(crate) async fn run(sender: &Sender, server: &ServerName, start: Start) -> End {
    let is_urgent = start.is_urgent;
    let (failed, refusals) = (start.failed, start.refusals);
    let draft = match build(sender, server, start.ephemeral).await {
        Ok(draft) => draft,
        Err(error) => return own_failure(sender, &error),
    };
    if draft.pdus.is_empty() && draft.edus.is_empty() {
        return match acknowledge(sender, server, &draft, false).await {
            Ok(()) => End::Sent {
                events: draft.events.len() as u64,
                has_more: !draft.events.is_empty() || !draft.marks.is_empty(),
            },
            Err(error) => own_failure(sender, &error.into()),
        };
    }
    let content = draft.hash();
    let id = match failed {
        Some((hash, id)) if hash == content => id,
        _ => sender.next_id(),
    };
    match send(sender, server, &draft, &id, is_urgent).await {
        Ok(()) => match acknowledge(sender, server, &draft, true).await {
            Ok(()) => End::Sent {
                events: draft.events.len() as u64,
                has_more: true,
            },
            Err(error) => own_failure(sender, &error.into()),
        },
        Err(error) => {
            let failed = (draft.ephemeral, (content, id), refusals);
            failure(sender, server, failed, &error).await
        }
    }
}

impl Draft {
    /// Equal for equal content within this run of the server.
    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for pdu in &self.pdus {
            pdu.id.as_str().hash(&mut hasher);
        }
        for edu in &self.edus {
            edu.get().hash(&mut hasher);
        }
        hasher.finish()
    }
}

async fn build(
    sender: &Sender,
    server: &ServerName,
    ephemeral: Ephemeral,
) -> Result<Draft, RoomError> {
    let db = sender.rooms().snapshot().await?;
    let mut draft = Draft::default();
    let marks = db.page(CATCH_UP.under(server.as_str()), MOST_PDUS).await?;
    if marks.is_empty() {
        sender.0.schedule.set_catching_up(server, false);
        let rows = db.page(QUEUE.under(server.as_str()), MOST_PDUS).await?;
        for ((_, position), queued) in rows {
            let event = sender.rooms().event(&db, queued.room, queued.event).await?;
            draft.pdus.extend(event);
            draft.events.push((position, queued));
        }
    } else {
        let (pdus, marks) = catch_up::latest(sender, &db, server, marks).await?;
        draft.pdus = pdus;
        draft.marks = marks;
    }
    for ((_, position), edu) in db.page(EDU_QUEUE.under(server.as_str()), MOST_EDUS).await? {
        draft.edus.extend(RawValue::from_string(edu).ok());
        draft.sent_edus.push(position);
    }
    add_ephemeral(sender, &db, &mut draft, ephemeral).await?;
    Ok(draft)
}

/// What may be late or lost, as far as there is room.
async fn add_ephemeral(
    sender: &Sender,
    db: &Snapshot,
    draft: &mut Draft,
    mut ephemeral: Ephemeral,
) -> Result<(), RoomError> {
    let free = |draft: &Draft| MOST_EDUS.saturating_sub(draft.edus.len());
    let typing = typing::typing_edus(sender, db, &ephemeral.typing).await?;
    let room = free(draft);
    draft.edus.extend(typing.into_iter().take(room));
    let room = free(draft);
    let other = std::mem::take(&mut ephemeral.other);
    draft.edus.extend(other.into_values().take(room));
    if free(draft) > 0 && !ephemeral.receipts.is_empty() {
        let edu = typing::receipt_edu(sender, db, &ephemeral.receipts).await?;
        draft.edus.extend(edu);
    }
    draft.ephemeral = ephemeral;
    Ok(())
}

async fn send(
    sender: &Sender,
    server: &ServerName,
    draft: &Draft,
    id: &str,
    is_urgent: bool,
) -> Result<(), FederationError> {
    let needs = &sender.0.needs;
    let now = UInt::new_saturating(needs.clock.now().0);
    let mut request = Request::new(
        OwnedTransactionId::from(id),
        needs.federation.server_name().to_owned(),
        MilliSecondsSinceUnixEpoch(now),
    );
    let text = |event: &Arc<Event>| RawValue::from_string(event.json().to_owned()).ok();
    request.pdus = draft.pdus.iter().filter_map(text).collect();
    request.edus = draft.edus.iter().cloned().map(Raw::from_json).collect();
    let urgency = match is_urgent {
        true => Urgency::Now,
        false => Urgency::Background,
    };
    let answer = needs
        .federation
        .request(server, request, AnswerKind::Small, urgency);
    for (event_id, result) in answer.await?.pdus {
        if let Err(reason) = result {
            tracing::warn!(server.name = %server, event.id = %event_id, reason,
                "another server refused an event");
        }
    }
    Ok(())
}

/// Deletes what was sent. After a crash it may go out again, and is known there.
async fn acknowledge(
    sender: &Sender,
    server: &ServerName,
    draft: &Draft,
    has_arrived: bool,
) -> Result<(), StoreError> {
    let name = server.as_str();
    let acknowledged = sender.rooms().store().transact(|txn: Txn| async move {
        for (position, _) in &draft.events {
            txn.delete(QUEUE.at((name, *position)));
        }
        for position in &draft.sent_edus {
            txn.delete(EDU_QUEUE.at((name, *position)));
        }
        for (room, event) in &draft.marks {
            let row = CATCH_UP.at((name, *room));
            if txn.get(row.clone()).await? == Some(*event) {
                txn.delete(row);
            }
        }
        if has_arrived && txn.exists(DELIVERY_ERRORS.at(name)).await? {
            txn.delete(DELIVERY_ERRORS.at(name));
        }
        txn.may_wait();
        Ok::<_, StoreError>(())
    });
    acknowledged.await.map(|_| ())
}

/// An error of the database, or of a room.
fn own_failure(sender: &Sender, error: &RoomError) -> End {
    tracing::warn!(%error, "could not build a transaction for another server");
    End::Failed {
        until: sender.0.needs.clock.now().plus(PAUSE),
        ephemeral: Ephemeral::default(),
        content: None,
        is_refusal: false,
    }
}

/// Writes down why, and when to try again.
async fn failure(
    sender: &Sender,
    server: &ServerName,
    (ephemeral, content, refusals): (Ephemeral, (u64, String), u32),
    error: &FederationError,
) -> End {
    let is_refusal = is_refusal(error);
    let until = match note_failure(sender, server, refusals, error).await {
        Ok(until) => until,
        Err(error) => {
            tracing::warn!(%error, "could not write down that a server does not answer");
            sender.0.needs.clock.now().plus(PAUSE)
        }
    };
    End::Failed {
        until,
        ephemeral,
        content: Some(content),
        is_refusal,
    }
}

/// Whether the server answers, but not to this transaction.
fn is_refusal(error: &FederationError) -> bool {
    matches!(
        error,
        FederationError::Refused { .. }
            | FederationError::Malformed { .. }
            | FederationError::Request(_)
    )
}

async fn note_failure(
    sender: &Sender,
    server: &ServerName,
    refusals: u32,
    error: &FederationError,
) -> Result<Millis, StoreError> {
    let needs = &sender.0.needs;
    let now = needs.clock.now();
    let backoff = needs.federation.backoff();
    match error {
        FederationError::Busy => return Ok(now.plus(PAUSE)),
        FederationError::NotAllowed(_) => {
            catch_up::give_up(sender, server).await?;
            return Ok(now.plus(EDUS_FOR));
        }
        _ => {}
    }
    if !matches!(error, FederationError::BackingOff { .. }) {
        let mut reason = error.to_string();
        reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
        tracing::info!(server.name = %server, reason, "could not send to another server");
        let row = DeliveryError { at: now.0, reason };
        let row = &row;
        let noted = sender.rooms().store().transact(|txn: Txn| async move {
            txn.put(DELIVERY_ERRORS.at(server.as_str()), row);
            txn.may_wait();
            Ok::<_, StoreError>(())
        });
        noted.await?;
    }
    let state = backoff.state(server).await?;
    let failing_for = state.map_or(Duration::ZERO, |state| now.since(Millis(state.since)));
    let is_hopeless = is_refusal(error) && refusals >= MOST_REFUSALS;
    if failing_for >= QUEUE_FOR
        || is_hopeless
        || sender.0.schedule.queue_length(server) > MOST_QUEUED
    {
        catch_up::mark(sender, server).await?;
    }
    if failing_for >= EDUS_FOR {
        catch_up::drop_edus(sender, server).await?;
    }
    let retry_at = backoff.retry_at(server).await?;
    let delay = match is_refusal(error) {
        true => REFUSED.saturating_mul(1 << refusals.min(16)).min(LONGEST),
        false => PAUSE,
    };
    Ok(retry_at.unwrap_or_else(|| now.plus(delay)))
}
