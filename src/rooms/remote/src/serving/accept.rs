//! Accepting the membership events that users of other servers were given templates for.

use std::{collections::HashSet, sync::Arc};

use database::Snapshot;
use protocol::{
    receive::{AuthorizedJoin, Pdu},
    scan,
};
use rooms_store::{Event, RoomError, Verdict, member_key};
use rooms_writer::{Arrival, Outcome, ReceivedPdu};
use ruma::{EventId, RoomId, ServerName, events::TimelineEventType};

use super::{
    access::ServedRoom,
    handshake::{Handshake, HandshakeError, ResidentRoom},
    state::ServedState,
};
use crate::{
    check::{Checked, KeySource, sent_at, usable_key},
    handle::RemoteRooms,
};

/// What a server gets that joins.
#[derive(Clone, Debug)]
pub struct JoinedState {
    /// The state before the join, and its auth chain with that of the join.
    pub served: ServedState,
    pub are_members_omitted: bool,
    /// All servers in the room before the join, where members are omitted.
    pub servers: Option<Vec<String>>,
}

/// Servers read at once.
const STEP: usize = 512;

impl RemoteRooms {
    /// Takes an event into the room. The same event again gives the same answer.
    pub async fn accept(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
        text: &str,
        handshake: Handshake,
    ) -> Result<Arc<Event>, HandshakeError> {
        let db = self.rooms().snapshot().await?;
        let room = self.resident_room(&db, room_id, server).await?;
        let read = self.read(room.rules, [text]).await.pop();
        let pdu = match read {
            Some(Ok(pdu)) => pdu,
            Some(Err(error)) => return Err(HandshakeError::InvalidEvent(error.to_string())),
            None => return Err(RoomError::Damaged.into()),
        };
        check_form(&pdu, server, room_id, event_id, handshake)?;
        let is_ours_to_sign = handshake == Handshake::Join
            && room.rules.signatures.check_join_authorised_via_users_server
            && AuthorizedJoin::names(&pdu, self.rooms().server_name());
        let pdu = match is_ours_to_sign {
            true => self.authorize_join(&db, &room, pdu).await?,
            false => self.verified(pdu).await?,
        };
        let room = room.room;
        drop(db);
        let received = ReceivedPdu::new(pdu.event_id().to_owned(), pdu.into_json());
        let received = received.map_err(|error| HandshakeError::InvalidEvent(error.to_string()))?;
        let outcomes = self
            .writer()
            .receive(room_id, vec![(received, Arrival::Live)]);
        let outcome = outcomes.await?.pop().ok_or(RoomError::Damaged)??;
        let forbidden = |reason: String| Err(RoomError::Forbidden(reason).into());
        match outcome {
            Outcome::Accepted | Outcome::Known => {}
            Outcome::SoftFailed(reason) | Outcome::Rejected(reason) => return forbidden(reason),
            Outcome::Unchecked(_) | Outcome::MissingPrevious(_) => {
                return forbidden("the event does not follow the template".to_owned());
            }
        }
        let db = self.rooms().snapshot().await?;
        let event = self.rooms().event_by_id(&db, room, event_id).await?;
        let event = event.ok_or(RoomError::UnknownEvent)?;
        match &event.verdict {
            Verdict::Accepted => Ok(event.clone()),
            Verdict::SoftFailed(reason) | Verdict::Rejected(reason) => forbidden(reason.clone()),
            Verdict::Unchecked => forbidden("the event cannot be checked".to_owned()),
        }
    }

    /// An event that all have signed who must.
    async fn verified(&self, pdu: Pdu) -> Result<Pdu, HandshakeError> {
        let checked = self.verify(vec![pdu], KeySource::Fetched).await?.pop();
        let reason = match checked {
            Some(Checked::Valid(pdu)) if !pdu.is_redacted() => return Ok(pdu),
            Some(Checked::Valid(_)) | None => "the content hash is wrong".to_owned(),
            Some(Checked::Bad(bad)) => bad.reason,
            Some(Checked::KeysMissing(..)) => "the keys of the event cannot be had".to_owned(),
        };
        Err(HandshakeError::InvalidEvent(reason))
    }

    /// Signs a join to a restricted room. The conditions are checked again: the template was only a proposal.
    async fn authorize_join(
        &self,
        db: &Snapshot,
        room: &ResidentRoom,
        pdu: Pdu,
    ) -> Result<Pdu, HandshakeError> {
        let keys = self
            .keys_for(std::slice::from_ref(&pdu), KeySource::Fetched)
            .await?;
        let invalid = |error: protocol::receive::ForeignError| {
            HandshakeError::InvalidEvent(error.to_string())
        };
        let own = self.rooms().server_name();
        let (at, rules) = (sent_at(&pdu), room.rules);
        let find = |server: &ServerName, id: &str| usable_key(&keys, at, rules, server, id);
        let join = AuthorizedJoin::check(pdu, own, find).map_err(invalid)?;
        let user = join.pdu().sender().to_owned();
        if self.authorizing_user(db, room, &user).await?.is_none() {
            let reason = "the join needs nobody who authorizes it";
            return Err(HandshakeError::InvalidEvent(reason.to_owned()));
        }
        let key = self.federation().keys().current();
        join.sign(&*key).map_err(invalid)
    }

    /// The room as a server gets it whose user has just joined.
    pub async fn joined_state(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        join: &Event,
        omit_members: bool,
    ) -> Result<JoinedState, RoomError> {
        let db = self.rooms().snapshot().await?;
        let room = self.served_room(&db, room_id, server).await?;
        let root = join.state_before().ok_or(RoomError::Damaged)?;
        let mut state = self.history().state_events(&db, room.room, root).await?;
        if omit_members {
            let heroes = self.heroes(&db, &room, join, &state).await?;
            state.retain(|event| &*event.kind != "m.room.member");
            state.extend(heroes);
        }
        let join = self
            .rooms()
            .named_event(&db, room.room, join.number)
            .await?;
        let mut of = state.clone();
        of.push(join);
        let mut auth_chain = self.chain_events(&db, &room, &of).await?;
        if omit_members {
            let told: HashSet<_> = state.iter().map(|event| event.number).collect();
            auth_chain.retain(|event| !told.contains(&event.number));
        }
        let served = ServedState { state, auth_chain };
        served.check_size()?;
        let servers = match omit_members {
            true => Some(self.all_servers(&db, &room).await?),
            false => None,
        };
        Ok(JoinedState {
            served,
            are_members_omitted: omit_members,
            servers,
        })
    }

    /// The members after whom a room without a name is called.
    async fn heroes(
        &self,
        db: &Snapshot,
        room: &ServedRoom,
        join: &Event,
        state: &[Arc<Event>],
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let is_named = state.iter().any(|event| {
            event.state_key.as_deref() == Some("")
                && matches!(&*event.kind, "m.room.name" | "m.room.canonical_alias")
        });
        if is_named {
            return Ok(Vec::new());
        }
        let root = join.state_before().ok_or(RoomError::Damaged)?;
        let users = self
            .history()
            .heroes(db, room.room, join.sender_number)
            .await?;
        let mut members = Vec::with_capacity(users.len());
        for user in users {
            let states = self.rooms().states();
            if let Some(number) = states.get(db, room.room, root, member_key(user)).await? {
                members.push(self.rooms().named_event(db, room.room, number).await?);
            }
        }
        Ok(members)
    }

    async fn all_servers(
        &self,
        db: &Snapshot,
        room: &ServedRoom,
    ) -> Result<Vec<String>, RoomError> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let step = self
                .rooms()
                .servers_in_room(db, room.room, after.as_deref(), STEP);
            let step = step.await?;
            all.extend(step.iter().map(ToString::to_string));
            match step.last() {
                Some(last) if step.len() == STEP => after = Some(last.clone()),
                _ => return Ok(all),
            }
        }
    }

    /// What a server learns of a room on whose door its user knocks: PDUs.
    pub async fn knock_state(&self, event: &Event) -> Result<Vec<Arc<Event>>, RoomError> {
        let db = self.rooms().snapshot().await?;
        let root = event.state_before().ok_or(RoomError::Damaged)?;
        self.history().outside_state(&db, event.room, root).await
    }
}

/// The event is the one that was asked for, and the other server may send it.
fn check_form(
    pdu: &Pdu,
    server: &ServerName,
    room_id: &RoomId,
    event_id: &EventId,
    handshake: Handshake,
) -> Result<(), HandshakeError> {
    let content = pdu.auth_event().content();
    let membership = scan::string_member(content, "membership");
    let wrong = if pdu.event_id() != event_id {
        Some("the event has another id")
    } else if pdu.room_id() != room_id {
        Some("the event is of another room")
    } else if *pdu.kind() != TimelineEventType::RoomMember
        || membership.as_deref() != Some(handshake.word())
    {
        Some("the event is of another kind")
    } else if pdu.sender().server_name() != server {
        Some("the sender is not of your server")
    } else if pdu.state_key() != Some(pdu.sender().as_str()) {
        Some("the event is about another user than its sender")
    } else {
        None
    };
    match wrong {
        Some(reason) => Err(HandshakeError::InvalidEvent(reason.to_owned())),
        None => Ok(()),
    }
}
