//! One transaction's way through librdkafka: what is written in it, its commit, its end without effect.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, RDKafkaErrorCode},
    producer::Producer as _,
};
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::{commits, member::Seat, producer::Queue, properties::Use, transactor::TRY_MAX};
use crate::{
    config,
    log::{Commit, Committed, LogError, Record, TopicPartition},
};

/// One call to librdkafka; it goes on with the same call afterwards.
const CALL_MAX: Duration = Duration::from_secs(5);
/// One call to end a transaction without effect: in between, the deliveries have to be served.
const ABORT_CALL_MAX: Duration = Duration::from_millis(20);
/// While deliveries are under way: each of them ends the wait, and so does a fatal error.
const DELIVERY_POLL: Duration = Duration::from_millis(5);

/// A line's commit on its way.
pub(super) struct Step {
    pub records: Vec<Record>,
    pub commits: Vec<Commit>,
    pub answer: oneshot::Sender<Result<(), LogError>>,
}

/// A seat's word for the positions of a transaction.
pub(super) struct Offer {
    /// `None` in a group without members.
    pub seat: Option<Arc<Seat>>,
    /// The seat's place in its group when it was asked; `None` between two generations.
    pub generation: Option<ConsumerGroupMetadata>,
    pub positions: BTreeMap<TopicPartition, Committed>,
}

/// Why a transaction did not take effect.
pub(super) enum Failure {
    /// It was ended without effect and may be tried again as it is.
    Again(String),
    /// It was ended without effect because of these steps.
    Of(Vec<(usize, LogError)>),
    /// The producer can't go on; whether the transaction took effect is not known.
    Broken(LogError),
}

impl Offer {
    /// Into the transaction that is open.
    fn send(&self, queue: &Queue, id: &str) -> Result<(), Failure> {
        let Some(generation) = &self.generation else {
            return Err(Failure::Again("the group gives us no place in it now".to_owned()));
        };
        let owner = self.seat.as_ref().filter(|seat| seat.signs()).map(|_| id);
        let positions = self.positions.iter().map(|(at, committed)| commits::position(at, committed));
        let list = commits::listed(positions, |_| owner).map_err(Failure::Broken)?;
        insist(queue, || queue.native().send_offsets_to_transaction(&list, generation, CALL_MAX))
    }

    /// The transaction took effect.
    pub fn taken(&self) {
        if let Some(seat) = &self.seat {
            self.positions.iter().for_each(|(at, committed)| seat.note_committed(at, committed));
        }
    }
}

/// Everything of a transaction that has begun, up to its commit. The group is asked last, so that whoever has the
/// partitions next finds the records in the log, and waits for their end; with `ask_first` also before there are any.
pub(super) fn write(queue: &Queue, id: &str, steps: &[Step], offers: &[Offer], ask_first: bool) -> Result<(), Failure> {
    // Before anything is written: most of the time it is known by now that it would be in vain.
    if offers.iter().any(|offer| offer.generation.is_none()) {
        return Err(Failure::Again("the group gives us no place in it now".to_owned()));
    }
    if ask_first {
        offers.iter().try_for_each(|offer| offer.send(queue, id))?;
    }
    deliver(queue, steps)?;
    offers.iter().try_for_each(|offer| offer.send(queue, id))?;
    insist(queue, || queue.native().commit_transaction(CALL_MAX))
}

/// Hands the records over and waits until the brokers have them all.
fn deliver(queue: &Queue, steps: &[Step]) -> Result<(), Failure> {
    let mut under_way = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let appended = queue.put(step.records.clone()).map_err(|error| Failure::Of(vec![(index, error)]))?;
        under_way.push((index, appended));
    }
    while !under_way.is_empty() {
        let mut culprits = Vec::new();
        under_way.retain_mut(|(index, appended)| match appended.try_recv() {
            Ok(Ok(_)) => false,
            Ok(Err(error)) => {
                culprits.push((*index, error));
                false
            }
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Closed) => {
                culprits.push((*index, LogError::Closed));
                false
            }
        });
        if let Some((code, why)) = queue.native().client().fatal_error() {
            queue.give_up();
            return Err(Failure::Broken(LogError::Broker(format!("kafka transaction: {code}: {why}"))));
        }
        if !culprits.is_empty() {
            return Err(Failure::Of(culprits));
        }
        if !under_way.is_empty() {
            queue.turn(DELIVERY_POLL);
        }
    }
    Ok(())
}

/// Calls until librdkafka says how it ended, or for too long.
fn insist(queue: &Queue, call: impl Fn() -> Result<(), KafkaError>) -> Result<(), Failure> {
    let deadline = Instant::now() + TRY_MAX;
    loop {
        let Err(error) = call() else { return Ok(()) };
        match &error {
            KafkaError::Transaction(native) if native.is_fatal() => return Err(broken(queue, &error)),
            KafkaError::Transaction(native) if native.txn_requires_abort() => {
                return Err(Failure::Again(error.to_string()));
            }
            KafkaError::Transaction(native) if native.is_retriable() && Instant::now() < deadline => {}
            _ => return Err(broken(queue, &error)),
        }
    }
}

/// Ends the transaction without effect.
pub(super) fn abort(queue: &Queue) -> Result<(), Failure> {
    let native = queue.native();
    let deadline = Instant::now() + TRY_MAX;
    loop {
        let Err(error) = native.abort_transaction(ABORT_CALL_MAX) else { return Ok(()) };
        match &error {
            KafkaError::Transaction(again) if again.is_retriable() && Instant::now() < deadline => {
                // The records that it gave up have to be taken note of.
                queue.turn(DELIVERY_POLL);
            }
            _ => return Err(broken(queue, &error)),
        }
    }
}

pub(super) fn broken(queue: &Queue, error: &KafkaError) -> Failure {
    Failure::Broken(told(queue, error))
}

fn told(queue: &Queue, error: &KafkaError) -> LogError {
    let trouble = queue.native().context().trouble();
    let reason = match error {
        KafkaError::Transaction(native) => format!("kafka transaction: {}", native.string()),
        other => format!("kafka transaction: {other}"),
    };
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed,
        ) => LogError::Refused(reason),
        _ => LogError::Broker(trouble.map_or(reason.clone(), |trouble| format!("{reason} ({trouble})"))),
    }
}

/// Makes the queue's transactional id its own: what a namesake left open is ended without effect, and it can't go on.
pub(super) fn init(queue: &Queue) -> Result<(), LogError> {
    let deadline = Instant::now() + TRY_MAX;
    loop {
        let Err(error) = queue.native().init_transactions(CALL_MAX) else { return Ok(()) };
        match &error {
            KafkaError::Transaction(native) if native.is_retriable() && Instant::now() < deadline => {}
            _ => return Err(told(queue, &error)),
        }
    }
}

/// Ends, without effect, what a process left open that is no more. Blocks.
pub(super) fn fence(kafka: &config::Kafka, id: &str) -> Result<(), LogError> {
    init(&Queue::new(kafka, Use::Transactions(id))?)
}
