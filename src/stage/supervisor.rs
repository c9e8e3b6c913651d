//! One supervisor for each stage: it owns the stage's membership, starts a line for every partition it is given, and
//! starts a fresh one where a line dies. A partition has one line at a time, whatever its group does meanwhile.
//!
//! A restart backs off with jitter and is counted. A record that crashed its line twice is passed over by the next
//! line, into the dead letters. Past `restarts_max` in `period` the supervisor escalates: the process ends. A log that
//! can't be reached or has no room is no such failure: lines wait for it, however long that takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use actix::{Actor, ActorContext, ActorFutureExt, Arbiter, AsyncContext, Context, Handler, StreamHandler, WrapFuture};
use rand::Rng;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tracing::{error, info, warn};

use super::{
    line::{BEAT_INTERVAL, Beat, Line, Work},
    messages::{Drain, Ended, LineStopped, MembershipChanged, Order, UseRules},
    seat::{Booked, Cause, Restarts, Seat, Seated},
};
use crate::{
    config,
    log::{Assignment, Log, LogError, Member, Membership, Subscription, TopicPartition},
    rule::RuleSet,
    telemetry::{LineState, Telemetry},
};

/// How often the board is told what the group has committed and where its logs end.
const LAG_INTERVAL: Duration = Duration::from_secs(5);

/// Makes a line's work from its assignment.
pub type Factory = Box<dyn Fn(Assignment, Seat) -> Work>;

/// Where lines run.
pub enum Placement {
    /// Each on a thread of its own.
    OwnThread,
    /// By partition, on these.
    Shared(Vec<Arbiter>),
}

/// A stage failed past its restart limit.
#[derive(Debug, Clone)]
pub struct Escalation {
    pub stage: &'static str,
    pub reason: String,
}

/// What a supervisor is made of.
pub struct Post {
    pub stage: &'static str,
    /// The line's name in logs and on the status board: the sink's for notify, else empty.
    pub name: String,
    pub log: Arc<dyn Log>,
    pub subscription: Subscription,
    pub placement: Placement,
    pub factory: Factory,
    pub settings: config::Supervisor,
    pub telemetry: Telemetry,
    pub escalations: mpsc::UnboundedSender<Escalation>,
}

pub struct Supervisor {
    post: Post,
    rules: watch::Sender<Arc<RuleSet>>,
    member: Arc<Mutex<Option<Box<dyn Member>>>>,
    /// Counts memberships; what an earlier one says is void.
    membership: u64,
    /// Failures of the membership itself.
    failures: Restarts,
    lines: BTreeMap<TopicPartition, Seated>,
    /// Partitions that came back before the line that had lost them ended.
    back: BTreeSet<TopicPartition>,
    /// Who waits for partitions to be given back.
    revoking: Vec<(Vec<TopicPartition>, oneshot::Sender<()>)>,
    /// No line begins any more.
    ending: bool,
    draining: Option<oneshot::Sender<()>>,
}

impl Supervisor {
    pub fn new(post: Post, rules: Arc<RuleSet>) -> Self {
        Supervisor {
            post,
            rules: watch::Sender::new(rules),
            member: Arc::default(),
            membership: 0,
            failures: Restarts::default(),
            lines: BTreeMap::new(),
            back: BTreeSet::new(),
            revoking: Vec::new(),
            ending: false,
            draining: None,
        }
    }

    fn join(&mut self, ctx: &mut Context<Self>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        match self.post.log.join(self.post.subscription.clone(), sender) {
            Ok(member) => {
                self.post.telemetry.membership(self.post.stage, &self.post.name, None);
                let slot = self.member.clone();
                let seat = async move { *slot.lock().await = Some(member) };
                ctx.wait(seat.into_actor(self));
                let membership = self.membership;
                ctx.add_stream(futures_util::stream::unfold(receiver, move |mut receiver| async move {
                    receiver.recv().await.map(|change| (MembershipChanged { change, membership }, receiver))
                }));
            }
            Err(error) => self.rejoin_later(&error, ctx),
        }
    }

    /// The membership failed: its lines end without a commit, and another membership follows.
    fn lose_membership(&mut self, error: &LogError, ctx: &mut Context<Self>) {
        self.membership += 1;
        let partitions = self.lines.keys().cloned().collect();
        self.lose(partitions, ctx);
        let slot = self.member.clone();
        let leave = async move {
            let member = slot.lock().await.take();
            if let Some(member) = member {
                member.leave().await;
            }
        };
        ctx.wait(leave.into_actor(self));
        self.rejoin_later(error, ctx);
    }

    fn rejoin_later(&mut self, error: &LogError, ctx: &mut Context<Self>) {
        let failures = self.failures.book(self.post.settings.period);
        error!(stage = self.post.stage, name = self.post.name, %error, failures, "group membership failed");
        self.post.telemetry.membership(self.post.stage, &self.post.name, Some(&error.to_string()));
        if failures > self.post.settings.restarts_max && !error.is_transient() {
            return self.escalate(format!("group membership: {error}"));
        }
        ctx.run_later(self.backoff(failures), |supervisor, ctx| {
            if !supervisor.ending {
                supervisor.join(ctx);
            }
        });
    }

    fn assign(&mut self, assignment: Assignment, ctx: &mut Context<Self>) {
        if self.lines.get(&assignment.at).is_some_and(|seated| seated.line.is_some()) {
            // Its position is asked for again when the old line has ended: that may still commit.
            self.back.insert(assignment.at);
        } else {
            self.start(assignment, ctx);
        }
    }

    fn start(&mut self, assignment: Assignment, ctx: &mut Context<Self>) {
        let at = assignment.at.clone();
        if self.ending {
            return;
        }
        let seated = self.lines.entry(at.clone()).or_default();
        seated.ended = false;
        let next = assignment.committed.as_ref().map(|committed| committed.next);
        let seat = seated.seat(next, self.rules.subscribe());
        let work = (self.post.factory)(assignment, seat);
        let handle = match &self.post.placement {
            Placement::OwnThread => seated.arbiter.get_or_insert_with(Arbiter::new).handle(),
            Placement::Shared(arbiters) => arbiters[at.partition as usize % arbiters.len()].handle(),
        };
        let supervisor = ctx.address().recipient();
        // Before the line begins: it may have another word for what it does.
        self.post.telemetry.line_state(self.post.stage, &self.post.name, &at, LineState::Running);
        let (telemetry, stage, name, line_at) =
            (self.post.telemetry.clone(), self.post.stage, self.post.name.clone(), at.clone());
        let beat: Beat = Box::new(move || telemetry.beat(stage, &name, &line_at));
        seated.line = Some(Line::start_in_arbiter(&handle, move |_| Line::new(at, work, supervisor, beat)));
    }

    fn line_stopped(&mut self, at: TopicPartition, ended: Ended, ctx: &mut Context<Self>) {
        let Some(seated) = self.lines.get_mut(&at) else { return };
        seated.line = None;
        self.post.telemetry.beat_over(self.post.stage, &self.post.name, &at);
        let state = match ended {
            Ended::Stopped | Ended::Fenced => {
                seated.ended = true;
                LineState::Stopped
            }
            Ended::Halted(reason) => {
                seated.ended = true;
                error!(stage = self.post.stage, topic = at.topic, partition = at.partition, reason, "line halted");
                self.post.telemetry.line_error(self.post.stage, &self.post.name, &at, &reason);
                LineState::Halted
            }
            Ended::Waiting(reason) => self.restart_later(&at, &reason, Cause::Log, ctx),
            Ended::Failed(reason) => self.restart_later(&at, &reason, Cause::Failure, ctx),
            Ended::Panicked(reason) => self.restart_later(&at, &reason, Cause::Panic, ctx),
        };
        self.post.telemetry.line_state(self.post.stage, &self.post.name, &at, state);
        self.settle(ctx);
        if self.back.remove(&at) {
            self.lines.entry(at.clone()).or_default().ended = false;
            self.reopen_later(at, Duration::ZERO, ctx);
        }
    }

    fn restart_later(&mut self, at: &TopicPartition, reason: &str, cause: Cause, ctx: &mut Context<Self>) -> LineState {
        let post = &self.post;
        let Some(seated) = self.lines.get_mut(at) else { return LineState::Stopped };
        let Booked { offset, failures } = seated.book(cause, post.settings.period);
        post.telemetry.line_error(post.stage, &post.name, at, reason);
        let (topic, partition) = (&at.topic, at.partition);
        warn!(stage = post.stage, name = post.name, topic, partition, offset, failures, ?cause, reason, "line failed");
        if seated.ended {
            return LineState::Stopped;
        }
        post.telemetry.count_restart(post.stage);
        if failures > post.settings.restarts_max && cause != Cause::Log {
            seated.ended = true;
            self.escalate(format!("{topic}/{partition}: {reason}"));
            return LineState::Halted;
        }
        self.reopen_later(at.clone(), self.backoff(failures), ctx);
        LineState::Restarting
    }

    fn reopen_later(&self, at: TopicPartition, delay: Duration, ctx: &mut Context<Self>) {
        ctx.run_later(delay, move |supervisor, ctx| {
            let Some(seated) = supervisor.lines.get_mut(&at).filter(|seated| seated.awaits_line()) else { return };
            seated.reopening = true;
            let member = supervisor.member.clone();
            let opened_at = at.clone();
            let reopen = async move {
                match &*member.lock().await {
                    Some(member) => member.reopen(&opened_at).await,
                    None => Err(LogError::Closed),
                }
            };
            ctx.spawn(reopen.into_actor(supervisor).map(move |opened, supervisor, ctx| {
                let Some(seated) = supervisor.lines.get_mut(&at) else { return };
                seated.reopening = false;
                // Given up in the meantime, or assigned anew.
                if !seated.awaits_line() {
                    return;
                }
                match opened {
                    Ok(assignment) => supervisor.start(assignment, ctx),
                    Err(error) => supervisor.line_stopped(at, error.into(), ctx),
                }
            }));
        });
    }

    /// A log that can't be asked leaves the last answer standing.
    fn tell_lag(&self, ctx: &mut Context<Self>) {
        let lines: Vec<TopicPartition> = self.lines.keys().cloned().collect();
        let Post { stage, name, log, subscription, telemetry, .. } = &self.post;
        let (stage, name, log) = (*stage, name.clone(), log.clone());
        let (group, telemetry) = (subscription.group.clone(), telemetry.clone());
        let ask = async move {
            for at in lines {
                if let (Ok(Some(committed)), Ok((_, end))) = (log.committed(&group, &at).await, log.offsets(&at).await)
                {
                    telemetry.line_lag(stage, &name, &at, committed.next, end);
                }
            }
        };
        ctx.spawn(ask.into_actor(self));
    }

    fn beat(&self) {
        self.post.telemetry.beat(self.post.stage, &self.post.name, &own_place());
    }

    /// Exponential with full jitter.
    fn backoff(&self, restarts: u32) -> Duration {
        let settings = &self.post.settings;
        let ceiling = settings.backoff_min.saturating_mul(1 << restarts.min(16)).min(settings.backoff_max);
        let floor = settings.backoff_min.min(ceiling);
        rand::rng().random_range(floor..=ceiling)
    }

    fn escalate(&self, reason: String) {
        error!(stage = self.post.stage, name = self.post.name, reason, "restart limit passed, the process ends");
        let _ = self.post.escalations.send(Escalation { stage: self.post.stage, reason });
    }

    fn give_up(&mut self, partitions: &[TopicPartition], order: Order) {
        for at in partitions {
            self.back.remove(at);
            let Some(seated) = self.lines.get_mut(at) else { continue };
            seated.ended = true;
            if let Some(line) = &seated.line {
                line.do_send(order);
            }
        }
        info!(stage = self.post.stage, name = self.post.name, partitions = partitions.len(), "partitions given up");
    }

    /// The partitions are another's: their lines end as they are.
    fn lose(&mut self, partitions: Vec<TopicPartition>, ctx: &mut Context<Self>) {
        self.give_up(&partitions, Order::Abandon);
        let (nobody, _) = oneshot::channel();
        self.revoking.push((partitions, nobody));
        self.settle(ctx);
    }

    /// Answers those who wait for lines that have ended.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        let lines = &self.lines;
        let idle = |at: &TopicPartition| lines.get(at).is_none_or(|seated| seated.line.is_none());
        let (done, waiting) =
            std::mem::take(&mut self.revoking).into_iter().partition(|(partitions, _)| partitions.iter().all(idle));
        self.revoking = waiting;
        for (partitions, answer) in done {
            for at in partitions {
                self.forget(&at);
            }
            // The log stopped waiting: nothing is owed.
            let _ = answer.send(());
        }
        if self.draining.is_some() && self.lines.values().all(|seated| seated.line.is_none()) {
            self.leave(ctx);
        }
    }

    fn forget(&mut self, at: &TopicPartition) {
        self.post.telemetry.line_gone(self.post.stage, &self.post.name, at);
        if let Some(arbiter) = self.lines.remove(at).and_then(|seated| seated.arbiter) {
            arbiter.stop();
        }
    }

    /// Leaves the group, answers, and ends with all threads.
    fn leave(&mut self, ctx: &mut Context<Self>) {
        let Some(answer) = self.draining.take() else { return };
        let slot = self.member.clone();
        let leave = async move {
            let member = slot.lock().await.take();
            if let Some(member) = member {
                member.leave().await;
            }
            let _ = answer.send(());
        };
        ctx.spawn(leave.into_actor(self).map(|(), supervisor, ctx| {
            let own = supervisor.lines.values().filter_map(|seated| seated.arbiter.as_ref());
            let shared = match &supervisor.post.placement {
                Placement::OwnThread => &[][..],
                Placement::Shared(arbiters) => arbiters,
            };
            for arbiter in own.chain(shared) {
                arbiter.stop();
            }
            ctx.stop();
        }));
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.join(ctx);
        ctx.run_interval(LAG_INTERVAL, |supervisor, ctx| supervisor.tell_lag(ctx));
        self.beat();
        ctx.run_interval(BEAT_INTERVAL, |supervisor, _| supervisor.beat());
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.post.telemetry.beat_over(self.post.stage, &self.post.name, &own_place());
    }
}

/// Where a supervisor's own signs of life are kept, among those of its lines.
fn own_place() -> TopicPartition {
    TopicPartition { topic: "supervisor".to_owned(), partition: 0 }
}

impl StreamHandler<MembershipChanged> for Supervisor {
    fn handle(&mut self, MembershipChanged { change, membership }: MembershipChanged, ctx: &mut Context<Self>) {
        if membership != self.membership {
            return;
        }
        match change {
            Membership::Assigned(assignments) => {
                info!(
                    stage = self.post.stage,
                    name = self.post.name,
                    partitions = assignments.len(),
                    "partitions assigned"
                );
                for assignment in assignments {
                    self.assign(assignment, ctx);
                }
            }
            Membership::Revoked { partitions, done } => {
                self.give_up(&partitions, Order::Stop);
                self.revoking.push((partitions, done));
                self.settle(ctx);
            }
            Membership::Lost(partitions) => self.lose(partitions, ctx),
            Membership::Failed(error) => self.lose_membership(&error, ctx),
        }
    }

    /// A membership that ended is followed by another, or by the end of the supervisor.
    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<LineStopped> for Supervisor {
    type Result = ();

    fn handle(&mut self, LineStopped { at, ended }: LineStopped, ctx: &mut Context<Self>) {
        self.line_stopped(at, ended, ctx);
    }
}

impl Handler<UseRules> for Supervisor {
    type Result = ();

    fn handle(&mut self, UseRules(rules): UseRules, _: &mut Context<Self>) {
        self.rules.send_replace(rules);
    }
}

impl Handler<Drain> for Supervisor {
    type Result = ();

    fn handle(&mut self, Drain(answer): Drain, ctx: &mut Context<Self>) {
        self.ending = true;
        self.draining = Some(answer);
        let partitions: Vec<_> = self.lines.keys().cloned().collect();
        self.give_up(&partitions, Order::Stop);
        self.settle(ctx);
    }
}
