//! Paging: from every token that was ever handed out, backwards and forwards together show each event of the timeline once.

use std::collections::BTreeSet;

use database::{Read as _, UserNumber};
use rooms_history::{AnyToken, Direction, EventFilter, MessagesRequest, PaginationToken, Reader};
use rooms_store::{Membership, Place, Verdict};
use rooms_testing::graph::Net;
use ruma::{OwnedUserId, device_id};
use serde_json::Value;

/// The tokens of each server.
pub(super) struct Tokens {
    /// The local users of each server.
    users: Vec<Vec<(OwnedUserId, UserNumber)>>,
    tokens: Vec<Vec<PaginationToken>>,
}

/// Tokens of one server that are tried.
const MOST: usize = 24;

impl Tokens {
    pub(super) async fn new(net: &Net, people: &[(usize, OwnedUserId)]) -> Self {
        let mut users = vec![Vec::new(); net.nodes.len()];
        for (at, user) in people {
            let rooms = &net.nodes[*at].rooms;
            let db = rooms.rooms.snapshot().await.expect("a snapshot");
            let number = rooms.users.number(&db, user).await.expect("a read");
            users[*at].push((user.clone(), number.expect("a local user")));
        }
        Self {
            tokens: vec![Vec::new(); users.len()],
            users,
        }
    }

    /// Keeps what `/sync` and a page of `/messages` hand out now.
    pub(super) async fn collect(&mut self, net: &Net) {
        for at in 0..self.tokens.len() {
            let rooms = &net.nodes[at].rooms;
            let db = rooms.rooms.snapshot().await.expect("a snapshot");
            let Some(user) = self.joined(net, at).await else {
                continue;
            };
            let mut new = vec![PaginationToken::after_stamp(db.stamp())];
            let known = &self.tokens[at];
            let from = (!known.is_empty()).then(|| known[net.pick(known.len())]);
            let direction = [Direction::Forward, Direction::Backward][net.pick(2)];
            let (_, start, end) = page(net, at, user, from, direction, 1 + net.pick(5)).await;
            new.push(start);
            new.extend(end);
            for token in new {
                if self.tokens[at].len() < MOST {
                    self.tokens[at].push(token);
                } else {
                    let index = net.pick(MOST);
                    self.tokens[at][index] = token;
                }
            }
        }
    }

    async fn joined(&self, net: &Net, at: usize) -> Option<UserNumber> {
        for (user, number) in &self.users[at] {
            let membership = net.nodes[at].rooms.membership(&net.room_id, user).await;
            if membership == Some(Membership::Join) {
                return Some(*number);
            }
        }
        None
    }

    pub(super) async fn check(&self, net: &Net) -> Result<(), String> {
        for at in 0..self.tokens.len() {
            let Some(user) = self.joined(net, at).await else {
                continue;
            };
            let visible: BTreeSet<String> = net
                .holdings(at)
                .await
                .into_iter()
                .filter(|event| event.verdict == Verdict::Accepted && event.place != Place::Outlier)
                .map(|event| event.id.to_string())
                .collect();
            for token in &self.tokens[at] {
                let limit = 1 + net.pick(40);
                let mut seen = all_pages(net, at, user, *token, Direction::Backward, limit).await;
                seen.extend(all_pages(net, at, user, *token, Direction::Forward, limit).await);
                let count = seen.len();
                let seen: BTreeSet<String> = seen.into_iter().collect();
                if seen.len() != count {
                    return Err(format!("{token} of server {at} shows an event twice"));
                }
                if seen != visible {
                    let missing: Vec<_> = visible.difference(&seen).collect();
                    let extra: Vec<_> = seen.difference(&visible).collect();
                    return Err(format!(
                        "{token} of server {at} shows {extra:?} and not {missing:?}"
                    ));
                }
            }
        }
        Ok(())
    }
}

async fn all_pages(
    net: &Net,
    at: usize,
    user: UserNumber,
    from: PaginationToken,
    direction: Direction,
    limit: usize,
) -> Vec<String> {
    let mut all = Vec::new();
    let mut from = Some(from);
    for _ in 0..10_000 {
        let Some(token) = from else { return all };
        let (ids, _, end) = page(net, at, user, Some(token), direction, limit).await;
        all.extend(ids);
        from = end;
    }
    panic!("the pages of server {at} do not end");
}

async fn page(
    net: &Net,
    at: usize,
    user: UserNumber,
    from: Option<PaginationToken>,
    direction: Direction,
    limit: usize,
) -> (Vec<String>, PaginationToken, Option<PaginationToken>) {
    let reader = Reader {
        user,
        device: device_id!("DEVICE").to_owned(),
    };
    let request = MessagesRequest {
        from: from.map(AnyToken::Pagination),
        to: None,
        direction,
        limit,
        filter: EventFilter::default(),
    };
    let history = &net.nodes[at].rooms.history;
    let page = history.messages(&net.room_id, &reader, &request).await;
    let page = page.expect("the reader is in the room");
    let chunk = String::from_utf8(page.chunk).expect("UTF-8");
    let events: Vec<Value> = serde_json::from_str(&format!("[{chunk}]")).expect("JSON");
    let ids = events.iter().map(|event| {
        let id = event["event_id"].as_str().expect("an id");
        id.to_owned()
    });
    (ids.collect(), page.start, page.end)
}
