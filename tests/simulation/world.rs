//! Processes, the partitions that they own, and what comes of it.

mod harm;
mod pushes;
mod setting;

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    ops::AddAssign,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, future::LocalBoxFuture};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::sync::{mpsc, watch};
use tripline::{
    alert::Alert,
    clock::Clock,
    config::Config,
    correlate::Snapshot,
    event::Timestamp,
    log::{Assignment, Log, Record, Start, TopicPartition},
    rule::RuleSet,
    stage::{AtWork, Ended, Lines, Order, Seat, Stage, Stages, Surroundings, no_hook},
    telemetry::Telemetry,
};

use self::{
    pushes::Pushes,
    setting::{TOLD, config, receiver, topics, values},
};
use super::{
    engine,
    tasks::{TaskId, Tasks},
    wire::{ProcessId, Wire},
};
use crate::{
    oracle,
    properties::{AFTERMATH, Case, INPUTS, compare},
};

/// A run that takes more turns than this stands still.
const TURNS_MAX: u64 = 300_000;

/// In so many of the runs rules are passed round.
const PUSHED_SHARE: f64 = 0.25;

/// What came of one run, or of several.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Told {
    pub alerts: u64,
    pub turns: u64,
    pub crashes: u64,
    /// Partitions that went from one line to another, gracefully or not.
    pub moves: u64,
}

impl AddAssign for Told {
    fn add_assign(&mut self, other: Told) {
        self.alerts += other.alerts;
        self.turns += other.turns;
        self.crashes += other.crashes;
        self.moves += other.moves;
    }
}

/// Runs a case under a seed; panics where the alerts are not the oracle's.
pub fn simulate(seed: u64, case: &Case) -> Told {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut world = World::new(seed, case).await;
        world.live(case).await;
        world.check(case).await
    })
}

struct World {
    random: StdRng,
    config: Arc<Config>,
    wire: Arc<Wire>,
    /// The newest rules.
    rules: Arc<RuleSet>,
    /// Where they come from, in the runs in which they are pushed.
    pushes: Option<Pushes>,
    processes: BTreeMap<ProcessId, Process>,
    processes_ever: ProcessId,
    tasks: Tasks<Done>,
    lines: BTreeMap<TaskId, Line>,
    /// Who reads what; a partition without entry is free.
    owners: BTreeMap<(Role, TopicPartition), TaskId>,
    told: Told,
}

/// A stage: detect, correlate or notify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Detect,
    Correlate,
    Notify,
}

struct Process {
    log: Arc<dyn Log>,
    rules: watch::Sender<Arc<RuleSet>>,
    /// Nothing while it starts.
    lines: Rc<OnceCell<Lines>>,
}

struct Line {
    process: ProcessId,
    role: Role,
    at: TopicPartition,
    orders: mpsc::UnboundedSender<Order>,
}

enum Done {
    Started,
    Line(Ended),
}

impl World {
    async fn new(seed: u64, case: &Case) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let wire = Wire::new(random.random());
        let config = config(&mut random, case);
        wire.log.ensure(&topics().specs(&config)).await.expect("the memory log takes topics");
        let rules = engine::rules(&case.rules).expect("the rules load");
        let pushes = if random.random_bool(PUSHED_SHARE) { Some(Pushes::new(&wire, case).await) } else { None };
        let mut world = World {
            config: Arc::new(config),
            wire,
            rules,
            pushes,
            processes: BTreeMap::new(),
            processes_ever: 0,
            tasks: Tasks::default(),
            lines: BTreeMap::new(),
            owners: BTreeMap::new(),
            told: Told::default(),
            random,
        };
        world.push().await;
        world
    }

    /// Feeds the events and does harm until the harm is used up, then lets time pass everything.
    async fn live(&mut self, case: &Case) {
        let mut records = self.records(case);
        let mut harm = self.random.random_range(0..16);
        self.start_process();
        loop {
            self.turn().await;
            if !records.is_empty() && self.random.random_bool(0.05) {
                let some = self.random.random_range(1..=records.len().min(12));
                let fed: Vec<Record> = records.drain(..some).collect();
                self.wire.log.append(fed).await.expect("the memory log takes records");
            }
            if harm > 0 && self.random.random_bool(0.02) {
                harm -= 1;
                self.do_harm().await;
            }
            let may_be_over = records.is_empty() && harm == 0 && self.told.turns.is_multiple_of(128);
            if may_be_over && self.wire.queues() == 0 && self.has_walked_all().await && self.is_delivered().await {
                return;
            }
        }
    }

    async fn turn(&mut self) {
        self.told.turns += 1;
        assert!(self.told.turns < TURNS_MAX, "nothing goes on: {:?}", self.owners.keys());
        if self.random.random_bool(0.1) {
            self.assign_one().await;
        }
        if self.random.random_bool(0.02) {
            self.tell_one();
        }
        let (awake, queues) = (self.tasks.awake(), self.wire.queues());
        if awake + queues == 0 || self.random.random_bool(0.02) {
            return tokio::time::advance(Duration::from_millis(self.random.random_range(1..30))).await;
        }
        if self.random.random_range(0..awake + queues) >= awake {
            return self.wire.land(self.random.random_range(0..queues));
        }
        if let Some((id, Done::Line(ended))) = self.tasks.turn(&mut self.random) {
            self.line_ended(id, ended);
        }
    }

    fn line_ended(&mut self, id: TaskId, ended: Ended) {
        let line = self.lines.remove(&id).expect("a line");
        self.owners.retain(|_, owner| *owner != id);
        match ended {
            Ended::Stopped | Ended::Fenced | Ended::Waiting(_) => {}
            Ended::Failed(reason) | Ended::Halted(reason) | Ended::Panicked(reason) => {
                panic!("{:?} {:?}: {reason}", line.role, line.at);
            }
        }
    }

    fn start_process(&mut self) {
        self.processes_ever += 1;
        let id = self.processes_ever;
        let log = self.wire.of(id);
        let around = Surroundings {
            config: self.config.clone(),
            log: log.clone(),
            clock: Clock::manual(AFTERMATH * 1_000),
            telemetry: Telemetry::default(),
            hook: no_hook(),
            stages: Stages::default(),
            rulebook: self.pushes.as_ref().map(Pushes::book),
        };
        let lines = Rc::new(OnceCell::new());
        let slot = lines.clone();
        let receiver = receiver(&log);
        self.tasks.add(
            async move {
                match Lines::open(&around, vec![receiver]).await {
                    Ok(opened) => drop(slot.set(opened)),
                    Err(error) => panic!("a process does not start: {error}"),
                }
                Done::Started
            }
            .boxed_local(),
        );
        let (rules, _) = watch::channel(self.rules.clone());
        self.processes.insert(id, Process { log, rules, lines });
    }

    /// Gives a free partition to a process, if there are both.
    async fn assign_one(&mut self) {
        let free: Vec<_> = self.places().into_iter().filter(|place| !self.owners.contains_key(place)).collect();
        let Some((role, at)) = free.choose(&mut self.random).cloned() else { return };
        let started: Vec<ProcessId> =
            self.processes.iter().filter(|(_, process)| process.lines.get().is_some()).map(|(id, _)| *id).collect();
        let Some(process) = started.choose(&mut self.random).copied() else { return };
        // one line of a partition in a process, however it came to lose it
        let old = self.lines.values().any(|line| (line.process, line.role, &line.at) == (process, role, &at));
        if !old {
            self.start_line(process, role, at).await;
        }
    }

    /// Every partition of every stage.
    fn places(&self) -> Vec<(Role, TopicPartition)> {
        let of = |role, topic: String, partitions| {
            (0..partitions).map(move |partition| (role, TopicPartition { topic: topic.clone(), partition }))
        };
        let topics = topics();
        let signals = self.config.correlate.partitions;
        let events = INPUTS
            .iter()
            .flat_map(|input| of(Role::Detect, topics.received(input), self.config.local.events_partitions));
        events
            .chain(of(Role::Correlate, topics.signals.clone(), signals))
            .chain(of(Role::Notify, topics.alerts.clone(), signals))
            .collect()
    }

    async fn start_line(&mut self, id: ProcessId, role: Role, at: TopicPartition) {
        let process = &self.processes[&id];
        let stage = stage(process.lines.get().expect("a process that has started"), role);
        let group = &stage.subscription.group;
        self.wire.assign(group, &at, id);
        let committed = process.log.committed(group, &at).await.expect("the memory log answers");
        let mut reader = process.log.reader(&at, Start::Earliest).await.expect("the memory log answers");
        if let (Role::Notify, Some(committed)) = (role, &committed) {
            reader.seek(committed.next).await.expect("the memory log answers");
        }
        let seat = Seat {
            rules: process.rules.subscribe(),
            at_work: AtWork::default(),
            poisoned: BTreeSet::new(),
            cautious: self.random.random_bool(0.2),
        };
        let work = stage.work(Assignment { at: at.clone(), committed, reader }, seat);
        let (orders, taken) = mpsc::unbounded_channel();
        let future: LocalBoxFuture<'static, Done> = work(taken).map(Done::Line).boxed_local();
        let task = self.tasks.add(future);
        self.lines.insert(task, Line { process: id, role, at: at.clone(), orders });
        self.owners.insert((role, at), task);
    }

    /// Whether every signals partition has committed a walk past everything.
    async fn has_walked_all(&self) -> bool {
        let end = Timestamp::from_millis(AFTERMATH * 1_000).minus(Duration::from_secs(6 * 3600));
        let topics = topics();
        for partition in 0..self.config.correlate.partitions {
            let at = |topic: &str| TopicPartition { topic: topic.to_owned(), partition };
            let state = self.wire.log.compacted(&at(&topics.state)).await.expect("the memory log answers");
            let (_, written) = self.wire.log.offsets(&at(&topics.signals)).await.expect("the memory log answers");
            let snapshot = Snapshot::read(state.iter()).expect("the state can be read");
            let is_past = |snapshot: Snapshot| {
                snapshot.header.read_through == written && snapshot.header.frontiers.iter().all(|(_, at)| *at > end)
            };
            if !snapshot.is_some_and(is_past) {
                return false;
            }
        }
        self.has_read_all().await
    }

    /// Whether detect has committed every event.
    async fn has_read_all(&self) -> bool {
        for (role, at) in self.places() {
            if role == Role::Detect && !self.is_committed("tripline", &at).await {
                return false;
            }
        }
        true
    }

    /// Whether notify has committed every alert.
    async fn is_delivered(&self) -> bool {
        for (role, at) in self.places() {
            if role == Role::Notify && !self.is_committed(&format!("tripline.notify.{TOLD}"), &at).await {
                return false;
            }
        }
        true
    }

    async fn is_committed(&self, group: &str, at: &TopicPartition) -> bool {
        let (_, end) = self.wire.log.offsets(at).await.expect("the memory log answers");
        let committed = self.wire.log.committed(group, at).await.expect("the memory log answers");
        committed.map_or(0, |committed| committed.next) == end
    }

    async fn check(mut self, case: &Case) -> Told {
        let alerts = values(&*self.wire.log, &topics().alerts).await;
        let found = compare::sorted(alerts.iter().map(compare::told).collect());
        let expected = compare::sorted(oracle::alerts(&case.rules, &case.log));
        assert!(compare::same(&found, &expected), "{}", compare::difference_of(&found, &expected));
        let ids =
            |alerts: &[Alert]| -> BTreeSet<_> { alerts.iter().map(|alert| (alert.id.clone(), alert.state)).collect() };
        if !alerts.is_empty() {
            let told = values(&*self.wire.log, TOLD).await;
            assert_eq!(ids(&told), ids(&alerts), "on the left what was delivered, on the right the alerts");
        }
        self.told.alerts = alerts.len() as u64;
        self.told
    }

    fn records(&self, case: &Case) -> Vec<Record> {
        let topics = topics();
        let record = |event: &oracle::Event| Record {
            topic: topics.received(event.input),
            partition: event.partition,
            key: None,
            value: Some(event.to_record().into()),
            timestamp_ms: event.time * 1_000,
        };
        case.log.events.iter().map(record).collect()
    }
}

fn stage(lines: &Lines, role: Role) -> &Stage {
    let stage = match role {
        Role::Detect => lines.detect.as_ref(),
        Role::Correlate => lines.correlate.as_ref(),
        Role::Notify => lines.notify.first(),
    };
    stage.expect("every process runs all stages")
}
