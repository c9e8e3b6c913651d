//! The writer's queue: bounded in calls and in bytes. A full queue holds the caller's thread until the writer, which
//! waits for nobody, has taken from it.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Calls that wait at most.
const CALLS_MAX: usize = 4096;
/// Bytes of the calls that wait; the last one may exceed it.
const BYTES_MAX: usize = 32 * 1024 * 1024;

pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    room: Condvar,
}

struct State<T> {
    calls: VecDeque<(T, usize)>,
    bytes: usize,
    closed: bool,
}

/// What [`Queue::next`] came back with.
pub(super) enum Next<T> {
    Call(T),
    TimeUp,
    /// Closed, and everything that was queued before has been taken.
    Closed,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Queue {
            state: Mutex::new(State { calls: VecDeque::new(), bytes: 0, closed: false }),
            arrived: Condvar::new(),
            room: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a call behind the ones before; drops it when the queue is closed.
    pub(super) fn push(&self, call: T, bytes: usize) {
        let full = |state: &mut State<T>| !state.closed && (state.calls.len() >= CALLS_MAX || state.bytes >= BYTES_MAX);
        let mut state = self.room.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        if !state.closed {
            state.bytes += bytes;
            state.calls.push_back((call, bytes));
            self.arrived.notify_one();
        }
    }

    /// Waits for a call until `deadline`.
    pub(super) fn next(&self, deadline: Instant) -> Next<T> {
        let mut state = self.lock();
        loop {
            if let Some((call, bytes)) = state.calls.pop_front() {
                state.bytes -= bytes;
                self.room.notify_one();
                return Next::Call(call);
            }
            if state.closed {
                return Next::Closed;
            }
            let patience = deadline.saturating_duration_since(Instant::now());
            if patience.is_zero() {
                return Next::TimeUp;
            }
            state = self.arrived.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes no more calls; those that wait are still to be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
        self.room.notify_all();
    }

    /// Closes, and drops the calls that wait.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.calls.clear();
        drop(state);
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread, time::Duration};

    use super::*;

    #[test]
    fn a_full_queue_holds_the_caller_until_there_is_room() {
        let queue = Arc::new(Queue::new());
        queue.push(1, BYTES_MAX);
        let caller = thread::spawn({
            let queue = queue.clone();
            move || queue.push(2, 1)
        });
        let deadline = Instant::now() + Duration::from_secs(10);
        assert!(matches!(queue.next(deadline), Next::Call(1)));
        assert!(matches!(queue.next(deadline), Next::Call(2)));
        caller.join().unwrap();
    }

    #[test]
    fn what_was_queued_before_the_close_is_still_taken() {
        let queue = Queue::new();
        queue.push(1, 1);
        queue.close();
        queue.push(2, 1);
        let deadline = Instant::now() + Duration::from_secs(10);
        assert!(matches!(queue.next(deadline), Next::Call(1)));
        assert!(matches!(queue.next(deadline), Next::Closed));
    }
}
