//! Random histories against a plain second model: references, usage, totals and files agree after
//! each step.

use std::collections::{BTreeMap, BTreeSet};

use database::{Random as _, Read as _, SeededRandom, UserNumber};
use futures_util::{StreamExt as _, stream};
use media::{Amount, Asker, Mxc, Selection, tables::MEDIA_CONTENTS};

use crate::house::{House, wanted};

const STEPS: usize = 300;
const SEEDS: u64 = 4;
/// Few contents, so that many files have the same.
const CONTENTS: u64 = 12;

#[derive(Default)]
struct Model {
    files: BTreeMap<Mxc, (UserNumber, u64)>,
}

fn content(number: u64) -> Vec<u8> {
    let byte = u8::try_from(number).expect("few contents");
    vec![byte; usize::from(byte) * 100 + 1]
}

impl Model {
    fn amount(&self, owner: Option<UserNumber>) -> Amount {
        let own = self.files.values();
        let own = own.filter(|(other, _)| owner.is_none_or(|owner| owner == *other));
        let mut amount = Amount::default();
        for (_, number) in own {
            amount.files += 1;
            amount.bytes += content(*number).len() as u64;
        }
        amount
    }

    async fn assert_is(&self, house: &House) {
        let mut references: BTreeMap<u64, u64> = BTreeMap::new();
        for (_, number) in self.files.values() {
            *references.entry(content(*number).len() as u64).or_default() += 1;
        }
        let rows = house.snapshot().await.page(MEDIA_CONTENTS.all(), 100).await;
        let rows = rows.expect("it reads");
        let found: BTreeMap<u64, u64> = rows
            .iter()
            .map(|(_, row)| (row.size, row.references))
            .collect();
        assert_eq!(found, references);
        assert_eq!(house.contents_on_disk(), references.len());
        let usage = house.media.usage().await.expect("it reads");
        assert_eq!(usage.local, self.amount(None));
        for owner in 0..3 {
            let usage = house.media.usage_of(UserNumber(owner)).await;
            assert_eq!(
                usage.expect("it reads"),
                self.amount(Some(UserNumber(owner)))
            );
        }
    }
}

#[tokio::test]
async fn references_are_counted_as_by_a_plain_model() {
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let random = SeededRandom::new(seed);
        let house = House::new().await;
        let mut model = Model::default();
        for _ in 0..STEPS {
            let owner = UserNumber(random.u64() % 3);
            match random.u64() % 10 {
                0..6 => {
                    let number = random.u64() % CONTENTS;
                    let mxc = house.upload(owner, &content(number)).await;
                    model.files.insert(mxc, (owner, number));
                }
                6..9 if !model.files.is_empty() => {
                    let index = random.u64() % model.files.len() as u64;
                    let index = usize::try_from(index).expect("small");
                    let mxc = model.files.keys().nth(index).expect("in range").clone();
                    model.files.remove(&mxc);
                    let which = Selection::These(vec![mxc]);
                    house.media.delete(&which).await.expect("it deletes");
                }
                _ => {
                    let gone = model.amount(Some(owner));
                    model.files.retain(|_, (other, _)| *other != owner);
                    let deleted = house.media.delete(&Selection::Owner(owner)).await;
                    assert_eq!(deleted.expect("it deletes"), gone);
                }
            }
            model.assert_is(&house).await;
        }
        let found = house.media.check().await.expect("it checks");
        assert_eq!((found.orphans, found.missing, found.miscounted), (0, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_and_deletions_at_once_lose_nothing() {
    let house = House::new().await;
    let house = &house;
    // Each uploads the same few contents and deletes half of what it uploaded.
    let people = (0..16_u64).map(|person| async move {
        let random = SeededRandom::new(person);
        let mut kept = BTreeSet::new();
        for round in 0..20 {
            let bytes = content(random.u64() % 3);
            let mxc = house.upload(UserNumber(person), &bytes).await;
            if round % 2 == 0 {
                let which = Selection::These(vec![mxc]);
                house.media.delete(&which).await.expect("it deletes");
            } else {
                kept.insert((mxc, bytes));
            }
        }
        kept
    });
    let kept: Vec<_> = stream::iter(people).buffer_unordered(16).collect().await;

    for (mxc, bytes) in kept.iter().flatten() {
        assert_eq!(house.download(mxc).await, *bytes);
        let wanted = wanted(Asker::Server, mxc);
        assert!(house.media.download(wanted).await.is_ok());
    }
    let found = house.media.check().await.expect("it checks");
    assert_eq!((found.orphans, found.missing, found.miscounted), (0, 0, 0));
    assert_eq!(found.contents, 3);
    assert!(house.incoming().is_empty());
}
