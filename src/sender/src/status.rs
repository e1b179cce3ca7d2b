//! What waits for other servers, for the operator: read from the tables, so that it needs no
//! running server.

use database::{Millis, Position, Read as _, RoomNumber, Snapshot, Store, StoreError};
use federation::UnreachableRow;
use ruma::ServerName;

use crate::tables::{CATCH_UP, DELIVERY_ERRORS, DeliveryError, EDU_QUEUE, QUEUE};

/// Rows that are counted; beyond them, the number is the bound.
const COUNTED: usize = 10_000;
/// Destinations that are listed.
const LISTED: usize = 1_000;

/// What waits for one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationStatus {
    pub server: String,
    /// Events in its queue, at most 10,000 counted.
    pub events: usize,
    pub edus: usize,
    /// Rooms in which it is to be sent the latest events only.
    pub rooms_behind: usize,
    pub last_error: Option<DeliveryError>,
    pub unreachable: Option<UnreachableRow>,
}

/// The destinations with something waiting, by name; or one of them, whatever waits.
pub async fn status(
    store: &Store,
    only: Option<&ServerName>,
) -> Result<Vec<DestinationStatus>, StoreError> {
    let db = store.snapshot().await?;
    let names = match only {
        Some(server) => vec![server.to_string()],
        None => names(&db).await?,
    };
    let mut all = Vec::with_capacity(names.len());
    for server in names {
        let name = server.as_str();
        let unreachable = federation::unreachable(&db, name).await?;
        all.push(DestinationStatus {
            events: db.page(QUEUE.under(name), COUNTED).await?.len(),
            edus: db.page(EDU_QUEUE.under(name), COUNTED).await?.len(),
            rooms_behind: db.page(CATCH_UP.under(name), COUNTED).await?.len(),
            last_error: db.get(DELIVERY_ERRORS.at(name)).await?,
            unreachable,
            server,
        });
    }
    Ok(all)
}

/// Who has rows in any of the tables.
async fn names(db: &Snapshot) -> Result<Vec<String>, StoreError> {
    let mut names: Vec<String> = Vec::new();
    let mut last = String::new();
    while names.len() < LISTED {
        let queue = QUEUE.all().after((last.as_str(), Position::MAX));
        let edus = EDU_QUEUE.all().after((last.as_str(), Position::MAX));
        let marks = CATCH_UP.all().after((last.as_str(), RoomNumber(u64::MAX)));
        let errors = DELIVERY_ERRORS.all().after(last.as_str());
        let next = [
            db.first(queue).await?.map(|((name, _), _)| name),
            db.first(edus).await?.map(|((name, _), _)| name),
            db.first(marks).await?.map(|((name, _), _)| name),
            db.first(errors).await?.map(|(name, _)| name),
        ];
        let Some(next) = next.into_iter().flatten().min() else {
            break;
        };
        last.clone_from(&next);
        names.push(next);
    }
    Ok(names)
}

impl DestinationStatus {
    /// One line for the operator.
    pub fn line(&self, now: Millis) -> String {
        let Self {
            server,
            events,
            edus,
            rooms_behind,
            ..
        } = self;
        let mut parts = vec![format!("{server}: {events} events and {edus} EDUs queued")];
        if *rooms_behind > 0 {
            parts.push(format!("behind in {rooms_behind} rooms"));
        }
        if let Some(row) = &self.unreachable {
            let since = now.since(Millis(row.since)).as_secs();
            let next = Millis(row.retry_at).since(now).as_secs();
            let failures = row.failures;
            parts.push(format!(
                "unreachable for {since} s, {failures} attempts, next in {next} s"
            ));
        }
        if let Some(error) = &self.last_error {
            let ago = now.since(Millis(error.at)).as_secs();
            parts.push(format!("last error {ago} s ago: {}", error.reason));
        }
        parts.join(", ")
    }
}
