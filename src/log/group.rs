//! Groups whose members all live in this process: who reads which partition, for the memory and the local log.
//!
//! A join or a leave moves only the partitions that have to move. A partition goes to its next reader when the one
//! before has answered, or has been given [`PATIENCE`]. This room never reads a record and never stores a commit.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::{mpsc, oneshot};

use super::{Assignment, LogError, Member, Membership, Start, Subscription, TopicPartition};

/// How long a member may take to give a revoked partition back before it is told that it has lost it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The log behind the groups.
pub(super) trait Shelf: Send + Sync {
    fn partitions(&self, topic: &str) -> Result<u32, LogError>;
    /// A reader at the group's commit, or at `start` when it never committed.
    fn open(&self, group: &str, at: &TopicPartition, start: Start) -> Result<Assignment, LogError>;
}

/// All groups of one log.
pub(super) struct Groups(Arc<Registry>);

struct Registry {
    shelf: Arc<dyn Shelf>,
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    members_ever: u64,
    groups: HashMap<String, Group>,
}

type MemberId = u64;

#[derive(Default)]
struct Group {
    seats: BTreeMap<MemberId, Seat>,
    sizes: BTreeMap<String, u32>,
    holders: BTreeMap<TopicPartition, Holder>,
}

struct Seat {
    topics: BTreeMap<String, Start>,
    events: mpsc::UnboundedSender<Membership>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Holder {
    member: MemberId,
    /// It has been asked to give the partition back.
    asked: bool,
}

/// What has to happen so that every partition is read, evenly.
#[derive(Default)]
struct Moves {
    assign: BTreeMap<MemberId, Vec<TopicPartition>>,
    revoke: BTreeMap<MemberId, Vec<TopicPartition>>,
}

impl Groups {
    pub(super) fn new(shelf: Arc<dyn Shelf>) -> Self {
        Self::with_patience(shelf, PATIENCE)
    }

    fn with_patience(shelf: Arc<dyn Shelf>, patience: Duration) -> Self {
        Groups(Arc::new(Registry { shelf, patience, state: Mutex::default() }))
    }

    /// See [`super::Log::join`]. Partitions that nobody holds are assigned before this returns.
    pub(super) fn join(
        &self,
        subscription: Subscription,
        events: mpsc::UnboundedSender<Membership>,
    ) -> Result<Box<dyn Member>, LogError> {
        let registry = &self.0;
        let mut sizes = BTreeMap::new();
        for (topic, _) in &subscription.topics {
            sizes.insert(topic.clone(), registry.shelf.partitions(topic)?);
        }
        let mut state = registry.lock();
        state.members_ever += 1;
        let id = state.members_ever;
        let group = state.groups.entry(subscription.group.clone()).or_default();
        group.sizes.extend(sizes);
        group.seats.insert(id, Seat { topics: subscription.topics.into_iter().collect(), events });
        registry.settle(&subscription.group, &mut state);
        drop(state);
        Ok(Box::new(GroupMember { registry: Arc::clone(registry), group: subscription.group, id }))
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the members of `name` what moves. Called with the state locked, so that they hear it in order.
    fn settle(self: &Arc<Self>, name: &str, state: &mut State) {
        let Some(group) = state.groups.get_mut(name) else { return };
        let moves = group.moves();
        for (member, partitions) in moves.revoke {
            self.revoke(name, group, member, partitions);
        }
        for (member, partitions) in moves.assign {
            self.assign(name, group, member, partitions);
        }
    }

    fn assign(&self, name: &str, group: &mut Group, member: MemberId, partitions: Vec<TopicPartition>) {
        let Some(seat) = group.seats.get(&member) else { return };
        let mut assigned = Vec::with_capacity(partitions.len());
        for at in partitions {
            let start = seat.topics.get(&at.topic).copied().unwrap_or(Start::Earliest);
            match self.shelf.open(name, &at, start) {
                Ok(assignment) => assigned.push(assignment),
                Err(error) => {
                    seat.events.send(Membership::Failed(error)).ok();
                }
            }
            group.holders.insert(at, Holder { member, asked: false });
        }
        seat.events.send(Membership::Assigned(assigned)).ok();
    }

    fn revoke(self: &Arc<Self>, name: &str, group: &mut Group, member: MemberId, partitions: Vec<TopicPartition>) {
        let Some(seat) = group.seats.get(&member) else { return };
        for at in &partitions {
            group.holders.insert(at.clone(), Holder { member, asked: true });
        }
        let (done, answered) = oneshot::channel();
        seat.events.send(Membership::Revoked { partitions: partitions.clone(), done }).ok();
        let waiting = Waiting { registry: Arc::downgrade(self), group: name.to_owned(), member, partitions };
        let patience = self.patience;
        thread::Builder::new()
            .name("group-revoke".to_owned())
            .spawn(move || waiting.wait(answered, patience))
            .expect("the system starts a thread");
    }

    /// `member` holds `partitions` no longer; `lost` when it never said so.
    fn release(self: &Arc<Self>, name: &str, member: MemberId, partitions: Vec<TopicPartition>, lost: bool) {
        let mut state = self.lock();
        let Some(group) = state.groups.get_mut(name) else { return };
        let asked = Holder { member, asked: true };
        let freed: Vec<_> = partitions.into_iter().filter(|at| group.holders.get(at) == Some(&asked)).collect();
        for at in &freed {
            group.holders.remove(at);
        }
        if lost
            && !freed.is_empty()
            && let Some(seat) = group.seats.get(&member)
        {
            tracing::warn!(group = name, partitions = freed.len(), "a member kept revoked partitions too long");
            seat.events.send(Membership::Lost(freed)).ok();
        }
        self.settle(name, &mut state);
    }

    fn depart(self: &Arc<Self>, name: &str, member: MemberId) {
        let mut state = self.lock();
        let Some(group) = state.groups.get_mut(name) else { return };
        if group.seats.remove(&member).is_none() {
            return;
        }
        group.holders.retain(|_, holder| holder.member != member);
        if group.seats.is_empty() {
            state.groups.remove(name);
        } else {
            self.settle(name, &mut state);
        }
    }
}

/// A revocation that has not been answered. It has a thread of its own, because the runtime of the one who joined may
/// end before the partitions are handed over.
struct Waiting {
    registry: Weak<Registry>,
    group: String,
    member: MemberId,
    partitions: Vec<TopicPartition>,
}

impl Waiting {
    fn wait(self, answered: oneshot::Receiver<()>, patience: Duration) {
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let lost = match clock {
            Ok(clock) => clock.block_on(async { tokio::time::timeout(patience, answered).await.is_err() }),
            Err(error) => {
                tracing::error!(%error, "no timer for a rebalance: waiting for the answer alone");
                answered.blocking_recv().ok();
                false
            }
        };
        if let Some(registry) = self.registry.upgrade() {
            registry.release(&self.group, self.member, self.partitions, lost);
        }
    }
}

impl Group {
    fn moves(&self) -> Moves {
        let mut moves = Moves::default();
        let mut loads: BTreeMap<MemberId, usize> = self.seats.keys().map(|member| (*member, 0)).collect();
        for (topic, partitions) in &self.sizes {
            for (at, member) in self.shares(topic, *partitions, &mut loads) {
                match self.holders.get(&at) {
                    None => moves.assign.entry(member).or_default().push(at),
                    Some(holder) if holder.member != member && !holder.asked => {
                        moves.revoke.entry(holder.member).or_default().push(at);
                    }
                    Some(_) => {}
                }
            }
        }
        moves
    }

    /// Who is to read each partition of `topic`: even shares, and everyone keeps what they hold up to their share.
    /// `loads` counts what each member has of the topics before, so that the odd partitions spread as well.
    fn shares(
        &self,
        topic: &str,
        partitions: u32,
        loads: &mut BTreeMap<MemberId, usize>,
    ) -> Vec<(TopicPartition, MemberId)> {
        let readers: Vec<MemberId> =
            self.seats.iter().filter(|(_, seat)| seat.topics.contains_key(topic)).map(|(id, _)| *id).collect();
        if readers.is_empty() {
            return Vec::new();
        }
        let all: Vec<_> =
            (0..partitions).map(|partition| TopicPartition { topic: topic.to_owned(), partition }).collect();
        let mut held: BTreeMap<MemberId, Vec<&TopicPartition>> = readers.iter().map(|id| (*id, Vec::new())).collect();
        for at in &all {
            if let Some(holder) = self.holders.get(at)
                && let Some(theirs) = held.get_mut(&holder.member)
            {
                theirs.push(at);
            }
        }

        let quotas = quotas(&held, all.len(), loads);
        let mut shares = Vec::with_capacity(all.len());
        let mut kept = BTreeSet::new();
        for (member, theirs) in &held {
            for at in theirs.iter().take(quotas[member]) {
                shares.push(((*at).clone(), *member));
                kept.insert(*at);
            }
        }
        let mut free = all.iter().filter(|at| !kept.contains(at));
        for (member, theirs) in &held {
            let missing = quotas[member].saturating_sub(theirs.len());
            shares.extend(free.by_ref().take(missing).map(|at| (at.clone(), *member)));
        }
        for (member, quota) in quotas {
            *loads.entry(member).or_default() += quota;
        }
        shares
    }
}

/// How many of `partitions` each reader gets. One more goes first to those who hold more than the even share already,
/// then to the least loaded.
fn quotas(
    held: &BTreeMap<MemberId, Vec<&TopicPartition>>,
    partitions: usize,
    loads: &BTreeMap<MemberId, usize>,
) -> BTreeMap<MemberId, usize> {
    let (even, odd) = (partitions / held.len(), partitions % held.len());
    let mut order: Vec<MemberId> = held.keys().copied().collect();
    order.sort_by_key(|member| (held[member].len() <= even, loads.get(member).copied().unwrap_or(0), *member));
    order.into_iter().enumerate().map(|(place, member)| (member, even + usize::from(place < odd))).collect()
}

struct GroupMember {
    registry: Arc<Registry>,
    group: String,
    id: MemberId,
}

impl Member for GroupMember {
    fn reopen(&self, at: &TopicPartition) -> BoxFuture<'_, Result<Assignment, LogError>> {
        let state = self.registry.lock();
        let group = state.groups.get(&self.group);
        let holder = group.and_then(|group| group.holders.get(at));
        let start =
            group.and_then(|group| group.seats.get(&self.id)).and_then(|seat| seat.topics.get(&at.topic).copied());
        let opened = match (holder, start) {
            (Some(holder), Some(start)) if holder.member == self.id => self.registry.shelf.open(&self.group, at, start),
            _ => Err(LogError::Fenced(format!("{}/{} in group {}", at.topic, at.partition, self.group))),
        };
        async move { opened }.boxed()
    }

    fn leave(self: Box<Self>) -> BoxFuture<'static, ()> {
        drop(self);
        async {}.boxed()
    }
}

impl Drop for GroupMember {
    fn drop(&mut self) {
        self.registry.depart(&self.group, self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::{pending, ready};

    use super::*;
    use crate::log::{Drained, Reader, RecordRef};

    fn group(members: u64, topics: &[(&str, u32)]) -> Group {
        let (events, _) = mpsc::unbounded_channel();
        let topics_of: BTreeMap<_, _> = topics.iter().map(|(name, _)| ((*name).to_owned(), Start::Earliest)).collect();
        Group {
            seats: (0..members).map(|id| (id, Seat { topics: topics_of.clone(), events: events.clone() })).collect(),
            sizes: topics.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect(),
            holders: BTreeMap::new(),
        }
    }

    /// Everyone obeys at once.
    fn obey(group: &mut Group) -> (usize, usize) {
        let (mut assigned, mut revoked) = (0, 0);
        loop {
            let moves = group.moves();
            if moves.assign.is_empty() && moves.revoke.is_empty() {
                return (assigned, revoked);
            }
            for at in moves.revoke.into_values().flatten() {
                group.holders.remove(&at);
                revoked += 1;
            }
            for (member, partitions) in moves.assign {
                for at in partitions {
                    group.holders.insert(at, Holder { member, asked: false });
                    assigned += 1;
                }
            }
        }
    }

    fn counts(group: &Group) -> Vec<usize> {
        group.seats.keys().map(|id| group.holders.values().filter(|holder| holder.member == *id).count()).collect()
    }

    #[test]
    fn shares_are_even_over_several_topics() {
        let mut group = group(3, &[("a", 7), ("b", 7), ("c", 4)]);
        assert_eq!(obey(&mut group), (18, 0));
        assert_eq!(counts(&group), [6, 6, 6]);
    }

    #[test]
    fn a_join_moves_only_the_newcomer_s_share() {
        let mut group = group(2, &[("a", 32)]);
        obey(&mut group);
        let (events, _) = mpsc::unbounded_channel();
        let topics = BTreeMap::from([("a".to_owned(), Start::Earliest)]);
        group.seats.insert(7, Seat { topics, events });
        assert_eq!(obey(&mut group), (10, 10));
        assert_eq!(counts(&group), [11, 11, 10]);
    }

    #[test]
    fn a_leave_moves_only_the_leaver_s_share() {
        let mut group = group(4, &[("a", 32)]);
        obey(&mut group);
        group.seats.remove(&2);
        group.holders.retain(|_, holder| holder.member != 2);
        assert_eq!(obey(&mut group), (8, 0));
        assert_eq!(counts(&group), [11, 11, 10]);
    }

    #[test]
    fn more_members_than_partitions_leave_some_idle() {
        let mut group = group(5, &[("a", 2)]);
        assert_eq!(obey(&mut group), (2, 0));
        assert_eq!(counts(&group).iter().sum::<usize>(), 2);
        assert_eq!(obey(&mut group), (0, 0));
    }

    struct TwoPartitions;

    impl Shelf for TwoPartitions {
        fn partitions(&self, _: &str) -> Result<u32, LogError> {
            Ok(2)
        }

        fn open(&self, _: &str, at: &TopicPartition, _: Start) -> Result<Assignment, LogError> {
            Ok(Assignment { at: at.clone(), committed: None, reader: Box::new(Silent) })
        }
    }

    struct Silent;

    impl Reader for Silent {
        fn ready(&mut self) -> BoxFuture<'_, Result<(), LogError>> {
            pending().boxed()
        }

        fn drain(&mut self, _: usize, _: &mut dyn FnMut(RecordRef<'_>)) -> Result<Drained, LogError> {
            Ok(Drained { records: 0, next: 0, gap: 0 })
        }

        fn seek(&mut self, _: u64) -> BoxFuture<'_, Result<(), LogError>> {
            ready(Ok(())).boxed()
        }

        fn end(&mut self) -> BoxFuture<'_, Result<u64, LogError>> {
            ready(Ok(0)).boxed()
        }
    }

    fn join(groups: &Groups) -> (Box<dyn Member>, mpsc::UnboundedReceiver<Membership>) {
        let (sender, events) = mpsc::unbounded_channel();
        let topics = vec![("a".to_owned(), Start::Earliest)];
        (groups.join(Subscription { group: "g".to_owned(), topics, with_state: true }, sender).unwrap(), events)
    }

    #[tokio::test]
    async fn a_member_that_never_answers_loses_its_partitions() {
        let groups = Groups::with_patience(Arc::new(TwoPartitions), Duration::from_millis(30));
        let (_deaf, mut deaf) = join(&groups);
        let (_eager, mut eager) = join(&groups);

        assert!(matches!(deaf.recv().await, Some(Membership::Assigned(all)) if all.len() == 2));
        let Some(Membership::Revoked { partitions, done: _unanswered }) = deaf.recv().await else { panic!("revoked") };
        let Some(Membership::Lost(lost)) = deaf.recv().await else { panic!("lost") };
        assert_eq!(lost, partitions);
        let Some(Membership::Assigned(theirs)) = eager.recv().await else { panic!("assigned") };
        assert_eq!(theirs.iter().map(|assignment| assignment.at.clone()).collect::<Vec<_>>(), lost);
    }

    #[tokio::test]
    async fn partitions_move_only_after_the_answer() {
        let groups = Groups::new(Arc::new(TwoPartitions));
        let (first, mut events) = join(&groups);
        let (_second, mut newcomer) = join(&groups);
        assert!(matches!(events.recv().await, Some(Membership::Assigned(_))));
        let Some(Membership::Revoked { partitions, done }) = events.recv().await else { panic!("revoked") };
        assert!(newcomer.try_recv().is_err(), "nothing is assigned before the answer");
        assert!(first.reopen(&partitions[0]).await.is_ok(), "it is still the first one's to finish");
        done.send(()).unwrap();
        let Some(Membership::Assigned(theirs)) = newcomer.recv().await else { panic!("assigned") };
        assert_eq!(theirs[0].at, partitions[0]);
        assert!(matches!(first.reopen(&partitions[0]).await, Err(LogError::Fenced(_))));
    }
}
