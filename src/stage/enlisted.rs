//! The partitions that the inputs have: read at the start, and again when one shows up that was not there.

use tokio::sync::Mutex;

use super::input_topic::InputTopic;
use crate::{
    detect::Roster,
    event::{ALERTS, InputName},
    log::{Log, LogError},
};

/// Shared by the detect lines of a process.
pub struct Enlisted {
    /// Each topic of events, with its input and the number of its partition 0.
    topics: Vec<(String, InputName, u32)>,
    signals_partitions: u32,
    roster: Mutex<Roster>,
}

impl Enlisted {
    pub fn new(inputs: &[InputTopic], signals_partitions: u32) -> Self {
        let topic = |of: &InputTopic| (of.topic.clone(), InputName::from(of.input.name.as_str()), of.first_partition);
        Enlisted { topics: inputs.iter().map(topic).collect(), signals_partitions, roster: Mutex::default() }
    }

    /// Every input with its partitions, as they are now, and the alerts.
    ///
    /// # Errors
    /// When the log can't be asked.
    pub async fn read(&self, log: &dyn Log) -> Result<Roster, LogError> {
        let mut roster = Roster::default();
        for (topic, input, first) in &self.topics {
            let numbers = (0..log.partitions(topic).await?).map(|partition| first + partition);
            roster.inputs.entry(input.clone()).or_default().extend(numbers);
        }
        // The alerts of each signals partition are a source to the rules on alerts.
        roster.inputs.insert(ALERTS.into(), (0..self.signals_partitions).collect());
        *self.roster.lock().await = roster.clone();
        Ok(roster)
    }

    /// The roster with a partition that it lacked; `None` where it has it.
    ///
    /// # Errors
    /// When the log can't be asked.
    pub async fn add(&self, log: &dyn Log, input: &InputName, partition: u32) -> Result<Option<Roster>, LogError> {
        let is_known =
            self.roster.lock().await.inputs.get(input).is_some_and(|partitions| partitions.contains(&partition));
        if is_known { Ok(None) } else { self.read(log).await.map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        log::{Cleanup, TopicSpec, memory::MemoryLog},
        stage::{Topics, input_topic::input_topics},
    };

    #[tokio::test]
    async fn a_partition_that_came_later_makes_a_new_roster() {
        let (config, topics) = (Config::default(), Topics::new("t"));
        let inputs = input_topics(&config, &topics);
        let log_with = async |partitions| {
            let log = MemoryLog::new();
            let cleanup = Cleanup::Delete { age: None, bytes: None };
            let spec = |of: &InputTopic| TopicSpec {
                name: of.topic.clone(),
                partitions,
                cleanup: cleanup.clone(),
                fixed: false,
            };
            log.ensure(&inputs.iter().map(spec).collect::<Vec<_>>()).await.expect("topics");
            log
        };
        let enlisted = Enlisted::new(&inputs, 2);
        let input: InputName = inputs[0].input.name.as_str().into();
        let before = enlisted.read(&*log_with(1).await).await.expect("a roster");
        assert_eq!((&before.inputs[&input], &before.inputs[ALERTS]), (&vec![0], &vec![0, 1]));
        let grown = log_with(3).await;
        assert_eq!(enlisted.add(&*grown, &input, 0).await.expect("an answer"), None);
        let after = enlisted.add(&*grown, &input, 2).await.expect("an answer").expect("a roster");
        assert_eq!(after.inputs[&input], [0, 1, 2]);
        assert_eq!(enlisted.add(&*grown, &input, 1).await.expect("an answer"), None);
    }
}
