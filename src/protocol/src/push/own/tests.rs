//! What users see of their rules, and how they change them.

use ruma::user_id;
use serde_json::json;

use super::*;

#[test]
fn the_predefined_rules_are_those_of_the_specification_in_its_order() {
    let ids = |body_mentions| -> Vec<String> {
        let all = OwnRules::default().all(user_id!("@a:x"), body_mentions);
        all.into_values()
            .flatten()
            .map(|rule| rule.rule_id)
            .collect()
    };
    let usual = [
        ".m.rule.master",
        ".m.rule.suppress_notices",
        ".m.rule.invite_for_me",
        ".m.rule.member_event",
        ".m.rule.is_user_mention",
        ".m.rule.is_room_mention",
        ".m.rule.tombstone",
        ".m.rule.reaction",
        ".m.rule.room.server_acl",
        ".m.rule.suppress_edits",
        ".org.matrix.msc3930.rule.poll_response",
        ".m.rule.call",
        ".m.rule.encrypted_room_one_to_one",
        ".m.rule.room_one_to_one",
        ".m.rule.message",
        ".m.rule.encrypted",
        ".org.matrix.msc3930.rule.poll_start_one_to_one",
        ".org.matrix.msc3930.rule.poll_start",
        ".org.matrix.msc3930.rule.poll_end_one_to_one",
        ".org.matrix.msc3930.rule.poll_end",
    ];
    assert_eq!(ids(BodyMentions::Ignored), usual);
    let mut with_bodies: Vec<&str> = usual.to_vec();
    with_bodies.insert(5, ".m.rule.contains_display_name");
    with_bodies.insert(7, ".m.rule.roomnotif");
    with_bodies.insert(13, ".m.rule.contains_user_name");
    assert_eq!(ids(BodyMentions::Notify), with_bodies);
}

#[test]
fn a_predefined_rule_names_its_owner() {
    let rules = OwnRules::default();
    let get = |kind, id| {
        let rule = rules.get(kind, id, user_id!("@alice:x"), BodyMentions::Notify);
        serde_json::to_value(rule.expect("a rule")).expect("JSON")
    };
    assert_eq!(
        get(Kind::Override, ".m.rule.is_user_mention"),
        json!({
            "rule_id": ".m.rule.is_user_mention", "default": true, "enabled": true,
            "conditions": [
                { "kind": "event_property_contains", "key": "content.m\\.mentions.user_ids", "value": "@alice:x" },
            ],
            "actions": ["notify", { "set_tweak": "sound", "value": "default" }, { "set_tweak": "highlight" }],
        })
    );
    assert_eq!(
        get(Kind::Content, ".m.rule.contains_user_name")["pattern"],
        "alice"
    );
}

#[test]
fn a_rule_is_kept_as_it_was_sent() {
    let mut rules = OwnRules::default();
    let actions = vec![
        json!("dont_notify"),
        json!("org.example.unknown"),
        json!({ "set_tweak": "sound", "value": { "a": [1, null] } }),
        json!({ "org.example": true }),
    ];
    let conditions = vec![json!({ "kind": "org.example.unknown", "x": [1] })];
    let rule = NewRule {
        rule_id: "o".to_owned(),
        conditions: Some(conditions.clone()),
        actions: actions.clone(),
        ..NewRule::default()
    };
    rules.set(Kind::Override, rule, None, None).expect("set");
    let text = serde_json::to_string(&rules).expect("JSON");
    let rules: OwnRules = serde_json::from_str(&text).expect("rules");
    let kept = rules
        .get(Kind::Override, "o", user_id!("@a:x"), BodyMentions::Ignored)
        .expect("a rule");
    assert_eq!((kept.actions, kept.conditions), (actions, Some(conditions)));
}

fn keyword(id: &str) -> NewRule {
    NewRule {
        rule_id: id.to_owned(),
        pattern: Some(id.to_owned()),
        ..NewRule::default()
    }
}

#[test]
fn rules_go_where_they_are_put() {
    let mut rules = OwnRules::default();
    let mut put = |id: &str, after: Option<&str>, before: Option<&str>| {
        rules.set(Kind::Content, keyword(id), after, before)?;
        let all = rules.all(user_id!("@a:x"), BodyMentions::Ignored);
        let ids = all[&Kind::Content].iter().map(|rule| rule.rule_id.clone());
        Ok::<_, ChangeError>(ids.collect::<String>())
    };
    assert_eq!(put("a", None, None).as_deref(), Ok("a"));
    assert_eq!(put("b", None, None).as_deref(), Ok("ba"));
    assert_eq!(put("c", Some("b"), None).as_deref(), Ok("bca"));
    assert_eq!(put("d", None, Some("a")).as_deref(), Ok("bcda"));
    assert_eq!(put("c", None, None).as_deref(), Ok("bcda"));
    assert_eq!(put("b", Some("a"), None).as_deref(), Ok("cdab"));
    assert_eq!(put("b", Some("c"), Some("a")).as_deref(), Ok("cdba"));
    let unknown = |id: &str| Err(ChangeError::UnknownNeighbor(id.to_owned()));
    assert_eq!(put("e", Some("x"), None), unknown("x"));
    assert_eq!(put("a", None, Some("a")), unknown("a"));
    assert!(put("e", Some(".m.rule.contains_user_name"), None).is_err());
}

#[test]
fn what_is_no_rule_is_refused() {
    let mut rules = OwnRules::default();
    for (kind, id) in [
        (Kind::Content, ""),
        (Kind::Content, ".dot"),
        (Kind::Content, "a/b"),
        (Kind::Override, r"a\b"),
        (Kind::Room, "room"),
        (Kind::Room, "@a:x"),
        (Kind::Sender, "!r:x"),
    ] {
        let refused = rules.set(kind, keyword(id), None, None);
        assert!(matches!(refused, Err(ChangeError::Invalid(_))), "{id}");
    }
    let no_pattern = NewRule {
        rule_id: "a".to_owned(),
        ..NewRule::default()
    };
    assert_eq!(
        rules.set(Kind::Content, no_pattern.clone(), None, None),
        Err(ChangeError::Missing("pattern"))
    );
    for broken in [
        NewRule {
            conditions: Some(vec![json!({ "key": "x" })]),
            ..no_pattern.clone()
        },
        NewRule {
            actions: vec![json!(1)],
            ..no_pattern
        },
    ] {
        let refused = rules.set(Kind::Override, broken, None, None);
        assert!(matches!(refused, Err(ChangeError::Invalid(_))));
    }
    let master = rules.remove(Kind::Override, ".m.rule.master", BodyMentions::Ignored);
    assert!(matches!(master, Err(ChangeError::Invalid(_))));
    let hidden = rules.enable(
        Kind::Override,
        ".m.rule.roomnotif",
        false,
        BodyMentions::Ignored,
    );
    assert_eq!(hidden, Err(ChangeError::NotFound));
}

#[test]
fn what_is_ones_own_of_a_whole_ruleset_is_kept() {
    let mut rules = OwnRules::default();
    let rule = NewRule {
        rule_id: "a".to_owned(),
        pattern: Some("rain".to_owned()),
        actions: vec![json!("notify")],
        ..NewRule::default()
    };
    rules
        .set(Kind::Content, rule, None, None)
        .expect("a good rule");
    let off = rules.enable(
        Kind::Override,
        ".m.rule.master",
        true,
        BodyMentions::Ignored,
    );
    off.expect("a predefined rule");

    let all = rules.all(user_id!("@a:b.org"), BodyMentions::Ignored);

    assert_eq!(OwnRules::of_all(all), rules);
}
