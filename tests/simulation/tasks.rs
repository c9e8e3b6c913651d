//! Futures that a seed gives their turns: the one that goes on is any of those that can.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::future::LocalBoxFuture;
use rand::{Rng, rngs::StdRng};

pub type TaskId = u64;

pub struct Tasks<T> {
    tasks: BTreeMap<TaskId, Task<T>>,
    ever: TaskId,
}

struct Task<T> {
    future: LocalBoxFuture<'static, T>,
    awake: Arc<Awake>,
}

struct Awake(AtomicBool);

impl Wake for Awake {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<T> Default for Tasks<T> {
    fn default() -> Self {
        Tasks { tasks: BTreeMap::new(), ever: 0 }
    }
}

impl<T: 'static> Tasks<T> {
    pub fn add(&mut self, future: LocalBoxFuture<'static, T>) -> TaskId {
        self.ever += 1;
        // the runtime's own idea of fairness would depend on what else was polled
        let future = Box::pin(tokio::task::unconstrained(future));
        self.tasks.insert(self.ever, Task { future, awake: Arc::new(Awake(AtomicBool::new(true))) });
        self.ever
    }

    /// Drops a future where it stands.
    pub fn kill(&mut self, id: TaskId) {
        self.tasks.remove(&id);
    }

    /// How many can go on.
    pub fn awake(&self) -> usize {
        self.tasks.values().filter(|task| task.awake.0.load(Ordering::SeqCst)).count()
    }

    /// One of those that can go on does; gives its outcome when it has ended.
    pub fn turn(&mut self, random: &mut StdRng) -> Option<(TaskId, T)> {
        let awake = self.tasks.iter_mut().filter(|(_, task)| task.awake.0.load(Ordering::SeqCst));
        let mut awake: Vec<_> = awake.collect();
        let chosen = random.random_range(0..awake.len());
        let (id, task) = awake.swap_remove(chosen);
        task.awake.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(task.awake.clone());
        let id = *id;
        match task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => None,
            Poll::Ready(outcome) => {
                self.tasks.remove(&id);
                Some((id, outcome))
            }
        }
    }
}
