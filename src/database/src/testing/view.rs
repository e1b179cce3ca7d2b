//! Reads that are slow or fail.

use std::sync::Arc;

use super::engine::Inner;
use crate::{
    engine::{BoxFuture, Now, Order, Raw, Scan, Span, View},
    error::Result,
    stamp::Stamp,
};

pub(super) struct FaultView {
    view: Arc<dyn View>,
    engine: Arc<Inner>,
}

impl FaultView {
    pub(super) fn new(view: Arc<dyn View>, engine: Arc<Inner>) -> Self {
        Self { view, engine }
    }
}

impl View for FaultView {
    fn stamp(&self) -> Stamp {
        self.view.stamp()
    }

    fn get_now(
        &self,
        table: &'static str,
        key: &[u8],
        found: &mut dyn FnMut(&[u8]),
    ) -> Result<Now> {
        if self.engine.read_now()? {
            return Ok(Now::Cold);
        }
        self.view.get_now(table, key, found)
    }

    fn get<'a>(
        &'a self,
        table: &'static str,
        keys: &'a [Raw],
    ) -> BoxFuture<'a, Result<Vec<Option<Raw>>>> {
        Box::pin(async move {
            self.engine.read_disk().await?;
            self.view.get(table, keys).await
        })
    }

    fn scan_now(
        &self,
        span: &Span,
        order: Order,
        limit: usize,
        row: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Scan> {
        if self.engine.read_now()? {
            return Ok(Scan::Cold(None));
        }
        self.view.scan_now(span, order, limit, row)
    }

    fn scan<'a>(
        &'a self,
        span: &'a Span,
        order: Order,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(Raw, Raw)>>> {
        Box::pin(async move {
            self.engine.read_disk().await?;
            self.view.scan(span, order, limit).await
        })
    }
}
