//! Push rules.

use ruma::push::{NewPushRule, NewSimplePushRule, RuleKind};
use users::{PUSH_RULES, PushRuleChange, PushRuleError, account_data};

use crate::house::{House, Person};

fn of_room(id: &str) -> NewPushRule {
    let id = id.try_into().expect("a room id");
    NewPushRule::Room(NewSimplePushRule::new(id, Vec::new()))
}

fn set(id: &str, after: Option<&str>) -> PushRuleChange {
    let after = after.map(str::to_owned);
    PushRuleChange::Set {
        rule: of_room(id),
        after,
        before: None,
    }
}

async fn change(house: &House, who: &Person, change: PushRuleChange) -> Result<(), PushRuleError> {
    house
        .users
        .change_push_rules(who.number, &who.user_id, change)
        .await
}

async fn rooms(house: &House, who: &Person) -> Vec<(String, bool)> {
    let db = house.snapshot().await;
    let rules = house
        .users
        .push_rules(&db, who.number, &who.user_id)
        .await
        .expect("it reads");
    rules
        .room
        .iter()
        .map(|rule| (rule.rule_id.to_string(), rule.enabled))
        .collect()
}

#[tokio::test]
async fn all_kinds_are_shown_even_empty_ones() {
    let house = House::new();
    let alice = house.user("alice").await;
    let db = house.snapshot().await;
    let rules = house
        .users
        .push_rules_json(&db, alice.number, &alice.user_id)
        .await;
    let rules = rules.expect("it reads");
    for kind in ["override", "content", "room", "sender", "underride"] {
        assert!(rules[kind].is_array(), "{kind}");
    }
    assert_eq!(rules["override"][0]["rule_id"], ".m.rule.master");
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
    let changed = account_data::since(&db, alice.number, since)
        .await
        .expect("it reads");
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].kind, PUSH_RULES);
    assert!(changed[0].content.contains("!a:b.org"));
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
    let (kind, id) = (RuleKind::Room, "!a:b.org".to_owned());
    let disable = PushRuleChange::Enable {
        kind: kind.clone(),
        id: id.clone(),
        enabled: false,
    };
    change(&house, &alice, disable).await.expect("disabled");
    change(&house, &alice, set("!a:b.org", Some("!c:b.org")))
        .await
        .expect("moved to the end");
    let expected = [("!b:b.org", true), ("!c:b.org", true), ("!a:b.org", false)];
    assert_eq!(
        rooms(&house, &alice).await,
        expected.map(|(id, is)| (id.to_owned(), is))
    );

    let remove = PushRuleChange::Remove { kind, id };
    change(&house, &alice, remove.clone())
        .await
        .expect("removed");
    assert_eq!(rooms(&house, &alice).await.len(), 2);
    assert!(matches!(
        change(&house, &alice, remove).await,
        Err(PushRuleError::NotFound)
    ));
}

#[tokio::test]
async fn predefined_rules_stay() {
    let house = House::new();
    let alice = house.user("alice").await;
    let id = ".m.rule.master".to_owned();
    let remove = PushRuleChange::Remove {
        kind: RuleKind::Override,
        id,
    };
    assert!(matches!(
        change(&house, &alice, remove).await,
        Err(PushRuleError::Invalid(_))
    ));
    let unknown = set("!a:b.org", Some("!unknown:b.org"));
    assert!(matches!(
        change(&house, &alice, unknown).await,
        Err(PushRuleError::NotFound)
    ));
}
