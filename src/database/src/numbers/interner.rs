//! Strings to numbers and back, one number for each string, for ever.

use std::sync::Arc;

use quick_cache::{Weighter, sync::Cache};

use crate::{
    error::Result, key::NumberKey, numbers::Allocator, read::Read, store::Store, table::Table,
    txn::Txn, value::Value,
};

/// Interns the strings of one kind as numbers `N`. Clones share their cache, which only ever holds
/// committed rows; those never change, so nothing invalidates it.
pub struct Interner<N: 'static> {
    forward: &'static Table<String, N>,
    reverse: &'static Table<N, String>,
    allocator: Allocator,
    cache: Arc<Caches<N>>,
}

struct Caches<N> {
    numbers: Cache<Arc<str>, N, ByText>,
    texts: Cache<N, Arc<str>, ByNumber>,
}

/// About the bytes of an entry: the string, its counts, the cache's own.
#[derive(Clone)]
struct ByText;

#[derive(Clone)]
struct ByNumber;

const OVERHEAD: u64 = 80;

impl<N> Weighter<Arc<str>, N> for ByText {
    fn weight(&self, text: &Arc<str>, _: &N) -> u64 {
        text.len() as u64 + OVERHEAD
    }
}

impl<N> Weighter<N, Arc<str>> for ByNumber {
    fn weight(&self, _: &N, text: &Arc<str>) -> u64 {
        text.len() as u64 + OVERHEAD
    }
}

impl<N: NumberKey + Value> Interner<N> {
    const CACHE_BYTES: u64 = 2 << 20;

    /// `name` is that of the sequence the numbers come from.
    pub fn new(
        store: &Store,
        forward: &'static Table<String, N>,
        reverse: &'static Table<N, String>,
        name: &'static str,
    ) -> Self {
        let allocator = Allocator::open(store, name);
        Self {
            forward,
            reverse,
            allocator,
            cache: Caches::new(Self::CACHE_BYTES),
        }
    }

    /// Bounds the cache, both directions together, in bytes; before the first use.
    #[must_use]
    pub fn with_cache(mut self, bytes: u64) -> Self {
        self.cache = Caches::new(bytes);
        self
    }

    /// The number of `text`, which is new with this transaction if there was none. Two who intern
    /// one string at once conflict, and the second finds the number of the first.
    pub async fn intern(&self, txn: &Txn, text: &str) -> Result<N> {
        if let Some(number) = self.find(txn, text).await? {
            return Ok(number);
        }
        let number = N::from_u64(self.allocator.next().await?);
        txn.put(self.forward.at(text), &number);
        txn.put(self.reverse.at(number), &text.to_owned());
        Ok(number)
    }

    /// The number of `text` if it has one.
    pub async fn find(&self, db: &impl Read, text: &str) -> Result<Option<N>> {
        if let Some(number) = self.cache.numbers.get(text) {
            return Ok(Some(number));
        }
        let row = self.forward.at(text);
        let is_own = db.has_own(&row);
        let number = db.get(row).await?;
        if let Some(number) = number
            && !is_own
        {
            self.cache.add(text.into(), number);
        }
        Ok(number)
    }

    /// The string behind a number.
    pub async fn text(&self, db: &impl Read, number: N) -> Result<Option<Arc<str>>> {
        if let Some(text) = self.cache.texts.get(&number) {
            return Ok(Some(text));
        }
        let row = self.reverse.at(number);
        let is_own = db.has_own(&row);
        let text: Option<Arc<str>> = db.get(row).await?.map(Arc::from);
        if let Some(text) = &text
            && !is_own
        {
            self.cache.add(text.clone(), number);
        }
        Ok(text)
    }

    /// [`Interner::text`] of many, in their order, with one read for all that are not cached.
    pub async fn texts(&self, db: &impl Read, numbers: &[N]) -> Result<Vec<Option<Arc<str>>>> {
        let mut texts: Vec<_> = numbers
            .iter()
            .map(|number| self.cache.texts.get(number))
            .collect();
        let missing: Vec<usize> = (0..texts.len()).filter(|at| texts[*at].is_none()).collect();
        let rows: Vec<_> = missing
            .iter()
            .map(|at| self.reverse.at(numbers[*at]))
            .collect();
        let own: Vec<bool> = rows.iter().map(|row| db.has_own(row)).collect();
        let found = db.get_many(rows).await?;
        for ((at, is_own), text) in missing.into_iter().zip(own).zip(found) {
            texts[at] = text.map(Arc::from);
            if let Some(text) = &texts[at]
                && !is_own
            {
                self.cache.add(text.clone(), numbers[at]);
            }
        }
        Ok(texts)
    }
}

impl<N: NumberKey> Caches<N> {
    fn new(bytes: u64) -> Arc<Self> {
        let each = bytes / 2;
        let entries = usize::try_from(each / (OVERHEAD + 32)).unwrap_or(usize::MAX);
        Arc::new(Self {
            numbers: Cache::with_weighter(entries, each, ByText),
            texts: Cache::with_weighter(entries, each, ByNumber),
        })
    }

    fn add(&self, text: Arc<str>, number: N) {
        self.texts.insert(number, text.clone());
        self.numbers.insert(text, number);
    }
}

impl<N> Clone for Interner<N> {
    fn clone(&self) -> Self {
        Self {
            forward: self.forward,
            reverse: self.reverse,
            allocator: self.allocator.clone(),
            cache: self.cache.clone(),
        }
    }
}
