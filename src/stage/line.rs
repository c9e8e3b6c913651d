//! The shell around a line: one partition's work in one actor, with its panics caught and its end reported.
//!
//! The work itself is a future that owns its reader and its state. The shell never looks inside: it passes orders in
//! and says how the work ended.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, Recipient, WrapFuture, fut::ActorFutureExt};
use futures_util::{FutureExt, future::LocalBoxFuture};
use tokio::sync::mpsc;

use super::messages::{Ended, LineStopped, Order};
use crate::log::TopicPartition;

/// Orders that may wait for a line; there are only a few kinds, and the newest of each is what counts.
const MAILBOX_MAX: usize = 16;

/// A line's work: ends when it is ordered to, or when it can't go on.
pub type Work = Box<dyn FnOnce(mpsc::UnboundedReceiver<Order>) -> LocalBoxFuture<'static, Ended> + Send>;

/// The offset that a line is working on, readable after the line has died of it.
#[derive(Debug, Clone)]
pub struct AtWork(Arc<AtomicU64>);

impl Default for AtWork {
    fn default() -> Self {
        AtWork(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl AtWork {
    pub fn on(&self, offset: u64) {
        self.0.store(offset, Ordering::Relaxed);
    }

    pub fn off(&self) {
        self.on(u64::MAX);
    }

    pub fn offset(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|offset| *offset != u64::MAX)
    }
}

/// How often an actor says that it is alive.
pub const BEAT_INTERVAL: Duration = Duration::from_secs(1);

/// The actor of one line.
pub struct Line {
    at: TopicPartition,
    work: Option<Work>,
    orders: mpsc::UnboundedSender<Order>,
    taken: Option<mpsc::UnboundedReceiver<Order>>,
    supervisor: Recipient<LineStopped>,
    beat: Beat,
}

/// Called by a line's actor as long as its thread comes round to it.
pub type Beat = Box<dyn Fn() + Send>;

impl Line {
    pub fn new(at: TopicPartition, work: Work, supervisor: Recipient<LineStopped>, beat: Beat) -> Self {
        let (orders, taken) = mpsc::unbounded_channel();
        Line { at, work: Some(work), orders, taken: Some(taken), supervisor, beat }
    }
}

impl Actor for Line {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        (self.beat)();
        ctx.run_interval(BEAT_INTERVAL, |line, _| (line.beat)());
        let (Some(work), Some(orders)) = (self.work.take(), self.taken.take()) else { return ctx.stop() };
        let guarded = AssertUnwindSafe(async move { work(orders).await }).catch_unwind();
        ctx.spawn(guarded.into_actor(self).map(|ended, line, ctx| {
            let ended = ended.unwrap_or_else(|panic| Ended::Panicked(panic_text(panic.as_ref())));
            line.supervisor.do_send(LineStopped { at: line.at.clone(), ended });
            ctx.stop();
        }));
    }
}

impl Handler<Order> for Line {
    type Result = ();

    fn handle(&mut self, order: Order, _: &mut Self::Context) {
        // A line that has ended takes no orders; its supervisor knows by its report.
        let _ = self.orders.send(order);
    }
}

impl Message for Order {
    type Result = ();
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}
