//! Answers in the form of a transaction: `GET /event` and `GET /backfill`.

use database::Clock;
use edge::RawJson;
use rooms_remote::Served;
use ruma::ServerName;
use serde_json::Value;

use crate::pdus;

pub(crate) fn answer(origin: &ServerName, clock: &dyn Clock, events: &[Served]) -> RawJson {
    let origin = Value::from(origin.as_str());
    let now = clock.now().0;
    let mut out = format!(r#"{{"origin":{origin},"origin_server_ts":{now},"pdus":"#).into_bytes();
    pdus::write(&mut out, events.iter().map(Served::json));
    out.push(b'}');
    RawJson(out)
}
