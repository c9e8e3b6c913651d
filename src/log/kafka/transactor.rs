//! Commits in Kafka transactions: the records of a step and the position that they follow from take effect together.
//!
//! A few transactional producers for the process, each with a thread of its own: its writers. What the lines of a
//! writer commit while a transaction of it is under way, and for a moment after, goes together into its next one, so
//! the number of lines does not multiply transactions. What follows from a partition is always the same writer's, so
//! that it takes effect in the order of the line's steps whatever the other writers do. How many there are, and why:
//! [`WRITERS`].
//!
//! A former owner is fenced twice: its commit of offsets names a generation that the group has left, and the new owner
//! ends what it left open by the writer's transactional id (see [`super::member`]), instead of waiting for the broker
//! to. For that, which partitions are in a transaction that is not known to have ended is noted in [`Signature`]; and a
//! writer that was fenced writes nothing more before the group has taken its word: nobody would end that.
//!
//! A step whose fate is not known is never tried again here: its line starts anew from what the log says.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use rdkafka::producer::Producer as _;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use super::{
    Seats,
    context::lock,
    producer::Queue,
    properties::Use,
    signature::{Signature, Signatures, WRITERS},
    transaction::{self, Failure, Offer, Step},
};
use crate::{
    config,
    log::{LogError, Transaction},
};

/// How long a step is tried before its line hears that it failed: group and coordinators may be on the move.
pub(super) const TRY_MAX: Duration = Duration::from_secs(15);
const TRY_PAUSE: Duration = Duration::from_millis(20);
/// Between two tries to begin anew after a failure.
const RENEW_PAUSE: Duration = Duration::from_millis(500);

/// From the end of a writer's transaction to the begin of its next. The brokers are at its markers for some milliseconds
/// after they have agreed to its end; who begins in them is told to try again, which librdkafka does 20 ms later. At 100
/// to 200 alerts a second and 32 partitions on 2 busy cores with the broker, one writer, begun at once: p99 of the latency
/// 260 to 420 ms; with the pause, in which steps gather: 120 to 200 ms. With several writers longer pauses gained nothing.
const GATHER: Duration = Duration::from_millis(10);

/// Records that one transaction takes from waiting steps; a single larger step is taken whole.
const RECORDS_MAX: usize = 50_000;

pub(super) struct Transactor {
    kafka: config::Kafka,
    seats: Arc<Seats>,
    /// To the thread of each writer, from its first step on.
    writers: [Mutex<Option<mpsc::Sender<Step>>>; WRITERS],
}

impl Transactor {
    /// Nothing is started before the first step, or [`Transactor::start`].
    pub fn new(kafka: &config::Kafka, seats: &Arc<Seats>) -> Transactor {
        Transactor { kafka: kafka.clone(), seats: seats.clone(), writers: Default::default() }
    }

    /// Queues the step now; resolves when it has taken effect, or when it is known or to be feared that it has not.
    pub fn commit(&self, transaction: Transaction) -> impl Future<Output = Result<(), LogError>> + Send + 'static {
        let Transaction { mut records, state, commits } = transaction;
        records.extend(state);
        let (answer, answered) = oneshot::channel();
        let queued = self.queue(Step { records, commits, answer });
        async {
            queued?;
            answered.await.unwrap_or(Err(LogError::Closed))
        }
    }

    fn queue(&self, step: Step) -> Result<(), LogError> {
        let number = step.commits.first().map_or(0, |commit| Signatures::writer_of(commit.partition));
        self.writer(number)?.send(step).map_err(|_| LogError::Closed)
    }

    /// Starts every writer, so that no step waits for that: brokers may take half a second to let an id begin.
    pub fn start(&self) -> Result<(), LogError> {
        (0..WRITERS).try_for_each(|number| self.writer(number).map(drop))
    }

    fn writer(&self, number: usize) -> Result<mpsc::Sender<Step>, LogError> {
        let mut started = lock(&self.writers[number]);
        if let Some(steps) = &*started {
            return Ok(steps.clone());
        }
        let (steps, receiver) = mpsc::channel();
        let (kafka, seats) = (self.kafka.clone(), self.seats.clone());
        let writer = Writer { number, kafka, seats, queue: None, unended: false, is_new: true };
        thread::Builder::new()
            .name(format!("kafka-writer-{number}"))
            .spawn(move || writer.serve(&receiver))
            .map_err(|error| LogError::Broker(format!("no thread for kafka transactions: {error}")))?;
        Ok(started.insert(steps).clone())
    }
}

/// A thread and its producer.
struct Writer {
    /// Below [`WRITERS`].
    number: usize,
    kafka: config::Kafka,
    seats: Arc<Seats>,
    queue: Option<Queue>,
    /// A producer was given up whose transaction may be open: readers wait until its id begins anew.
    unended: bool,
    /// The producer has committed nothing yet. Where one was given up before it, that may be because it was fenced, and
    /// what its process takes to be its own is another's.
    is_new: bool,
}

impl Writer {
    fn serve(mut self, steps: &mpsc::Receiver<Step>) {
        if let Err(error) = self.renew() {
            debug!(%error, "no transactional kafka producer yet; the first step tries again");
        }
        let mut ended = None;
        while let Ok(first) = steps.recv() {
            if let Some(rest) = ended.and_then(|ended: Instant| GATHER.checked_sub(ended.elapsed())) {
                thread::sleep(rest);
            }
            let mut batch = vec![first];
            let mut records = batch[0].records.len();
            while records < RECORDS_MAX
                && let Ok(step) = steps.try_recv()
            {
                records += step.records.len();
                batch.push(step);
            }
            self.commit(batch);
            ended = Some(Instant::now());
            if self.unended && !self.end_unended(steps) {
                return;
            }
        }
    }

    /// Begins anew, so that readers don't wait for what was left open; `false` when nobody needs that any more.
    fn end_unended(&mut self, steps: &mpsc::Receiver<Step>) -> bool {
        while let Err(error) = self.renew() {
            warn!(%error, "an unfinished kafka transaction can't be ended yet");
            thread::sleep(RENEW_PAUSE);
            loop {
                match steps.try_recv() {
                    // Its line waits for the log, and is free to end.
                    Ok(step) => drop(step.answer.send(Err(error.clone()))),
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return false,
                }
            }
        }
        self.signature().end();
        true
    }

    /// Commits the steps together, and answers each.
    fn commit(&mut self, mut steps: Vec<Step>) {
        let deadline = Instant::now() + TRY_MAX;
        loop {
            let Err(failure) = self.try_once(&mut steps) else { return answer_all(steps, &Ok(())) };
            match failure {
                Failure::Again(reason) if Instant::now() < deadline => {
                    debug!(reason, "kafka transaction is tried again");
                    thread::sleep(TRY_PAUSE);
                }
                Failure::Again(reason) => return answer_all(steps, &Err(LogError::Broker(reason))),
                Failure::Of(culprits) => {
                    // From the last on, so that the places of those before stay.
                    for (index, error) in culprits.into_iter().rev() {
                        drop(steps.remove(index).answer.send(Err(error)));
                    }
                }
                Failure::Broken(error) => {
                    warn!(%error, "kafka transaction broke off; its lines go on from what the log says");
                    self.queue = None;
                    self.unended = true;
                    return answer_all(steps, &Err(error));
                }
            }
        }
    }

    /// One transaction of the steps that are whose they should be.
    fn try_once(&mut self, steps: &mut Vec<Step>) -> Result<(), Failure> {
        // Before it is asked who owns what: a seat that gives a partition back sees this, or the asking sees that.
        self.signature().begin(steps);
        let tried = self.offers(steps).map_err(|error| Failure::Again(error.to_string())).and_then(|offers| {
            if !steps.is_empty() {
                self.attempt(steps, &offers)?;
                offers.iter().for_each(Offer::taken);
            }
            Ok(())
        });
        if !matches!(tried, Err(Failure::Broken(_))) {
            self.signature().end();
        }
        tried
    }

    /// Asks the seats for their word; steps that none of them has the partitions of are answered and taken out.
    fn offers(&self, steps: &mut Vec<Step>) -> Result<Vec<Offer>, LogError> {
        let mut offers: BTreeMap<String, Vec<Offer>> = BTreeMap::new();
        for commit in steps.iter().flat_map(|step| &step.commits) {
            if !offers.contains_key(&commit.group) {
                // The generations are taken before it is asked who owns what: who loses a partition afterwards is in
                // another one by then, and the broker refuses.
                offers.insert(commit.group.clone(), self.seats.offers(&commit.group)?);
            }
        }
        // Whoever no longer waits for a step has ended, and a line after it may begin any time.
        steps.retain(|step| !step.answer.is_closed());
        for step in std::mem::take(steps) {
            match place(&mut offers, &step) {
                Ok(()) => steps.push(step),
                Err(error) => drop(step.answer.send(Err(error))),
            }
        }
        Ok(offers.into_values().flatten().filter(|offer| !offer.positions.is_empty()).collect())
    }

    fn attempt(&mut self, steps: &[Step], offers: &[Offer]) -> Result<(), Failure> {
        if self.queue.is_none() {
            // Nothing of this process is open yet.
            self.renew().map_err(|error| Failure::Again(error.to_string()))?;
        }
        let Some(queue) = &self.queue else { return Err(Failure::Again("no producer".to_owned())) };
        queue.native().begin_transaction().map_err(|error| transaction::broken(queue, &error))?;
        match transaction::write(queue, &self.signature().id, steps, offers, self.is_new) {
            Ok(()) => {
                self.is_new = false;
                Ok(())
            }
            Err(Failure::Broken(error)) => Err(Failure::Broken(error)),
            Err(failure) => {
                transaction::abort(queue)?;
                Err(failure)
            }
        }
    }

    fn signature(&self) -> &Signature {
        self.seats.signatures().of_writer(self.number)
    }

    /// A producer whose id has nothing open, and whose namesakes of before are fenced.
    fn renew(&mut self) -> Result<(), LogError> {
        let queue = Queue::new(&self.kafka, Use::Transactions(&self.signature().id))?;
        transaction::init(&queue)?;
        self.queue = Some(queue);
        (self.unended, self.is_new) = (false, true);
        Ok(())
    }
}

/// Adds a step's positions to the words of the seats that own them, or to none.
fn place(offers: &mut BTreeMap<String, Vec<Offer>>, step: &Step) -> Result<(), LogError> {
    let mut places = Vec::with_capacity(step.commits.len());
    for commit in &step.commits {
        let covers = |offer: &Offer| offer.seat.as_ref().is_none_or(|seat| seat.may_commit(&commit.at()));
        let place = offers.get(&commit.group).and_then(|of_group| of_group.iter().position(covers));
        let not_ours = || LogError::Fenced(format!("{}/{} is not ours any more", commit.topic, commit.partition));
        places.push(place.ok_or_else(not_ours)?);
    }
    for (commit, place) in step.commits.iter().zip(places) {
        if let Some(offer) = offers.get_mut(&commit.group).and_then(|of_group| of_group.get_mut(place)) {
            offer.positions.insert(commit.at(), commit.committed.clone());
        }
    }
    Ok(())
}

fn answer_all(steps: Vec<Step>, outcome: &Result<(), LogError>) {
    // Whoever asked may be gone.
    steps.into_iter().for_each(|step| drop(step.answer.send(outcome.clone())));
}
