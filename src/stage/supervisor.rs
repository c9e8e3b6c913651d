//! One supervisor for each stage: it owns the stage's membership, starts a line for every partition it is given, and
//! starts a fresh one where a line dies.
//!
//! A restart backs off with jitter and is counted. A record that crashed its line twice is passed over by the next
//! line, into the dead letters. Past `restarts_max` in `period` the supervisor escalates: the process ends.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, Addr, Arbiter, AsyncContext, Context, Handler, StreamHandler, WrapFuture};
use rand::Rng;
use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::{error, info, warn};

use super::{
    line::{AtWork, Line, Work},
    messages::{Drain, Ended, LineStopped, MembershipChanged, Order, UseRules},
};
use crate::{
    config,
    log::{Assignment, Log, LogError, Member, Membership, Subscription, TopicPartition},
    rule::RuleSet,
    telemetry::{LineState, Telemetry},
};

/// Crashes on one record before it goes to the dead letters.
const CRASHES_PER_RECORD: u32 = 2;

/// How often the board is told what the group has committed and where its logs end.
const LAG_INTERVAL: Duration = Duration::from_secs(5);

/// Makes a line's work from its assignment.
pub type Factory = Box<dyn Fn(Assignment, Seat) -> Work>;

/// What a fresh line is given besides its assignment.
pub struct Seat {
    pub rules: Arc<RuleSet>,
    /// To be kept on the record in work, so that a crash can be laid to it.
    pub at_work: AtWork,
    /// A record that crashed its line before: it goes to the dead letters unread.
    pub poisoned: Option<u64>,
    /// A line of this partition has crashed.
    pub cautious: bool,
}

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
    pub rules: Arc<RuleSet>,
    pub settings: config::Supervisor,
    pub telemetry: Telemetry,
    pub escalations: mpsc::UnboundedSender<Escalation>,
}

pub struct Supervisor {
    post: Post,
    member: Arc<Mutex<Option<Box<dyn Member>>>>,
    lines: BTreeMap<TopicPartition, Seated>,
    /// Failures of the membership itself.
    membership: Restarts,
    draining: Option<oneshot::Sender<()>>,
    /// Who waits for partitions to be given back.
    revoking: Vec<(Vec<TopicPartition>, oneshot::Sender<()>)>,
}

/// A partition that this process owns, with its line or without one for a moment.
#[derive(Default)]
struct Seated {
    line: Option<Addr<Line>>,
    arbiter: Option<Arbiter>,
    at_work: AtWork,
    restarts: Restarts,
    /// Crashes by the offset that was in work.
    crashes: BTreeMap<u64, u32>,
    poisoned: Option<u64>,
    /// Given up to another member, or stopped for good: no fresh line.
    ended: bool,
}

#[derive(Default)]
struct Restarts {
    recent: Vec<Instant>,
}

impl Restarts {
    /// Books a restart; says how many fell into `period`.
    fn book(&mut self, period: Duration) -> u32 {
        self.recent.retain(|at| at.elapsed() < period);
        self.recent.push(Instant::now());
        self.recent.len() as u32
    }
}

impl Supervisor {
    pub fn new(post: Post) -> Self {
        Supervisor {
            post,
            member: Arc::default(),
            lines: BTreeMap::new(),
            membership: Restarts::default(),
            draining: None,
            revoking: Vec::new(),
        }
    }

    fn join(&mut self, ctx: &mut Context<Self>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        match self.post.log.join(self.post.subscription.clone(), sender) {
            Ok(member) => {
                let slot = self.member.clone();
                let seat = async move { *slot.lock().await = Some(member) };
                ctx.wait(seat.into_actor(self));
                ctx.add_stream(futures_util::stream::unfold(receiver, |mut receiver| async move {
                    receiver.recv().await.map(|membership| (MembershipChanged(membership), receiver))
                }));
            }
            Err(error) => self.rejoin_later(&error, ctx),
        }
    }

    fn rejoin_later(&mut self, error: &LogError, ctx: &mut Context<Self>) {
        let failures = self.membership.book(self.post.settings.period);
        error!(stage = self.post.stage, name = self.post.name, %error, failures, "group membership failed");
        if failures > self.post.settings.restarts_max {
            return self.escalate(format!("group membership: {error}"));
        }
        ctx.run_later(self.backoff(failures), |supervisor, ctx| {
            if supervisor.draining.is_none() {
                supervisor.join(ctx);
            }
        });
    }

    fn start(&mut self, assignment: Assignment, ctx: &mut Context<Self>) {
        let at = assignment.at.clone();
        if self.draining.is_some() {
            return;
        }
        let seated = self.lines.entry(at.clone()).or_default();
        seated.ended = false;
        let seat = Seat {
            rules: self.post.rules.clone(),
            at_work: seated.at_work.clone(),
            poisoned: seated.poisoned,
            cautious: !seated.crashes.is_empty(),
        };
        let work = (self.post.factory)(assignment, seat);
        let handle = match &self.post.placement {
            Placement::OwnThread => seated.arbiter.get_or_insert_with(Arbiter::new).handle(),
            Placement::Shared(arbiters) => arbiters[at.partition as usize % arbiters.len()].handle(),
        };
        let supervisor = ctx.address().recipient();
        let line_at = at.clone();
        seated.line = Some(Line::start_in_arbiter(&handle, move |_| Line::new(line_at, work, supervisor)));
        self.post.telemetry.line_state(self.post.stage, &self.post.name, &at, LineState::Running);
    }

    fn order(&self, at: &TopicPartition, order: Order) {
        if let Some(line) = self.lines.get(at).and_then(|seated| seated.line.as_ref()) {
            line.do_send(order);
        }
    }

    fn line_stopped(&mut self, at: TopicPartition, ended: Ended, ctx: &mut Context<Self>) {
        let Some(seated) = self.lines.get_mut(&at) else { return };
        seated.line = None;
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
            Ended::Failed(reason) => self.restart_later(&at, reason, false, ctx),
            Ended::Panicked(reason) => self.restart_later(&at, reason, true, ctx),
        };
        self.post.telemetry.line_state(self.post.stage, &self.post.name, &at, state);
        self.settle();
    }

    fn restart_later(
        &mut self,
        at: &TopicPartition,
        reason: String,
        panicked: bool,
        ctx: &mut Context<Self>,
    ) -> LineState {
        let post = &self.post;
        post.telemetry.count_restart(post.stage);
        post.telemetry.line_error(post.stage, &post.name, at, &reason);
        let Some(seated) = self.lines.get_mut(at) else { return LineState::Stopped };
        let offset = seated.at_work.offset().filter(|_| panicked);
        if let Some(offset) = offset {
            let crashes = seated.crashes.entry(offset).or_default();
            *crashes += 1;
            if *crashes >= CRASHES_PER_RECORD {
                seated.poisoned = Some(offset);
            }
        }
        seated.at_work.off();
        let restarts = seated.restarts.book(post.settings.period);
        warn!(
            stage = post.stage,
            name = post.name,
            topic = at.topic,
            partition = at.partition,
            offset,
            restarts,
            panicked,
            reason,
            "line failed, a fresh one follows"
        );
        if restarts > post.settings.restarts_max {
            seated.ended = true;
            self.escalate(format!("{}/{}: {reason}", at.topic, at.partition));
            return LineState::Halted;
        }
        self.reopen_later(at.clone(), self.backoff(restarts), ctx);
        LineState::Restarting
    }

    fn reopen_later(&self, at: TopicPartition, delay: Duration, ctx: &mut Context<Self>) {
        ctx.run_later(delay, move |supervisor, ctx| {
            let member = supervisor.member.clone();
            let opened_at = at.clone();
            let reopen = async move {
                match &*member.lock().await {
                    Some(member) => member.reopen(&opened_at).await,
                    None => Err(LogError::Closed),
                }
            };
            ctx.spawn(reopen.into_actor(supervisor).map(move |opened, supervisor, ctx| {
                // Given up in the meantime: another owner goes on.
                if supervisor.lines.get(&at).is_none_or(|seated| seated.ended || seated.line.is_some()) {
                    return supervisor.settle();
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

    fn revoke(&mut self, partitions: Vec<TopicPartition>, order: &Order) {
        for at in &partitions {
            if let Some(seated) = self.lines.get_mut(at) {
                seated.ended = true;
            }
            self.order(at, order.clone());
        }
        info!(stage = self.post.stage, name = self.post.name, partitions = partitions.len(), "partitions given up");
    }

    /// Answers those who wait for lines that have ended.
    fn settle(&mut self) {
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
            self.leave();
        }
    }

    fn forget(&mut self, at: &TopicPartition) {
        self.post.telemetry.line_gone(self.post.stage, &self.post.name, at);
        if let Some(arbiter) = self.lines.remove(at).and_then(|seated| seated.arbiter) {
            arbiter.stop();
        }
    }

    fn leave(&mut self) {
        let Some(answer) = self.draining.take() else { return };
        let member = self.member.clone();
        actix::spawn(async move {
            let member = member.lock().await.take();
            if let Some(member) = member {
                member.leave().await;
            }
            let _ = answer.send(());
        });
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.join(ctx);
        ctx.run_interval(LAG_INTERVAL, |supervisor, ctx| supervisor.tell_lag(ctx));
    }
}

impl StreamHandler<MembershipChanged> for Supervisor {
    fn handle(&mut self, MembershipChanged(membership): MembershipChanged, ctx: &mut Context<Self>) {
        match membership {
            Membership::Assigned(assignments) => {
                info!(
                    stage = self.post.stage,
                    name = self.post.name,
                    partitions = assignments.len(),
                    "partitions assigned"
                );
                for assignment in assignments {
                    self.start(assignment, ctx);
                }
            }
            Membership::Revoked { partitions, done } => {
                self.revoke(partitions.clone(), &Order::Stop);
                self.revoking.push((partitions, done));
                self.settle();
            }
            Membership::Lost(partitions) => {
                self.revoke(partitions.clone(), &Order::Abandon);
                let (done, _) = oneshot::channel();
                self.revoking.push((partitions, done));
                self.settle();
            }
            Membership::Failed(error) => {
                let lines: Vec<_> = self.lines.keys().cloned().collect();
                self.revoke(lines, &Order::Abandon);
                self.rejoin_later(&error, ctx);
            }
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
        self.post.rules = rules.clone();
        for at in self.lines.keys() {
            self.order(at, Order::UseRules(rules.clone()));
        }
    }
}

impl Handler<Drain> for Supervisor {
    type Result = ();

    fn handle(&mut self, Drain(answer): Drain, _: &mut Context<Self>) {
        self.draining = Some(answer);
        for seated in self.lines.values_mut() {
            seated.ended = true;
            if let Some(line) = &seated.line {
                line.do_send(Order::Stop);
            }
        }
        self.settle();
    }
}
