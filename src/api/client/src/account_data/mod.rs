//! Account data: client-server API, "Client Config", and "Room Tagging", which is account data of a room. Deleting it is
//! MSC3391, under its unstable path; to set an empty object is to delete.

mod delete;
mod delete_room;
mod get;
mod get_room;
mod set;
mod set_room;
mod tags;

use database::{Read, RoomNumber, UserNumber};
use edge::{ApiError, Routes, User};
use http::StatusCode;
use rooms_store::RoomStore;
use ruma::{RoomId, UserId};
use users::AccountDataError;

use crate::ClientApi;

/// A type's longest name, as that of an event.
const KIND_BYTES: usize = 255;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    let routes = routes
        .add(get::get)
        .add(set::set)
        .add(get_room::get_room)
        .add(set_room::set_room)
        .add(delete::delete)
        .add(delete_room::delete_room);
    routes
        .add(tags::list_tags)
        .add(tags::set_tag)
        .add(tags::delete_tag)
}

fn require_own(caller: &User, user_id: &UserId) -> Result<(), ApiError> {
    if caller.user_id == user_id {
        return Ok(());
    }
    Err(ApiError::forbidden(
        "This account data belongs to another user",
    ))
}

/// A room that the user has, or had, a membership in. Any other fails as one that does not exist,
/// so that account data does not reveal which rooms do.
async fn require_room(
    rooms: &RoomStore,
    db: &impl Read,
    user: UserNumber,
    room_id: &RoomId,
) -> Result<RoomNumber, ApiError> {
    if let Some(room) = rooms.number(db, room_id).await?
        && rooms.member(db, room, user).await?.is_some()
    {
        return Ok(room);
    }
    Err(ApiError::not_found("You are not a member of that room"))
}

/// What a client may write: a JSON object, under a type that is not the server's own affair.
fn check(kind: &str, content: &str) -> Result<(), ApiError> {
    check_kind(kind)?;
    if !content.trim_start().starts_with('{') {
        return Err(ApiError::bad_json("Account data must be a JSON object"));
    }
    Ok(())
}

fn check_kind(kind: &str) -> Result<(), ApiError> {
    if matches!(kind, "m.fully_read" | "m.push_rules") {
        let message = format!("Cannot set {kind} through this API");
        return Err(ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "M_BAD_JSON",
            message,
        ));
    }
    if kind.len() > KIND_BYTES {
        return Err(ApiError::invalid_param("This type is too long"));
    }
    Ok(())
}

fn refuse(error: AccountDataError) -> ApiError {
    match error {
        AccountDataError::TooLarge => ApiError::too_large(error),
        AccountDataError::Full(_) => ApiError::user_limit_exceeded(error),
        AccountDataError::Store(error) => error.into(),
    }
}

fn not_set() -> ApiError {
    ApiError::not_found("There is no such account data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_keeps_itself_cannot_be_set() {
        for kind in ["m.fully_read", "m.push_rules"] {
            let error = check(kind, "{}").expect_err("refused");
            assert_eq!(error.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(error.errcode(), "M_BAD_JSON");
        }
        assert!(check("m.direct", "{}").is_ok());
    }

    #[test]
    fn only_objects_are_account_data() {
        for content in ["[]", "5", "\"text\"", "null"] {
            assert_eq!(
                check("a", content).expect_err("refused").errcode(),
                "M_BAD_JSON"
            );
        }
    }
}
