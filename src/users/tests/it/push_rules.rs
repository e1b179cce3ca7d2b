//! Push rules.

use protocol::push::{BodyMentions, ChangeError, Kind, NewRule};
use ruma::user_id;
use serde_json::{Value, json};
use users::{PUSH_RULES, PushRuleChange, PushRuleError};

use crate::house::{House, Person};

fn set(id: &str, after: Option<&str>) -> PushRuleChange {
    PushRuleChange::Set {
        kind: Kind::Room,
        rule: NewRule {
            rule_id: id.to_owned(),
            ..NewRule::default()
        },
        after: after.map(str::to_owned),
        before: None,
    }
}

fn enable(id: &str, enabled: bool) -> PushRuleChange {
    PushRuleChange::Enable {
        kind: Kind::Room,
        id: id.to_owned(),
        enabled,
    }
}

async fn change(house: &House, who: &Person, change: PushRuleChange) -> Result<(), PushRuleError> {
    house.users.change_push_rules(who.number, change).await
}

async fn content(house: &House, who: &Person) -> Value {
    let db = house.snapshot().await;
    let content = house
        .users
        .push_rules_content(&db, who.number, &who.user_id)
        .await;
    serde_json::from_str(&content.expect("it reads")).expect("JSON")
}

#[tokio::test]
async fn all_kinds_are_shown_even_empty_ones() {
    let house = House::new();
    let alice = house.user("alice").await;
    let rules = content(&house, &alice).await;
    for kind in ["override", "content", "room", "sender", "underride"] {
        assert!(rules["global"][kind].is_array(), "{kind}");
    }
    assert_eq!(rules["global"]["override"][0]["rule_id"], ".m.rule.master");
}

#[tokio::test]
async fn a_changed_rule_is_account_data_that_sync_sees() {
    let house = House::new();
    let alice = house.user("alice").await;
    let since = house.users.snapshot().await.expect("a snapshot");
    let since = database::Read::stamp(&since);
    change(&house, &alice, set("!a:b.org", None))
        .await
        .expect("set");

    let db = house.snapshot().await;
    let changed = house
        .users
        .account_data_since(&db, alice.number, &alice.user_id, since)
        .await
        .expect("it reads");
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].kind, PUSH_RULES);
    let told: Value = serde_json::from_str(&changed[0].content).expect("JSON");
    assert_eq!(told, content(&house, &alice).await);
    assert_eq!(told["global"]["room"][0]["rule_id"], "!a:b.org");
    let all = house
        .users
        .account_data_all(&db, alice.number, &alice.user_id)
        .await;
    assert_eq!(all.expect("it reads").len(), 1);
}

#[tokio::test]
async fn rules_are_disabled_moved_and_removed() {
    let house = House::new();
    let alice = house.user("alice").await;
    for id in ["!c:b.org", "!b:b.org", "!a:b.org"] {
        change(&house, &alice, set(id, None)).await.expect("set");
    }
    change(&house, &alice, enable("!a:b.org", false))
        .await
        .expect("disabled");
    change(&house, &alice, set("!a:b.org", Some("!c:b.org")))
        .await
        .expect("moved to the end");
    let rooms = content(&house, &alice).await["global"]["room"].clone();
    let rooms: Vec<Value> = rooms
        .as_array()
        .expect("a list")
        .iter()
        .map(|rule| json!([rule["rule_id"], rule["enabled"]]))
        .collect();
    assert_eq!(
        json!(rooms),
        json!([["!b:b.org", true], ["!c:b.org", true], ["!a:b.org", false]])
    );
    let remove = PushRuleChange::Remove {
        kind: Kind::Room,
        id: "!a:b.org".to_owned(),
    };
    change(&house, &alice, remove.clone())
        .await
        .expect("removed");
    assert!(matches!(
        change(&house, &alice, remove).await,
        Err(PushRuleError::Change(ChangeError::NotFound))
    ));
}

#[tokio::test]
async fn the_rules_before_a_change_stay_until_they_are_forgotten() {
    let house = House::new();
    let alice = house.user("alice").await;
    for id in ["!a:b.org", "!b:b.org"] {
        change(&house, &alice, set(id, None)).await.expect("set");
    }
    let db = house.snapshot().await;
    let rules = house.users.push_rules(&db, alice.number).await;
    let rules = rules.expect("it reads");
    let shown = |at: usize| {
        let (_, rules) = &rules.earlier[at];
        rules.all(user_id!("@alice:x"), BodyMentions::Ignored)[&Kind::Room].len()
    };
    assert_eq!(rules.earlier.len(), 2);
    assert_eq!((shown(0), shown(1)), (0, 1));

    let (first, _) = rules.earlier[0];
    house
        .users
        .forget_push_rules(alice.number, first)
        .await
        .expect("forgotten");
    let db = house.snapshot().await;
    let left = house.users.push_rules(&db, alice.number).await;
    assert_eq!(left.expect("it reads").earlier, rules.earlier[1..]);
}

#[tokio::test]
async fn only_so_many_earlier_rules_are_kept() {
    let house = House::new();
    let alice = house.user("alice").await;
    change(&house, &alice, set("!a:b.org", None))
        .await
        .expect("set");
    for turn in 0..200 {
        change(&house, &alice, enable("!a:b.org", turn % 2 == 1))
            .await
            .expect("changed");
    }
    let db = house.snapshot().await;
    let rules = house.users.push_rules(&db, alice.number).await;
    assert_eq!(rules.expect("it reads").earlier.len(), 64);
}
