//! Which rooms anybody may join or read: kept in `OPEN_ROOMS` by the commit that changes it, for the user directory.

use database::{Read, RoomNumber, StoreError, Txn};
use protocol::scan;
use rooms_store::tables::{OPEN_ROOMS, OpenRoom};

/// Part of the commit of a state event: notes whether the room becomes, or stops being, open to everybody.
pub(crate) async fn note_openness(
    txn: &Txn,
    room: RoomNumber,
    kind: &str,
    state_key: &str,
    event: &str,
) -> Result<(), StoreError> {
    if !state_key.is_empty() || !matches!(kind, "m.room.join_rules" | "m.room.history_visibility") {
        return Ok(());
    }
    let before = txn.get(OPEN_ROOMS.at(room)).await?.unwrap_or_default();
    let mut open = before;
    learn(&mut open, kind, event);
    if open == OpenRoom::default() {
        txn.delete(OPEN_ROOMS.at(room));
    } else if open != before {
        txn.put(OPEN_ROOMS.at(room), &open);
    }
    Ok(())
}

fn learn(open: &mut OpenRoom, kind: &str, event: &str) {
    let content = scan::member(event, "content").unwrap_or_default();
    let says = |name, word| scan::string_member(content, name).as_deref() == Some(word);
    match kind {
        "m.room.join_rules" => open.to_join = says("join_rule", "public"),
        "m.room.history_visibility" => {
            open.to_read = says("history_visibility", "world_readable");
        }
        _ => {}
    }
}
