//! From a topic to the alerts, their sinks and the dead letters; what is received by HTTP; a reload.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    client::DefaultClientContext,
};
use serde_json::{Value, json};

use super::{
    process::{Site, until, values},
    story::{Entry, RULES, Writer, inputs},
};
use crate::kafka::broker::{broker, topic_records};

/// A setting of each topic, and its number of partitions.
async fn topic_settings(names: &[String], setting: &str) -> BTreeMap<String, (String, usize)> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("an admin client");
    let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let described = admin.describe_configs(&resources, &AdminOptions::new()).await.expect("an answer");
    let of = |(name, resource): (&String, _)| {
        let resource: rdkafka::admin::ConfigResource = Result::expect(resource, "the topic exists");
        let value = resource.get(setting).and_then(|entry| entry.value.clone()).expect("it has the setting");
        let partitions = topic_partitions(name);
        (name.clone(), (value, partitions))
    };
    names.iter().zip(described).map(of).collect()
}

fn topic_partitions(name: &str) -> usize {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("a client");
    let metadata = client.fetch_metadata(Some(name), super::process::PATIENCE).expect("metadata");
    metadata.topics()[0].partitions().len()
}

#[tokio::test]
async fn the_topics_of_a_prefix_are_made_as_configured() {
    let site = Site::new(RULES, &inputs("1s"));
    let _server = site.start();
    let names = ["signals", "alerts", "state", "dead-letters", "auth", "web"].map(|name| site.topic(name));
    let policies = topic_settings(&names, "cleanup.policy").await;
    let found: Vec<(&str, usize)> = names.iter().map(|name| (&*policies[name].0, policies[name].1)).collect();
    let wanted = [("delete", 6), ("delete", 6), ("compact", 6), ("delete", 1), ("delete", 2), ("delete", 2)];
    assert_eq!(found, wanted);
    let days = |days: u64| (days * 86_400_000).to_string();
    let kept = topic_settings(&names[..2], "retention.ms").await;
    assert_eq!((&kept[&names[0]].0, &kept[&names[1]].0), (&days(7), &days(90)));
}

#[test]
fn what_can_not_be_decoded_is_a_dead_letter_and_the_rest_goes_on() {
    let site = Site::new(RULES, &inputs("1s"));
    let _server = site.start();
    let bad: [&[u8]; 4] = [b"{\"@timestamp\":\"2024-03-01T00:00:00Z\",", b"\xff\xfe\x00", b"[1, 2]", b""];
    let good = |user: &str| {
        let event = json!({"@timestamp": "2024-03-01T00:00:00Z", "event": {"action": "sudo"},
                           "user": {"name": user, "target": "root"}});
        event.to_string().into_bytes()
    };
    let writer = Writer::new();
    writer.write(&site.topic("auth"), 1, &good("before"));
    bad.iter().for_each(|bytes| writer.write(&site.topic("auth"), 1, bytes));
    writer.write(&site.topic("auth"), 1, &good("after"));
    writer.flush();

    let letters = until("dead letters", || {
        Some(values(&site.topic("dead-letters"))).filter(|letters| letters.len() == bad.len())
    });
    for (letter, (offset, bytes)) in letters.iter().zip((1..).zip(bad)) {
        assert_eq!(
            (&letter["input"], &letter["partition"], &letter["offset"]),
            (&json!("auth"), &json!(1), &json!(offset))
        );
        assert_eq!((&letter["stage"], &letter["raw_base64"]), (&json!("decode"), &json!(STANDARD.encode(bytes))));
        assert!(letter["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{letter}");
    }
    until("both good ones", || {
        let keys: Vec<Value> = site.alerts().iter().map(|alert| alert["key"][0].clone()).collect();
        (keys.len() == 2 && keys.contains(&json!("before")) && keys.contains(&json!("after"))).then_some(())
    });
}

#[test]
fn a_partition_of_nothing_but_broken_records_holds_no_window_back() {
    let site = Site::new(RULES, &inputs("500ms"));
    let _server = site.start();
    let babble = Writer::tell_slowly(&site, vec![Entry::broken("web", 1); 5_000], 2, Duration::from_secs(12));
    let time = "2024-03-01T00:00:00Z";
    let login = json!({"@timestamp": time, "event": {"action": "login", "outcome": "success"},
                       "source": {"ip": "192.0.2.1"}, "user": {"name": "u"}});
    let scan = json!({"@timestamp": time, "event": {"action": "http"}, "source": {"ip": "192.0.2.1"},
                      "http": {"response": {"status_code": 404}}});
    let writer = Writer::new();
    for (input, event) in [("auth", &login), ("web", &scan), ("web", &scan)] {
        writer.write(&site.topic(input), 0, event.to_string().as_bytes());
    }
    writer.flush();
    let alert = until("alert", || site.alerts().pop());
    assert_eq!(alert["rule"]["id"], "scan-and-login");
    assert!(!babble.is_finished(), "the alert came only when the partition had become quiet");
    babble.join().expect("it ends");
}

#[test]
fn what_is_posted_lies_in_a_topic_and_its_alert_in_the_sinks_topic() {
    let rest = "[[input]]\nname = \"posted\"\ntype = \"http\"\n\
                [[sink]]\nname = \"bus\"\ntype = \"kafka\"\ntopic = \"PREFIX.bus\"\n";
    let rules = r#"rule(#{ id: "root", title: "Root", severity: "low", event: |e| e.user.name == "root", by: ["host.name"] });"#;
    let site = Site::new(rules, rest);
    let server = site.start();
    let event =
        json!({"@timestamp": "2024-03-01T00:00:00Z", "host": {"name": "h"}, "user": {"name": "root"}}).to_string();
    assert_eq!(server.post("posted", &format!("{event}\n{event}\n")), json!({"accepted": 2, "rejected": 0}));
    let posted = topic_records(&site.topic("events.posted"));
    let bodies: Vec<&[u8]> = posted.iter().filter_map(|(_, _, _, value)| value.as_deref()).collect();
    assert_eq!(bodies, [event.as_bytes(), event.as_bytes()]);
    assert!(posted.iter().all(|(partition, ..)| *partition == posted[0].0), "a host's events stay in order");

    let alerts = until("alerts on the bus", || {
        // The sink makes its topic with its first alert.
        (topic_partitions(&site.topic("bus")) > 0)
            .then(|| values(&site.topic("bus")))
            .filter(|alerts| alerts.len() == 2)
    });
    assert_eq!(super::story::sorted(&alerts), super::story::sorted(&site.alerts()));
}

#[test]
fn a_reload_keeps_the_windows_of_rules_that_stay() {
    let three = r#"rule(#{ id: "three", title: "Three", severity: "low", events: #{ one: |e| e.kind == "x" },
        by: ["who"], within: "10m", when: |w| w.one.count >= 3 });"#;
    let single = r#"rule(#{ id: "single", title: "Single", severity: "low", event: |e| e.kind == "y", by: ["who"] });"#;
    let site = Site::new(three, &inputs("1s"));
    let server = site.start();
    let writer = Writer::new();
    let say = |kind: &str, second: u32| {
        let event = json!({"@timestamp": format!("2024-03-01T00:00:{second:02}Z"), "kind": kind, "who": "w"});
        writer.write(&site.topic("auth"), 0, event.to_string().as_bytes());
        writer.flush();
    };
    // The rule that is added later has no say in what was read before.
    [("x", 1), ("x", 2), ("y", 3)].iter().for_each(|(kind, second)| say(kind, *second));
    until("three events that were read", || {
        (server.status().sources.iter().map(|source| source.next).sum::<u64>() == 3).then_some(())
    });
    site.write_rules(&format!("{three}\n{single}"));
    server.reload();
    let hash = until("reloaded rules", || server.said("rules reloaded"))["hash"].clone();
    until("the new rule set", || (server.status().rule_set.hash == hash).then_some(()));
    [("x", 4), ("y", 5)].iter().for_each(|(kind, second)| say(kind, *second));
    let alerts = until("alerts of both rules", || Some(site.alerts()).filter(|alerts| alerts.len() == 2));
    let of = |rule: &str| alerts.iter().find(|alert| alert["rule"]["id"] == rule).expect("its alert");
    assert_eq!(of("three")["counts"], json!({"one": 3}));
    assert_eq!(of("three")["trigger"]["offset"], 3);
    assert_eq!(of("single")["trigger"]["offset"], 4);
}
