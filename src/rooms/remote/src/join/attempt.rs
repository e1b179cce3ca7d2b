//! Joining by way of one server: `make_join`, `send_join`, and the room's events into the room's writer.

use federation::{AnswerKind, FederationError, Urgency};
use protocol::{event::SignedPdu, receive::Pdu, room_version};
use rooms_store::RoomError;
use rooms_writer::{Arrival, Outcome, OutsideChange, ReceivedPdu};
use ruma::{
    RoomVersionId, ServerName,
    api::{
        error::ErrorCode,
        federation::membership::{create_join_event, prepare_join_event},
    },
    room_version_rules::RoomVersionRules,
};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    Job,
    answer::{Described, Source, unusable},
    template::Template,
};
use crate::{check::Checked, handle::RemoteRooms};

/// Events that are given to the room's writer at once.
const CHUNK: usize = 256;

impl RemoteRooms {
    pub(super) async fn join_by(&self, server: &ServerName, job: &Job) -> Result<(), RoomError> {
        let (version, template) = self.make_join(server, job).await?;
        let rules = room_version::rules(&version)
            .ok_or_else(|| RoomError::UnsupportedVersion(version.to_string()))?;
        let authorised_via = template.authorizer(server, rules).map_err(unusable)?;
        let is_authorised = authorised_via.is_some();
        let place = template.place(&job.room_id, rules).map_err(unusable)?;
        let change = OutsideChange::Join { authorised_via };
        let content = job.content.clone();
        let signing = self
            .writer()
            .sign_outside(&job.user, &change, content, place);
        let signed = signing.await?;
        let answer = self.send_join(server, job, &signed).await?;
        let json = match answer.event {
            Some(event) if is_authorised => event.get().to_owned(),
            Some(_) | None => signed.json.clone(),
        };
        let join = self.own_join(rules, &signed, json).await?;
        let source = Source {
            room_id: &job.room_id,
            rules,
            version: version.as_str(),
            server,
        };
        let described = self.described(source, answer.state, answer.auth_chain);
        let described = described.await?;
        self.writer().begin_join(&job.room_id, &version).await?;
        self.enter(job, described, join).await
    }

    async fn make_join(
        &self,
        server: &ServerName,
        job: &Job,
    ) -> Result<(RoomVersionId, Template), RoomError> {
        let (room, user) = (job.room_id.clone(), job.user.clone());
        let mut request = prepare_join_event::v1::Request::new(room, user);
        request.ver = room_version::SUPPORTED.to_vec();
        let (usual, now) = (AnswerKind::Usual, Urgency::Now);
        let answer = self.federation().request(server, request, usual, now).await;
        let answer = answer.map_err(refusal)?;
        let template = Template::read(answer.event.get(), &job.room_id, &job.user, "join");
        let version = answer.room_version.unwrap_or(RoomVersionId::V1);
        Ok((version, template.map_err(unusable)?))
    }

    async fn send_join(
        &self,
        server: &ServerName,
        job: &Job,
        signed: &SignedPdu,
    ) -> Result<create_join_event::v2::RoomState, RoomError> {
        let pdu = raw(&signed.json)?;
        let (room, event) = (job.room_id.clone(), signed.event_id.clone());
        let request = create_join_event::v2::Request::new(room, event, pdu);
        let (state, now) = (AnswerKind::State, Urgency::Now);
        let answer = self.federation().request(server, request, state, now).await;
        let answer = answer.map_err(refusal)?.room_state;
        match answer.members_omitted {
            true => Err(unusable("it lacks members that were not to be omitted")),
            false => Ok(answer),
        }
    }

    /// The join as it is stored: what was signed here, where the other server may have added its signature.
    async fn own_join(
        &self,
        rules: &'static RoomVersionRules,
        signed: &SignedPdu,
        json: String,
    ) -> Result<Pdu, RoomError> {
        let checked = self.check(rules, [json]).await?.pop();
        match checked {
            Some(Checked::Valid(pdu))
                if pdu.event_id() == signed.event_id
                    && pdu.room_id() == signed.room_id
                    && !pdu.is_redacted() =>
            {
                Ok(pdu)
            }
            _ => Err(unusable("its copy of the join is not what was sent")),
        }
    }

    /// Stores the room, and at last the join.
    async fn enter(&self, job: &Job, described: Described, join: Pdu) -> Result<(), RoomError> {
        let Described { events, state } = described;
        let mut events = events.into_iter().peekable();
        while events.peek().is_some() {
            let chunk = events.by_ref().take(CHUNK);
            let chunk = chunk.map(|pdu| (ReceivedPdu::of(pdu), Arrival::Outlier));
            let received = self.writer().receive(&job.room_id, chunk.collect()).await?;
            for outcome in received {
                outcome?;
            }
        }
        let join = vec![(ReceivedPdu::of(join), Arrival::Join { state })];
        let outcome = self.writer().receive(&job.room_id, join).await?.pop();
        match outcome {
            Some(Ok(Outcome::Accepted | Outcome::Known)) => {}
            Some(Ok(Outcome::Rejected(reason) | Outcome::SoftFailed(reason))) => {
                return Err(unusable(&reason));
            }
            Some(Ok(_)) | None => return Err(unusable("the join's auth events are missing")),
            Some(Err(RoomError::UnknownEvent)) => {
                return Err(unusable("its state is not complete"));
            }
            Some(Err(error)) => return Err(error),
        }
        if self.is_joined(&job.room_id, &job.user).await? {
            return Ok(());
        }
        // Somebody else of this server joined in the meantime, and the resolution left this join out.
        let request = job.request();
        self.writer().change_membership(&job.room_id, request).await
    }
}

fn raw(json: &str) -> Result<Box<RawValue>, RoomError> {
    let parsed: &RawValue = serde_json::from_str(json).map_err(|_| RoomError::Damaged)?;
    to_raw_value(parsed).map_err(|_| RoomError::Damaged)
}

/// The error of another server as one of this server. Its text is not passed on, except the room version that it names.
pub(crate) fn refusal(error: FederationError) -> RoomError {
    match error {
        FederationError::Refused { server, error } => match &error.errcode {
            Some(ErrorCode::IncompatibleRoomVersion) => {
                let version = error.body.get("room_version");
                let version = version.and_then(serde_json::Value::as_str).unwrap_or("?");
                let version = version.chars().take(32).collect();
                RoomError::UnsupportedVersion(version)
            }
            Some(ErrorCode::NotFound) => RoomError::UnknownRoom,
            _ if error.status == http::StatusCode::FORBIDDEN => {
                RoomError::Forbidden(format!("{server} does not allow it"))
            }
            _ => RoomError::NoServer(format!("{server} refused the request")),
        },
        FederationError::Store(error) => RoomError::Store(error),
        FederationError::Busy => RoomError::Busy,
        FederationError::NotAllowed(_)
        | FederationError::BackingOff { .. }
        | FederationError::Unreachable { .. }
        | FederationError::Request(_) => RoomError::NoServer(error.to_string()),
        FederationError::Malformed { server, .. } => {
            RoomError::NoServer(format!("{server} gave an answer that cannot be used"))
        }
    }
}
