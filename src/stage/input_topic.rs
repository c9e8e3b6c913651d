//! The topics that hold events, and how their partitions are numbered within an input.

use super::topics::Topics;
use crate::{
    config::{self, Config, StartAt},
    log::Start,
};

/// Partitions of one input's k-th topic are numbered from k times this.
const PARTITIONS_PER_TOPIC_MAX: u32 = 1 << 16;

/// A topic of an input: its subscription, and the number of its partition 0.
pub struct InputTopic {
    pub input: config::Input,
    pub topic: String,
    pub first_partition: u32,
}

/// Every topic of events that the configuration names.
pub fn input_topics(config: &Config, topics: &Topics) -> Vec<InputTopic> {
    let of_input = |input: &config::Input| {
        let named = topics.of_input(input);
        let input = input.clone();
        (0..).zip(named).map(move |(at, topic)| InputTopic {
            input: input.clone(),
            topic,
            first_partition: at * PARTITIONS_PER_TOPIC_MAX,
        })
    };
    config.inputs.iter().flat_map(of_input).collect()
}

impl InputTopic {
    /// Where the first start of the group begins.
    pub fn start(&self) -> Start {
        match self.input.start {
            StartAt::Earliest => Start::Earliest,
            StartAt::Latest => Start::Latest,
        }
    }
}
