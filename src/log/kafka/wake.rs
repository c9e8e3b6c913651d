//! Wakes the thread that serves a producer when librdkafka has something for it.
//!
//! rdkafka's own `BaseProducer::poll` waits in whole milliseconds and spins through what is left of the last one, and
//! goes on waiting when it has served an event. A thread that polled every millisecond until its records were
//! acknowledged was busy all that time.

use std::{
    ffi::c_void,
    ptr::{self, NonNull},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{ClientContext, bindings as native, client::Client, types::RDKafka};

use super::context::lock;

/// The queue of a producer's events, and whether it has stopped being empty. To be dropped before the producer.
pub(super) struct Wake {
    queue: NonNull<native::rd_kafka_queue_t>,
    // The callback's; dropped after the callback is switched off.
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Bell {
    has_rung: Mutex<bool>,
    ringing: Condvar,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for Wake {}
// SAFETY: as above; the bell guards itself.
unsafe impl Sync for Wake {}

impl Wake {
    /// `None` when librdkafka has no memory for it.
    pub fn of<C: ClientContext>(producer: &Client<C>) -> Option<Wake> {
        let bell = Arc::<Bell>::default();
        // SAFETY: the producer lives, and the bell longer than the callback, which `drop` switches off under the
        // queue's own lock.
        unsafe {
            let queue = NonNull::new(native::rd_kafka_queue_get_main(producer.native_ptr()))?;
            native::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(ring), Arc::as_ptr(&bell).cast_mut().cast());
            Some(Wake { queue, bell })
        }
    }

    /// Whether there is nothing to serve.
    pub fn is_empty(&self) -> bool {
        // SAFETY: the queue is alive.
        unsafe { native::rd_kafka_queue_length(self.queue.as_ptr()) == 0 }
    }

    /// Waits until there is something to serve, at most so long.
    pub fn wait(&self, most: Duration) {
        let has_rung = lock(&self.bell.has_rung);
        let silent = |has_rung: &mut bool| !*has_rung;
        let waited = self.bell.ringing.wait_timeout_while(has_rung, most, silent);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

unsafe extern "C" fn ring(_: *mut RDKafka, bell: *mut c_void) {
    // SAFETY: `of` registered a bell that outlives the registration.
    let bell = unsafe { &*bell.cast::<Bell>() };
    *lock(&bell.has_rung) = true;
    bell.ringing.notify_all();
}

impl Drop for Wake {
    fn drop(&mut self) {
        // SAFETY: both calls take the queue's lock, so no callback runs when the bell is dropped.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            native::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::producer::{BaseProducer, Producer as _};

    use super::*;
    use crate::log::kafka::{
        producer::Deliveries,
        properties::{self, Use, tests::kafka},
    };

    #[test]
    fn what_librdkafka_has_to_tell_ends_the_wait() {
        // Nobody listens there, and that is an event.
        let config = properties::client(&kafka(&[]), Use::Producer).expect("the defaults are valid");
        let producer: BaseProducer<Deliveries> =
            config.create_with_context(Deliveries::default()).expect("a producer without a broker");
        let wake = Wake::of(producer.client()).expect("a queue");
        // It rings when the queue stops being empty, which may have been before there was a bell.
        if wake.is_empty() {
            wake.wait(Duration::from_secs(600));
        }
        assert!(!wake.is_empty());
        while !wake.is_empty() {
            producer.poll(Duration::ZERO);
        }
    }
}
