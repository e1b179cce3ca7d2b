//! Push rules: what clients see and change.

use http::StatusCode;
use serde_json::{Value, json};

use crate::server::TestServer;

#[tokio::test]
async fn push_rules_are_shown_and_changed() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let all = alice.get("/v3/pushrules/").await.expect_ok();
    let without_slash = alice.get("/v3/pushrules").await.expect_ok();
    assert_eq!(without_slash, all);
    let of_scope = alice.get("/v3/pushrules/global/").await.expect_ok();
    assert_eq!(all["global"], of_scope);
    for kind in ["override", "content", "room", "sender", "underride"] {
        assert!(of_scope[kind].is_array(), "{kind}");
    }

    let rule = "/v3/pushrules/global/sender/@bob:example.org";
    alice
        .put(rule, json!({ "actions": ["notify"] }))
        .await
        .expect_ok();
    alice
        .put(&format!("{rule}/enabled"), json!({ "enabled": false }))
        .await
        .expect_ok();
    alice
        .put(&format!("{rule}/actions"), json!({ "actions": [] }))
        .await
        .expect_ok();
    let shown = alice.get(rule).await.expect_ok();
    let expected = json!({
        "rule_id": "@bob:example.org", "default": false, "enabled": false, "actions": [],
    });
    assert_eq!(shown, expected);
    let enabled = alice.get(&format!("{rule}/enabled")).await.expect_ok();
    assert_eq!(enabled, json!({ "enabled": false }));
    let actions = alice.get(&format!("{rule}/actions")).await.expect_ok();
    assert_eq!(actions, json!({ "actions": [] }));

    alice.delete(rule).await.expect_ok();
    alice
        .get(rule)
        .await
        .expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
    let master = "/v3/pushrules/global/override/.m.rule.master";
    let refused = alice.delete(master).await;
    refused.expect_error(StatusCode::BAD_REQUEST, "M_INVALID_PARAM");
}

#[tokio::test]
async fn predefined_push_rules_are_in_the_first_sync() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let first = alice.sync(None).await;
    let events = first["account_data"]["events"]
        .as_array()
        .expect("account data")
        .clone();
    let rules: Vec<&Value> = events
        .iter()
        .filter(|one| one["type"] == "m.push_rules")
        .collect();
    assert_eq!(rules.len(), 1);
    assert!(rules[0]["content"]["global"]["underride"].is_array());
}

#[tokio::test]
async fn actions_stay_as_they_were_sent() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let rule = format!("/v3/pushrules/global/sender/{}", alice.user_id);
    let actions = json!([
        "dont_notify", "coalesce", "org.example.unknown",
        { "set_tweak": "highlight", "value": true }, { "set_tweak": "highlight" },
        { "set_tweak": "sound", "value": { "file": "x", "volume": 3 } }, { "org.example": [null] },
    ]);
    alice
        .put(&rule, json!({ "actions": actions }))
        .await
        .expect_ok();
    for _ in 0..2 {
        let all = alice.get("/v3/pushrules/").await.expect_ok();
        assert_eq!(all["global"]["sender"][0]["actions"], actions);
    }
    let master = "/v3/pushrules/global/override/.m.rule.master/actions";
    alice
        .put(master, json!({ "actions": actions }))
        .await
        .expect_ok();
    let shown = alice.get(master).await.expect_ok();
    assert_eq!(shown, json!({ "actions": actions }));
}

#[tokio::test]
async fn a_changed_push_rule_wakes_who_waits() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let mut since = alice.sync(None).await["next_batch"].clone();
    let rule = "/v3/pushrules/global/room/!foo:example.com";
    for (path, body) in [
        (rule.to_owned(), json!({ "actions": ["notify"] })),
        (format!("{rule}/enabled"), json!({ "enabled": false })),
        (format!("{rule}/enabled"), json!({ "enabled": true })),
        (
            format!("{rule}/actions"),
            json!({ "actions": ["dont_notify"] }),
        ),
    ] {
        let token = since.as_str().expect("a token").to_owned();
        let wait = format!("/v3/sync?timeout=30000&since={token}");
        let (told, changed) = tokio::join!(alice.get(&wait), alice.put(&path, body));
        changed.expect_ok();
        let told = told.expect_ok();
        let event = &told["account_data"]["events"][0];
        assert_eq!(event["type"], "m.push_rules", "{path}");
        let all = alice.get("/v3/pushrules/").await.expect_ok();
        assert_eq!(event["content"], all);
        since = told["next_batch"].clone();
    }
}

#[tokio::test]
async fn rules_for_polls_have_their_unstable_names() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let sound = json!({ "set_tweak": "sound", "value": "default" });
    for (kind, name, event, is_direct, actions) in [
        ("override", "poll_response", "response", false, json!([])),
        (
            "underride",
            "poll_start_one_to_one",
            "start",
            true,
            json!(["notify", sound]),
        ),
        ("underride", "poll_start", "start", false, json!(["notify"])),
        (
            "underride",
            "poll_end_one_to_one",
            "end",
            true,
            json!(["notify", sound]),
        ),
        ("underride", "poll_end", "end", false, json!(["notify"])),
    ] {
        let id = format!(".org.matrix.msc3930.rule.{name}");
        let pattern = format!("org.matrix.msc3381.poll.{event}");
        let mut conditions =
            vec![json!({ "kind": "event_match", "key": "type", "pattern": pattern })];
        if is_direct {
            conditions.insert(0, json!({ "kind": "room_member_count", "is": "2" }));
        }
        let rule = alice
            .get(&format!("/v3/pushrules/global/{kind}/{id}"))
            .await;
        assert_eq!(
            rule.expect_ok(),
            json!({
                "rule_id": id, "default": true, "enabled": true,
                "conditions": conditions, "actions": actions,
            })
        );
    }
}

#[tokio::test]
async fn rules_that_make_no_sense_are_refused() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let keyword = json!({ "actions": ["notify"], "pattern": "cake" });
    let bad = StatusCode::BAD_REQUEST;
    for (path, body, errcode) in [
        ("bogus/x", json!({ "actions": [] }), "M_INVALID_PARAM"),
        ("room/x", json!({ "actions": [] }), "M_INVALID_PARAM"),
        ("sender/x", json!({ "actions": [] }), "M_INVALID_PARAM"),
        ("content/.cake", keyword.clone(), "M_INVALID_PARAM"),
        ("content/a%2Fb", keyword.clone(), "M_INVALID_PARAM"),
        ("content/a%5Cb", keyword.clone(), "M_INVALID_PARAM"),
        ("content/a", json!({ "actions": [] }), "M_MISSING_PARAM"),
        ("content/a?before=b", keyword.clone(), "M_UNKNOWN"),
        ("content/a?after=b", keyword.clone(), "M_UNKNOWN"),
        ("content/a?after=.m.rule.master", keyword, "M_INVALID_PARAM"),
        ("override/a", json!({ "actions": [1] }), "M_INVALID_PARAM"),
        ("override/a", json!({ "actions": "notify" }), "M_BAD_JSON"),
        (
            "override/a",
            json!({ "actions": [], "conditions": [{ "key": "x" }] }),
            "M_INVALID_PARAM",
        ),
    ] {
        let refused = alice
            .put(&format!("/v3/pushrules/global/{path}"), body)
            .await;
        assert_eq!(refused.body["errcode"], errcode, "{path}");
        refused.expect_error(bad, errcode);
    }
    let no_actions = alice
        .put(
            "/v3/pushrules/global/override/a",
            json!({ "conditions": [] }),
        )
        .await;
    assert_eq!(no_actions.status, bad);
    let missing = StatusCode::NOT_FOUND;
    for path in ["content/x", "postcontent/x", "override/.m.rule.bogus"] {
        let path = format!("/v3/pushrules/global/{path}");
        alice.get(&path).await.expect_error(missing, "M_NOT_FOUND");
        alice
            .delete(&path)
            .await
            .expect_error(missing, "M_NOT_FOUND");
        for (part, body) in [
            ("enabled", json!({ "enabled": true })),
            ("actions", json!({ "actions": [] })),
        ] {
            let path = format!("{path}/{part}");
            alice.get(&path).await.expect_error(missing, "M_NOT_FOUND");
            alice
                .put(&path, body)
                .await
                .expect_error(missing, "M_NOT_FOUND");
        }
    }
}

#[tokio::test]
async fn rules_are_ordered_by_before_and_after() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    for (path, expected) in [
        ("a", vec!["a"]),
        ("b", vec!["b", "a"]),
        ("c?after=b", vec!["b", "c", "a"]),
        ("a?before=c", vec!["b", "a", "c"]),
    ] {
        let path = format!("/v3/pushrules/global/content/{path}");
        let rule = json!({ "actions": ["notify"], "pattern": "cake" });
        alice.put(&path, rule).await.expect_ok();
        let all = alice.get("/v3/pushrules/global/").await.expect_ok();
        let ids: Vec<&str> = all["content"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|rule| rule["rule_id"].as_str())
            .collect();
        assert_eq!(ids, expected);
    }
}
