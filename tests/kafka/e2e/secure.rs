//! TLS and SCRAM by the configuration alone, and what a wrong password looks like.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    process::{Site, until},
    story::{RULES, Writer, inputs},
};
use crate::kafka::broker::{broker, kafka_with_sasl, unique_prefix};

const WRONG: &str = "wrong-horse-battery";

fn site(password: &str) -> Site {
    let prefix = unique_prefix();
    let kafka = kafka_with_sasl(&prefix, "SCRAM-SHA-512", password);
    let properties: String =
        kafka.properties.iter().map(|(name, value)| format!("\"{name}\" = \"{value}\"\n")).collect();
    let head = format!(
        "[kafka]\nbrokers = [\"{}\"]\ngroup = \"{prefix}\"\ntopic_prefix = \"{prefix}\"\nreplication = 1\n\
         events_partitions = 1\n[kafka.properties]\n{properties}",
        kafka.brokers
    );
    Site::with(prefix, RULES, &[head, inputs("1s")].concat())
}

#[test]
fn an_alert_is_raised_over_tls_with_scram() {
    let site = site(&broker().password);
    let server = site.start();
    let event = json!({"@timestamp": "2024-03-01T00:00:00Z", "event": {"action": "sudo"},
                       "user": {"name": "u", "target": "root"}});
    let writer = Writer::new();
    writer.write(&site.topic("auth"), 0, event.to_string().as_bytes());
    writer.flush();
    let alert = until("alert", || site.alerts().pop());
    assert_eq!(alert["key"], json!(["u"]));
    assert!(!server.output().contains(&broker().password), "the password is shown");
}

#[test]
fn a_wrong_password_ends_the_start_with_the_reason_and_is_not_shown() {
    let site = site(WRONG);
    let begun = Instant::now();
    let mut server = site.spawn(&[]);
    let status = server.ended();
    let output = server.output();
    assert_eq!(status.code(), Some(2), "{output}");
    assert!(begun.elapsed() < Duration::from_secs(40), "it took {:?}", begun.elapsed());
    assert!(output.to_lowercase().contains("authentication"), "{output}");
    assert!(!output.contains(WRONG), "the password is shown");
}
