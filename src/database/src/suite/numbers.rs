//! Interned strings and allocated numbers.

use std::collections::HashSet;

use crate::{
    error::StoreError,
    numbers::{Allocator, Interner, UserNumber},
    store::Store,
    suite::{Result, db},
    table::Table,
};

static FORWARD: Table<String, UserNumber> = Table::new("suite_user_numbers");
static REVERSE: Table<UserNumber, String> = Table::new("suite_user_ids");

fn interner(store: &Store) -> Interner<UserNumber> {
    Interner::new(store, &FORWARD, &REVERSE, "suite_users")
}

async fn intern(store: &Store, names: &Interner<UserNumber>, text: &str) -> UserNumber {
    let intern = store.transact(|txn| async move { names.intern(&txn, text).await });
    intern.await.expect("a number").0
}

/// For the tests that reopen a database: interns some strings and gives their numbers.
pub async fn intern_some(store: &Store, texts: &[&str]) -> Vec<UserNumber> {
    let names = interner(store);
    let mut numbers = Vec::new();
    for text in texts {
        numbers.push(intern(store, &names, text).await);
    }
    numbers
}

pub async fn one_string_has_one_number_whoever_interns_it(store: &Store) {
    // Two interners share no cache, as two processes would not.
    let interners = [interner(store), interner(store).with_cache(0)];
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..12_usize {
        let (store, names) = (store.clone(), interners[task % 2].clone());
        tasks.spawn(async move {
            let mut numbers = Vec::new();
            for text in 0..10 {
                numbers.push(intern(&store, &names, &format!("@{text}:example.org")).await);
            }
            numbers
        });
    }
    let all = tasks.join_all().await;
    for numbers in &all {
        assert_eq!(numbers, &all[0]);
    }
    assert_eq!(all[0].iter().collect::<HashSet<_>>().len(), 10);

    let db = db(store).await;
    for (text, number) in all[0].iter().enumerate() {
        let text = format!("@{text}:example.org");
        for names in &interners {
            assert_eq!(names.find(&db, &text).await, Ok(Some(*number)));
            let back = names.text(&db, *number).await.expect("a read");
            assert_eq!(back.as_deref(), Some(text.as_str()));
        }
    }
    let texts = interners[1]
        .texts(&db, &[all[0][3], UserNumber(1 << 40), all[0][1]])
        .await;
    let texts = texts.expect("a read");
    let texts: Vec<_> = texts.iter().map(Option::as_deref).collect();
    assert_eq!(
        texts,
        [Some("@3:example.org"), None, Some("@1:example.org")]
    );
}

pub async fn an_aborted_intern_leaves_no_trace(store: &Store) {
    let names = &interner(store);
    let aborted = store.transact::<(), _, _>(|txn| async move {
        let number = names.intern(&txn, "@a:b").await?;
        assert_eq!(names.intern(&txn, "@a:b").await?, number);
        assert_eq!(names.find(&txn, "@a:b").await?, Some(number));
        assert_eq!(names.text(&txn, number).await?.as_deref(), Some("@a:b"));
        Err(StoreError::Unavailable("on purpose".to_owned()))
    });
    assert!(aborted.await.is_err());
    assert_eq!(names.find(&db(store).await, "@a:b").await, Ok(None));
    let number = intern(store, names, "@a:b").await;
    assert_eq!(names.find(&db(store).await, "@a:b").await, Ok(Some(number)));
}

pub async fn an_allocator_never_gives_a_number_twice(store: &Store) {
    let allocators = [
        Allocator::open(store, "suite"),
        Allocator::open(store, "suite"),
    ];
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..6_usize {
        let allocator = allocators[task % 2].clone();
        tasks.spawn(async move {
            let mut numbers = Vec::new();
            for _ in 0..1000 {
                numbers.push(allocator.next().await?);
            }
            Result::Ok(numbers)
        });
    }
    let mut seen = HashSet::new();
    for numbers in tasks.join_all().await {
        for number in numbers.expect("numbers") {
            assert!(number > 0);
            assert!(seen.insert(number), "{number} was given twice");
        }
    }
    assert_eq!(Allocator::open(store, "another").next().await, Ok(1));
}
