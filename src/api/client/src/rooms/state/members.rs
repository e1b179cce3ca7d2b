//! `GET /rooms/{roomId}/members`: client-server API, "Getting events for a room".

use edge::{ApiError, Call, RawJson, State};
use rooms_history::{History, MembersFilter};
use rooms_store::Membership;
use ruma::{
    api::client::membership::get_member_events::v3::Request, events::room::member::MembershipState,
};

use crate::rooms::{events::token, refusal::refuse};

pub(super) async fn members(
    State(rooms): State<History>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let request = &call.request;
    let filter = MembersFilter {
        at: token(request.at.as_deref())?,
        membership: request.membership.as_ref().map(membership).transpose()?,
        not_membership: request
            .not_membership
            .as_ref()
            .map(membership)
            .transpose()?,
    };
    let members = rooms
        .members_for(&request.room_id, call.caller.number, &filter)
        .await;
    let members = members.map_err(refuse)?;
    Ok(RawJson([br#"{"chunk":["#, &members[..], b"]}"].concat()))
}

fn membership(state: &MembershipState) -> Result<Membership, ApiError> {
    Membership::parse(state.as_str())
        .ok_or_else(|| ApiError::invalid_param(format_args!("unknown membership {state}")))
}
