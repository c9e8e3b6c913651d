//! Partitions that this process follows without owning them: one client fetches them all, each into a lane of its own.
//!
//! The client has no seat in any group and commits nothing. It sees committed records only.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use super::{
    client::{self, Client},
    context::{Context, lock},
    lane::Lane,
    probe::Probe,
    properties::Use,
    reader::KafkaReader,
    topics,
};
use crate::{
    config,
    log::{LogError, TopicPartition},
};

pub(super) struct Followers {
    kafka: config::Kafka,
    probe: Arc<Probe>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Started with the first partition that is followed.
    client: Option<Client>,
    /// Every lane there ever was: a partition that is followed again gets its old one, because librdkafka's queue is
    /// the same.
    lanes: HashMap<TopicPartition, Arc<Lane>>,
    /// Topics that keep removals for long enough.
    checked: HashSet<String>,
}

impl Followers {
    pub fn new(kafka: &config::Kafka, probe: &Arc<Probe>) -> Followers {
        Followers { kafka: kafka.clone(), probe: probe.clone(), state: Mutex::default() }
    }

    /// A reader of the partition from its first record; it ends the fetching when it is dropped. A partition has one at a
    /// time.
    ///
    /// # Errors
    /// Where removals go sooner than the log promises, by the topic's setting when it was followed first.
    pub async fn follow(self: &Arc<Self>, at: &TopicPartition) -> Result<KafkaReader, LogError> {
        self.check(&at.topic).await?;
        let (first, _) = self.probe.offsets(at).await?;
        let (followers, asked) = (self.clone(), at.clone());
        let lane = tokio::task::spawn_blocking(move || followers.lane(&asked));
        let (client, lane) = lane.await.map_err(|_| LogError::Closed)??;
        let ticket = lane.open(first);
        // Before the fetching begins, so that whatever becomes of this call ends it.
        let reader = KafkaReader::following(lane, ticket, client.clone());
        client.assign(at, first).await?;
        Ok(reader)
    }

    async fn check(&self, topic: &str) -> Result<(), LogError> {
        if !lock(&self.state).checked.contains(topic) {
            topics::check_removals(&self.kafka, topic).await?;
            lock(&self.state).checked.insert(topic.to_owned());
        }
        Ok(())
    }

    /// The partition's lane and the client that fetches it. Blocks.
    fn lane(&self, at: &TopicPartition) -> Result<(Client, Arc<Lane>), LogError> {
        let mut state = lock(&self.state);
        let client = match &state.client {
            Some(client) => client.clone(),
            None => {
                // A group's name is asked for by librdkafka; no seat is taken in it and nothing is committed.
                let group = format!("{}-reader", self.kafka.group);
                let purpose = Use::Followers(&group);
                client::start(&self.kafka, purpose, Context::default(), |_, _| client::Start::Idle)?
            }
        };
        state.client = Some(client.clone());
        if let Some(lane) = state.lanes.get(at) {
            return Ok((client, lane.clone()));
        }
        let no_partition = || LogError::NoPartition { topic: at.topic.clone(), partition: at.partition };
        let lane = Lane::new(at, &client, &client.consumer()?, &self.probe).ok_or_else(no_partition)?;
        let lane = Arc::new(lane);
        state.lanes.insert(at.clone(), lane.clone());
        Ok((client, lane))
    }
}

impl Drop for Followers {
    fn drop(&mut self) {
        let state = lock(&self.state);
        state.lanes.values().for_each(|lane| lane.close());
        state.client.iter().for_each(Client::close_later);
    }
}
