//! A view that is handed out while the database is opened again: it reads nothing from memory, and
//! its reads wait for the database.

use database::{
    Order, Stamp, StoreError,
    engine::{BoxFuture, Now, Raw, Scan, Span, View},
};
use std::sync::Arc;
use tokio::sync::{OnceCell, watch};

use crate::{committer::Current, error::unavailable};

pub(crate) struct LateView {
    stamp: Stamp,
    published: watch::Receiver<Current>,
    view: OnceCell<Arc<dyn View>>,
}

impl LateView {
    pub(crate) fn new(stamp: Stamp, published: watch::Receiver<Current>) -> Self {
        Self {
            stamp,
            published,
            view: OnceCell::new(),
        }
    }

    /// The first view after the opening. It is of the same stamp, because nothing is committed
    /// before readers can have it; should one have come late enough to miss it, it reads again.
    async fn view(&self) -> Result<&Arc<dyn View>, StoreError> {
        let find = async || {
            let mut published = self.published.clone();
            let current = published
                .wait_for(|current| !matches!(current, Current::Reopening(_)))
                .await
                .map_err(|_| unavailable("the database is closed"))?;
            match &*current {
                Current::View(view) if view.stamp() == self.stamp => Ok(view.clone()),
                Current::View(_) | Current::Reopening(_) => {
                    Err(unavailable("the database was opened again meanwhile"))
                }
                Current::Closed(reason) => Err(unavailable(reason)),
            }
        };
        self.view.get_or_try_init(find).await
    }
}

impl View for LateView {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn get_now(
        &self,
        table: &'static str,
        key: &[u8],
        found: &mut dyn FnMut(&[u8]),
    ) -> Result<Now, StoreError> {
        match self.view.get() {
            Some(view) => view.get_now(table, key, found),
            None => Ok(Now::Cold),
        }
    }

    fn get<'a>(
        &'a self,
        table: &'static str,
        keys: &'a [Raw],
    ) -> BoxFuture<'a, Result<Vec<Option<Raw>>, StoreError>> {
        Box::pin(async move { self.view().await?.get(table, keys).await })
    }

    fn scan_now(
        &self,
        span: &Span,
        order: Order,
        limit: usize,
        row: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Scan, StoreError> {
        match self.view.get() {
            Some(view) => view.scan_now(span, order, limit, row),
            None => Ok(Scan::Cold(None)),
        }
    }

    fn scan<'a>(
        &'a self,
        span: &'a Span,
        order: Order,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(Raw, Raw)>, StoreError>> {
        Box::pin(async move { self.view().await?.scan(span, order, limit).await })
    }
}

#[cfg(test)]
mod tests {
    use database::{Memory, Store, Table, engine::Engine};

    use super::*;

    static ROWS: Table<u64, u64> = Table::new("rows");

    /// An engine that is being opened again, over rows in memory.
    async fn reopening() -> (watch::Sender<Current>, Arc<dyn View>, LateView) {
        let memory = Memory::new();
        let store = Store::new(Arc::new(memory.clone()));
        let put = store.transact(|txn| async move {
            txn.put(ROWS.at(1), &5);
            Ok::<_, StoreError>(())
        });
        let ((), stamp) = put.await.expect("a commit");
        let published = watch::Sender::new(Current::Reopening(stamp));
        let late = LateView::new(stamp, published.subscribe());
        (published, memory.snapshot(), late)
    }

    async fn get(view: &LateView) -> Result<Option<Raw>, StoreError> {
        let mut found = view.get("rows", &[1_u64.to_be_bytes().to_vec()]).await?;
        Ok(found.pop().flatten())
    }

    #[tokio::test]
    async fn reads_wait_for_the_opening() {
        let (published, view, late) = reopening().await;
        assert_eq!(late.get_now("rows", &[], &mut |_| {}), Ok(Now::Cold));
        let open = async { published.send_replace(Current::View(view)) };
        let (read, _) = tokio::join!(biased; get(&late), open);
        assert!(read.expect("a read").is_some());
        assert_eq!(late.get_now("rows", &[], &mut |_| {}), Ok(Now::Absent));
    }

    #[tokio::test]
    async fn reads_do_not_wait_for_a_database_that_stays_closed() {
        let (published, _, late) = reopening().await;
        let close = async { published.send_replace(Current::Closed("why".to_owned())) };
        let (read, _) = tokio::join!(biased; get(&late), close);
        assert_eq!(read, Err(unavailable("why")));
    }

    #[tokio::test]
    async fn reads_end_when_the_committer_does() {
        let (published, _, late) = reopening().await;
        let stop = async { drop(published) };
        let (read, ()) = tokio::join!(biased; get(&late), stop);
        assert_eq!(read, Err(unavailable("the database is closed")));
    }

    #[tokio::test]
    async fn a_view_never_changes_its_stamp() {
        let (published, view, _) = reopening().await;
        let late = LateView::new(Stamp(view.stamp().0 - 1), published.subscribe());
        published.send_replace(Current::View(view));
        assert!(get(&late).await.is_err());
    }
}
