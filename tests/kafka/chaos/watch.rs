//! Watches the alerts topic as any reader of committed records does, and notes when each record could be read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use serde_json::Value;

use crate::kafka::e2e::process::until;

/// The records that were seen.
#[derive(Default)]
struct Seen {
    /// Of each partition, in order: offset and time of arrival.
    arrivals: BTreeMap<u32, Vec<(u64, Instant)>>,
    ids: BTreeSet<String>,
}

pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
    asks: BaseConsumer,
    topic: String,
}

impl Watch {
    pub fn start(bootstrap: &str, topic: &str, partitions: u32) -> Watch {
        let client = || -> BaseConsumer {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", bootstrap).set("group.id", "chaos-watch");
            config.set("enable.auto.commit", "false").set("fetch.wait.max.ms", "50");
            config.create().expect("a consumer")
        };
        let mut all = TopicPartitionList::new();
        for partition in 0..partitions {
            all.add_partition_offset(topic, partition as i32, Offset::Beginning).expect("a valid offset");
        }
        let reads = client();
        reads.assign(&all).expect("assignment");
        let (seen, over) = (Arc::<Mutex<Seen>>::default(), Arc::new(AtomicBool::new(false)));
        let (noted, ended) = (seen.clone(), over.clone());
        thread::spawn(move || {
            while !ended.load(Ordering::Acquire) {
                // A broker that is away is what this is about.
                let Some(Ok(message)) = reads.poll(Duration::from_millis(100)) else { continue };
                let alert: Value = serde_json::from_slice(message.payload().unwrap_or_default()).expect("an alert");
                let mut seen = noted.lock().unwrap_or_else(PoisonError::into_inner);
                let arrival = (message.offset() as u64, Instant::now());
                seen.arrivals.entry(message.partition() as u32).or_default().push(arrival);
                seen.ids.insert(alert["id"].as_str().expect("an id").to_owned());
            }
        });
        Watch { seen, over, asks: client(), topic: topic.to_owned() }
    }

    /// Where each of these partitions ends now, open transactions included.
    pub fn ends(&self, partitions: &BTreeSet<u32>) -> BTreeMap<u32, u64> {
        let ask = |partition: u32| self.asks.fetch_watermarks(&self.topic, partition as i32, Duration::from_secs(5));
        // The broker may just be back.
        let end = |partition: u32| until("answer of the broker", || ask(partition).ok()).1 as u64;
        partitions.iter().map(|partition| (*partition, end(*partition))).collect()
    }

    /// How long after `since` the first record at or after its end came, for each partition that has one by now.
    pub fn first_after(&self, ends: &BTreeMap<u32, u64>, since: Instant) -> BTreeMap<u32, Duration> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let first = |(partition, end): (&u32, &u64)| {
            let arrivals = seen.arrivals.get(partition)?;
            let (_, at) = arrivals.iter().find(|(offset, _)| offset >= end)?;
            Some((*partition, at.saturating_duration_since(since)))
        };
        ends.iter().filter_map(first).collect()
    }

    /// How many of `ids` were not seen yet.
    pub fn missing(&self, ids: &BTreeSet<String>) -> usize {
        ids.difference(&self.seen.lock().unwrap_or_else(PoisonError::into_inner).ids).count()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}
