//! Sinks against real servers on loopback: an HTTP server of this process, an SMTP server of its own.

mod authority;
mod file;
pub mod http_server;
mod mail;
mod smtp_server;
mod topic;
mod webhook;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tripline::{
    alert::{Alert, State},
    config::{Filter, Retry, Sink, SinkKind},
    log::{Log, LogError},
    notify::{Delivered, Receiver, SinkError},
};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn alert(n: u64) -> Alert {
    let alert = json!({
        "id": format!("{n:032x}"), "state": "fired", "rule": {"id": "r1", "title": "t", "version": "1"},
        "title": format!("alert number {n}"), "severity": "high", "time": "2024-01-01T00:00:00Z",
        "key": ["203.0.113.9"], "by": ["source.ip"], "counts": {"failure": 7},
        "trigger": {"input": "auth", "partition": 0, "offset": n, "time": "2024-01-01T00:00:00Z"},
        "late": false, "attack": ["T1110.001"], "tags": [], "suppressed": 0, "evidence": [], "fields": {"user": "jörg"},
    });
    serde_json::from_value(alert).expect("an alert")
}

fn alerts(count: u64) -> Vec<Alert> {
    (0..count).map(alert).collect()
}

fn in_state(state: State) -> Alert {
    Alert { state, ..alert(1) }
}

/// A sink that retries fast: four attempts within a few milliseconds.
fn sink(kind: SinkKind) -> Sink {
    Sink {
        name: "under-test".to_owned(),
        kind,
        filter: Filter::default(),
        timeout: Duration::from_secs(10),
        retry: Retry { attempts_max: 4, backoff_min: Duration::from_millis(1), backoff_max: Duration::from_millis(20) },
    }
}

fn no_log(_: Option<&str>, _: &BTreeMap<String, String>) -> Result<Arc<dyn Log>, LogError> {
    Err(LogError::Broker("this sink needs no log".to_owned()))
}

fn receiver(sink: &Sink) -> Receiver {
    Receiver::new(sink, &no_log).expect("the sink is configured well")
}

fn refusal(sink: &Sink) -> SinkError {
    match Receiver::new(sink, &no_log) {
        Ok(_) => panic!("this sink has to be refused"),
        Err(error) => error,
    }
}

async fn deliver(receiver: &mut Receiver, alerts: &[Alert]) -> Delivered {
    within(receiver.deliver(alerts, &CancellationToken::new())).await
}

/// Delivers, with stops in between, until an attempt has failed; nothing may be decided by then.
async fn deliver_until_it_failed_once(receiver: &mut Receiver, alerts: &[Alert]) {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < PATIENCE, "no attempt failed");
        let stop = CancellationToken::new();
        let delivered = tokio::select! {
            delivered = receiver.deliver(alerts, &stop) => delivered,
            () = cancel_soon(&stop) => unreachable!("it only ends the delivery"),
        };
        assert_eq!(delivered.decided, 0, "{delivered:?}");
        if delivered.failed_attempts > 0 {
            return;
        }
    }
}

async fn cancel_soon(stop: &CancellationToken) {
    tokio::time::sleep(Duration::from_millis(20)).await;
    stop.cancel();
    std::future::pending().await
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it took too long")
}
