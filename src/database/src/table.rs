//! The typed schema: a table is a constant of its owner, and its rows can be addressed only with
//! keys of its type.

use std::{fmt::Debug, marker::PhantomData};

use crate::{
    engine::{Address, BoxFuture, Order, Raw, Span, just_after, successor},
    error::Result,
    key::{Key, LogKey, PrefixOf},
    read::{Read, Snapshot},
    value::Value,
};

/// Rows of `V` by `K`. Declared as a `static` in the `tables.rs` of the one part that writes it.
pub struct Table<K, V> {
    name: &'static str,
    row: PhantomData<fn() -> (K, V)>,
}

/// A table's description, for the page that documents all of them.
#[derive(Clone, Debug)]
pub struct TableInfo {
    pub name: &'static str,
    /// Type names, as the compiler writes them.
    pub key: &'static str,
    pub value: &'static str,
    page: Page,
}

/// Keys and values as `Debug` writes them, so secrets stay hidden.
type WrittenRows = Vec<(String, String)>;
type Page = fn(&'static str, Snapshot, usize) -> BoxFuture<'static, Result<WrittenRows>>;

impl TableInfo {
    /// The first `limit` rows, written as `Debug` does.
    pub async fn first_rows(&self, db: &Snapshot, limit: usize) -> Result<WrittenRows> {
        (self.page)(self.name, db.clone(), limit).await
    }
}

/// Address of one row; knows what value lives there.
pub struct Row<V> {
    pub(crate) at: Address,
    value: PhantomData<fn() -> V>,
}

/// Address of all rows under a key prefix, or of a part of them.
pub struct Rows<K, V> {
    pub(crate) span: Span,
    pub(crate) order: Order,
    row: PhantomData<fn() -> (K, V)>,
}

/// The end of a log, where the next entry goes. Not a `Row`: it can only be appended to.
pub struct LogEnd<V> {
    pub(crate) at: Address,
    value: PhantomData<fn() -> V>,
}

impl<K, V> Table<K, V> {
    /// `name` is unique among all tables and never changes: it is stored on disk.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            row: PhantomData,
        }
    }

    pub const fn name(&self) -> &'static str {
        self.name
    }

    fn rows(&self, from: Raw, to: Option<Raw>) -> Rows<K, V> {
        let span = Span {
            table: self.name,
            from,
            to,
        };
        Rows {
            span,
            order: Order::Forward,
            row: PhantomData,
        }
    }

    pub fn all(&self) -> Rows<K, V> {
        self.rows(Vec::new(), None)
    }
}

impl<K: Key + Debug + 'static, V: Value + Debug + 'static> Table<K, V> {
    pub fn info(&self) -> TableInfo {
        TableInfo {
            name: self.name,
            key: std::any::type_name::<K>(),
            value: std::any::type_name::<V>(),
            page: |name, db, limit| {
                Box::pin(async move {
                    let rows = db.page(Self::new(name).all(), limit).await?;
                    let written = |(key, value)| (format!("{key:?}"), format!("{value:?}"));
                    Ok(rows.into_iter().map(written).collect())
                })
            },
        }
    }
}

impl<K: Key, V> Table<K, V> {
    pub fn at(&self, key: K::Ref<'_>) -> Row<V> {
        let at = Address {
            table: self.name,
            key: K::encode(key),
        };
        Row {
            at,
            value: PhantomData,
        }
    }

    /// The rows whose keys begin with these parts.
    pub fn under(&self, prefix: impl PrefixOf<K>) -> Rows<K, V> {
        let from = prefix.encode();
        let to = successor(&from);
        self.rows(from, to)
    }
}

impl<K: LogKey, V> Table<K, V> {
    /// The end of one log: `()` where the table is one log, else the key parts before the position.
    pub fn end(&self, log: K::Log<'_>) -> LogEnd<V> {
        let at = Address {
            table: self.name,
            key: K::encode_log(log),
        };
        LogEnd {
            at,
            value: PhantomData,
        }
    }
}

impl<K: Key, V> Rows<K, V> {
    /// Only rows after this key.
    #[must_use]
    pub fn after(self, key: K::Ref<'_>) -> Self {
        self.start_at(just_after(&K::encode(key)))
    }

    /// Only this key and the rows after it.
    #[must_use]
    pub fn from(self, key: K::Ref<'_>) -> Self {
        self.start_at(K::encode(key))
    }

    /// Only rows before this key.
    #[must_use]
    pub fn before(self, key: K::Ref<'_>) -> Self {
        self.end_at(K::encode(key))
    }

    /// Only this key and the rows before it.
    #[must_use]
    pub fn through(self, key: K::Ref<'_>) -> Self {
        self.end_at(just_after(&K::encode(key)))
    }

    /// Last first.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.order = match self.order {
            Order::Forward => Order::Backward,
            Order::Backward => Order::Forward,
        };
        self
    }

    /// Bounds only ever narrow, so a key of another prefix cannot let its rows in.
    fn start_at(mut self, from: Raw) -> Self {
        if from > self.span.from {
            self.span.from = from;
        }
        self
    }

    fn end_at(mut self, to: Raw) -> Self {
        if self.span.to.as_ref().is_none_or(|old| to < *old) {
            self.span.to = Some(to);
        }
        self
    }
}

impl<V> Clone for Row<V> {
    fn clone(&self) -> Self {
        Self {
            at: self.at.clone(),
            value: PhantomData,
        }
    }
}

impl<K, V> Clone for Rows<K, V> {
    fn clone(&self) -> Self {
        Self {
            span: self.span.clone(),
            order: self.order,
            row: PhantomData,
        }
    }
}
