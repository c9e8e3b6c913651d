//! How a line makes a partition its own: from the last owner's commit, under a higher epoch.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, time::Instant};

use super::{DetectLine, Detecting};
use crate::{
    decode::{Decoder, Timing},
    detect::{Detector, Source, SourceState},
    event::{InputName, Timestamp},
    log::{Assignment, Commit, Committed, LogError, Start, TopicPartition, Transaction},
    rule::RuleSet,
    stage::{
        input_topic::InputTopic,
        messages::{Ended, Order},
        seat::Seat,
    },
};

/// What a line commits beside the offset.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    watermark: Option<Timestamp>,
    epoch: u64,
    rules: String,
    /// Of the rules, where they were passed round.
    #[serde(default)]
    revision: u64,
}

impl DetectLine {
    /// Makes the partition this line's: from here on the lines before it are of a lower epoch.
    pub(super) async fn take_over(
        shared: Arc<Detecting>,
        topic: &InputTopic,
        assignment: Assignment,
        seat: Seat,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Result<Self, Ended> {
        let Assignment { at, committed, mut reader } = assignment;
        let memory = match &committed {
            None => Memory::default(),
            Some(Committed { metadata, .. }) => serde_json::from_str(metadata)
                .map_err(|error| Ended::Halted(format!("the commit of {}/{}: {error}", at.topic, at.partition)))?,
        };
        let input = topic.input.clone();
        let name: InputName = input.name.as_str().into();
        let partition = topic.first_partition + at.partition;
        let state = SourceState {
            input: name.clone(),
            partition,
            lateness: input.lateness,
            watermark: memory.watermark,
            epoch: memory.epoch + 1,
            max_clock_skew: Some(input.max_clock_skew),
        };
        let decoder = Decoder::new(&input.decode_spec(), shared.config.detect.decode_limits(), Timing::Live)
            .map_err(|error| Ended::Halted(format!("input {}: {error}", input.name)))?;
        let mut seat = seat;
        let rules = rules_from(&mut seat, memory.revision, orders).await?;
        shared.enlist(&name, partition).await?;
        let detector = Detector::new(rules.clone(), shared.config.detect.quarantine_after);
        let now = Instant::now();
        let next = match &committed {
            Some(committed) => committed.next,
            None => first_offset(&shared, &at, topic.start()).await?,
        };
        let backlog_end = reader.end().await?;
        let mut line = DetectLine {
            source: Source::new(state, decoder, detector),
            place: shared.alignment.take_place(&name, partition),
            rules,
            epoch: memory.epoch + 1,
            next,
            committed: next,
            committed_at: now,
            marked: None,
            marked_at: now,
            quiet_since: now,
            backlog_end,
            behind_at: None,
            idle_until: None,
            shared,
            input,
            name,
            partition,
            at,
            reader,
            seat,
        };
        line.commit().await?;
        line.reader.seek(next).await?;
        line.shared.telemetry.source_taken(&line.name, line.partition, &line.at);
        line.announce().await?;
        Ok(line)
    }

    pub(super) async fn commit(&mut self) -> Result<(), LogError> {
        let memory = Memory {
            watermark: self.source.watermark(),
            epoch: self.epoch,
            rules: self.rules.hash.clone(),
            revision: revision_of(&self.rules),
        };
        let commit = Commit {
            group: self.shared.group.clone(),
            topic: self.at.topic.clone(),
            partition: self.at.partition,
            committed: Committed {
                next: self.next,
                metadata: serde_json::to_string(&memory).expect("numbers and texts are JSON"),
            },
        };
        self.shared.log.commit(Transaction { commits: vec![commit], ..Transaction::default() }).await?;
        self.committed = self.next;
        self.committed_at = Instant::now();
        Ok(())
    }
}

/// The rules to run; waits until they are at least as new as those that the partition's former line ran.
async fn rules_from(
    seat: &mut Seat,
    revision: u64,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Result<Arc<RuleSet>, Ended> {
    loop {
        let rules = seat.rules.borrow_and_update().clone();
        if rules.bundle.as_ref().is_none_or(|bundle| bundle.revision >= revision) {
            return Ok(rules);
        }
        tokio::select! {
            _ = orders.recv() => return Err(Ended::Stopped),
            changed = seat.rules.changed() => changed.map_err(|_| Ended::Stopped)?,
        }
    }
}

/// 0 where the rules are nobody's bundle.
fn revision_of(rules: &RuleSet) -> u64 {
    rules.bundle.as_ref().map_or(0, |bundle| bundle.revision)
}

async fn first_offset(shared: &Detecting, at: &TopicPartition, start: Start) -> Result<u64, LogError> {
    let (first, end) = shared.log.offsets(at).await?;
    Ok(match start {
        Start::Earliest => first,
        Start::Latest => end,
    })
}
