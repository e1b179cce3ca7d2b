//! Checks on PDUs of other servers (server-server API, "Checks performed on receipt of a PDU", steps 1 to 3), in bulk: format, event
//! id, signatures, content hash.
//!
//! Reading and verifying run on [`RemoteNeeds::blocking`](crate::RemoteNeeds::blocking), a chunk at a time. The keys of a batch are
//! fetched between the two, each server asked once.

use std::sync::Arc;

use database::{Millis, StoreError, blocking};
use federation::{FoundKeys, ServerKey, WantedKey};
use futures_util::future::join_all;
use protocol::receive::{FormatError, Pdu, SignatureError};
use ruma::{OwnedEventId, OwnedServerName, ServerName, room_version_rules::RoomVersionRules};

use crate::handle::RemoteRooms;

/// Events of one piece of blocking work: some 20 ms.
const CHUNK: usize = 128;

/// The result of checking one text.
#[derive(Debug)]
pub enum Checked {
    /// From who it says; redacted where its content hash did not match.
    Valid(Pdu),
    /// To be dropped.
    Bad(BadPdu),
    /// It has its format, but keys of these servers cannot be had now.
    KeysMissing(Pdu, Vec<OwnedServerName>),
}

/// Why an event is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPdu {
    /// `None` where the text is not even an event.
    pub event_id: Option<OwnedEventId>,
    pub reason: String,
}

/// Which keys a check may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// Those that need no network.
    Known,
    Fetched,
}

impl RemoteRooms {
    /// Checks texts of other servers as events of one room version, in their order. Keys that are not known are fetched.
    ///
    /// Whether an event belongs to the room that it was asked for is left to the caller: `Pdu::room_id`.
    pub async fn check<T: Into<Box<str>>>(
        &self,
        rules: &'static RoomVersionRules,
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Checked>, StoreError> {
        let read = self.read(rules, texts).await;
        let mut results = Vec::with_capacity(read.len());
        let mut pdus = Vec::with_capacity(read.len());
        for read in read {
            match read {
                Ok(pdu) => {
                    results.push(None);
                    pdus.push(pdu);
                }
                Err(error) => results.push(Some(Checked::Bad(BadPdu {
                    event_id: None,
                    reason: error.to_string(),
                }))),
            }
        }
        let mut verified = self.verify(pdus, KeySource::Fetched).await?.into_iter();
        let whole = results.into_iter().map(|result| {
            result.unwrap_or_else(|| verified.next().expect("one for each that was read"))
        });
        Ok(whole.collect())
    }

    /// Checks the format alone, and computes the event ids.
    pub async fn read<T: Into<Box<str>>>(
        &self,
        rules: &'static RoomVersionRules,
        texts: impl IntoIterator<Item = T>,
    ) -> Vec<Result<Pdu, FormatError>> {
        let texts: Vec<Box<str>> = texts.into_iter().map(Into::into).collect();
        self.in_chunks(texts, move |text| Pdu::read(rules, &text))
            .await
    }

    /// Checks signatures and content hashes.
    pub async fn verify(
        &self,
        pdus: Vec<Pdu>,
        source: KeySource,
    ) -> Result<Vec<Checked>, StoreError> {
        let keys = Arc::new(self.keys_for(&pdus, source).await?);
        let verify = move |pdu| verify(pdu, &keys);
        Ok(self.in_chunks(pdus, verify).await)
    }

    pub(crate) async fn keys_for(
        &self,
        pdus: &[Pdu],
        source: KeySource,
    ) -> Result<FoundKeys, StoreError> {
        let keys = self.federation().server_keys();
        let wanted: Vec<_> = pdus.iter().flat_map(wanted_keys).collect();
        if source == KeySource::Fetched {
            return keys.for_events(&wanted).await;
        }
        let mut found = FoundKeys::new();
        for WantedKey { server, key_id, .. } in wanted {
            if found.contains_key(&(server.clone(), key_id.clone())) {
                continue;
            }
            if let Some(key) = keys.known(&server, &key_id).await? {
                found.insert((server, key_id), key);
            }
        }
        Ok(found)
    }

    /// Runs `work` on each item, off the async workers. The results are in the order of the items.
    async fn in_chunks<T: Send + 'static, U: Send + 'static>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> U + Clone + Send + 'static,
    ) -> Vec<U> {
        let mut items = items.into_iter();
        let mut chunks = Vec::new();
        loop {
            let chunk: Vec<T> = items.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            let work = work.clone();
            let whole = move || chunk.into_iter().map(work).collect::<Vec<U>>();
            chunks.push(blocking::run(&*self.0.needs.blocking, whole));
        }
        join_all(chunks).await.into_iter().flatten().collect()
    }
}

fn wanted_keys(pdu: &Pdu) -> Vec<WantedKey> {
    let at = match pdu.rules().enforce_key_validity {
        true => sent_at(pdu),
        false => Millis(0),
    };
    let mut wanted = Vec::new();
    for (server, key_ids) in pdu.key_ids() {
        wanted.extend(key_ids.into_iter().map(|key_id| WantedKey {
            server: server.clone(),
            key_id,
            at,
        }));
    }
    wanted
}

/// The time that an event claims for itself.
pub(crate) fn sent_at(pdu: &Pdu) -> Millis {
    Millis(pdu.origin_server_ts().get().into())
}

/// A key, if it was valid for an event that was sent at this time.
pub(crate) fn usable_key(
    keys: &FoundKeys,
    at: Millis,
    rules: &RoomVersionRules,
    server: &ServerName,
    key_id: &str,
) -> Option<[u8; 32]> {
    let key = keys.get(&(server.to_owned(), key_id.to_owned()))?;
    key.is_valid_for_event(at, rules).then(|| key.public())
}

fn verify(pdu: Pdu, keys: &FoundKeys) -> Checked {
    let (at, rules) = (sent_at(&pdu), pdu.rules());
    let find =
        |server: &ServerName, key_id: &str| keys.get(&(server.to_owned(), key_id.to_owned()));
    let usable = |server: &ServerName, key_id: &str| usable_key(keys, at, rules, server, key_id);
    let event_id = pdu.event_id().to_owned();
    let bad = |reason: String| {
        Checked::Bad(BadPdu {
            event_id: Some(event_id.clone()),
            reason,
        })
    };
    match pdu.clone().verify(usable) {
        Ok(pdu) => Checked::Valid(pdu),
        Err(SignatureError::MissingKeys(missing)) => {
            // A server that has ended a key never says otherwise.
            let is_hopeless = |server: &ServerName, ids: &[String]| {
                let mut ids = ids.iter();
                ids.all(|id| find(server, id).is_some_and(ServerKey::is_expired))
            };
            if let Some((server, _)) = missing
                .iter()
                .find(|(server, ids)| is_hopeless(server, ids))
            {
                return bad(format!("event is signed with an ended key of {server}"));
            }
            let servers = missing.into_iter().map(|(server, _)| server);
            Checked::KeysMissing(pdu, servers.collect())
        }
        Err(error) => bad(error.to_string()),
    }
}
