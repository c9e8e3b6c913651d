//! The Kafka sink against a log that only appends.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::mpsc;
use tripline::{
    alert::{Alert, State},
    config::SinkKind,
    log::{
        Committed, HeadStart, Live, Log, LogError, Member, Membership, Progress, Reader, Record, Start, Subscription,
        TopicPartition, TopicSpec, Transaction,
    },
    notify::Receiver,
};

use super::{alert, deliver, in_state, sink};

/// Keeps what is appended; the first `failures` appends fail.
#[derive(Default)]
struct Appended {
    records: Mutex<Vec<Record>>,
    topics: Mutex<Vec<TopicSpec>>,
    failures: Mutex<Vec<LogError>>,
}

const WHY: &str = "a sink only appends";

impl Log for Appended {
    fn ensure(&self, topics: &[TopicSpec]) -> BoxFuture<'_, Result<(), LogError>> {
        self.topics.lock().unwrap().extend_from_slice(topics);
        async { Ok(()) }.boxed()
    }

    fn partitions(&self, _topic: &str) -> BoxFuture<'_, Result<u32, LogError>> {
        async { Ok(7) }.boxed()
    }

    fn append(&self, records: Vec<Record>) -> BoxFuture<'static, Result<Vec<u64>, LogError>> {
        let result = match self.failures.lock().unwrap().pop() {
            Some(error) => Err(error),
            None => {
                let offsets = vec![0; records.len()];
                self.records.lock().unwrap().extend(records);
                Ok(offsets)
            }
        };
        async { result }.boxed()
    }

    fn commit(&self, _: Transaction) -> BoxFuture<'static, Result<(), LogError>> {
        unreachable!("{WHY}")
    }

    fn join(&self, _: Subscription, _: mpsc::UnboundedSender<Membership>) -> Result<Box<dyn Member>, LogError> {
        unreachable!("{WHY}")
    }

    fn restore<'a>(
        &'a self,
        _: &'a TopicPartition,
        _: HeadStart,
        _: Progress<'a>,
    ) -> BoxFuture<'a, Result<Live, LogError>> {
        unreachable!("{WHY}")
    }

    fn reader(&self, _: &TopicPartition, _: Start) -> BoxFuture<'_, Result<Box<dyn Reader>, LogError>> {
        unreachable!("{WHY}")
    }

    fn offsets(&self, _: &TopicPartition) -> BoxFuture<'_, Result<(u64, u64), LogError>> {
        unreachable!("{WHY}")
    }

    fn committed(&self, _: &str, _: &TopicPartition) -> BoxFuture<'_, Result<Option<Committed>, LogError>> {
        unreachable!("{WHY}")
    }
}

fn receiver(log: &Arc<Appended>) -> Receiver {
    let kind = SinkKind::Kafka {
        brokers: Some("b1:9092".to_owned()),
        topic: "soc.alerts".to_owned(),
        properties: BTreeMap::from([("linger.ms".to_owned(), "5".to_owned())]),
    };
    let open = |brokers: Option<&str>, properties: &BTreeMap<String, String>| -> Result<Arc<dyn Log>, LogError> {
        assert_eq!(brokers, Some("b1:9092"));
        assert_eq!(properties["linger.ms"], "5");
        Ok(log.clone())
    };
    Receiver::new(&sink(kind), &open).unwrap()
}

#[tokio::test]
async fn all_records_of_an_alert_share_a_partition_and_alerts_spread() {
    let log = Arc::new(Appended::default());
    let mut batch: Vec<Alert> = (2..100).map(alert).collect();
    batch.push(in_state(State::Opened));
    batch.push(in_state(State::Closed));
    let delivered = deliver(&mut receiver(&log), &batch).await;
    assert_eq!(delivered.acknowledged(), 100);

    let records = log.records.lock().unwrap();
    let last_two: Vec<u32> = records[98..].iter().map(|record| record.partition).collect();
    assert_eq!(last_two[0], last_two[1]);
    let used: BTreeSet<u32> = records.iter().map(|record| record.partition).collect();
    assert_eq!(used, (0..7).collect());
    for (record, alert) in records.iter().zip(&batch) {
        assert_eq!(record.key.as_deref(), Some(alert.id.as_bytes()));
        assert_eq!(serde_json::from_slice::<Alert>(record.value.as_deref().unwrap()).unwrap(), *alert);
    }
    let topics = log.topics.lock().unwrap();
    assert_eq!((topics.len(), topics[0].name.as_str(), topics[0].fixed), (1, "soc.alerts", false));
}

#[tokio::test]
async fn brokers_that_fail_are_asked_again() {
    let log = Arc::new(Appended::default());
    *log.failures.lock().unwrap() =
        vec![LogError::NoTopic("soc.alerts".to_owned()), LogError::Broker("all brokers down".to_owned())];
    let delivered = deliver(&mut receiver(&log), &[alert(1), alert(2)]).await;
    assert_eq!((delivered.acknowledged(), delivered.failed_attempts), (2, 2));
    assert!(log.topics.lock().unwrap().len() > 1, "the topic is ensured again after it was missing");
}

#[tokio::test]
async fn without_a_log_there_is_no_receiver() {
    let kind = SinkKind::Kafka { brokers: None, topic: "t".to_owned(), properties: BTreeMap::new() };
    let error = super::refusal(&sink(kind)).to_string();
    assert!(error.starts_with("sink under-test: "), "{error}");
}
