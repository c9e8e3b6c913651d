//! The queue of one partition's fetched records, read in place.
//!
//! The only file that calls librdkafka itself. rdkafka's `PartitionQueue` drops the offset that the end of a partition
//! is reported with, without which a reader can't tell that it has passed the markers of transactions.
//!
//! Records are taken one by one. librdkafka's call for batches (`rd_kafka_consume_batch_queue`, 2.12) counts the report
//! of an end as a record: it puts the position one beyond the end, and when a rebalance pauses and resumes the
//! partition, fetching goes on behind a record that nobody has seen.

use std::{
    ffi::{CStr, CString, c_void},
    ptr::{self, NonNull},
    slice,
    sync::Arc,
};

use rdkafka::{
    bindings as native,
    consumer::Consumer as _,
    error::RDKafkaErrorCode,
    types::{RDKafka, RDKafkaMessage, RDKafkaRespErr},
};
use tokio::sync::Notify;

use super::context::Consumer;
use crate::log::RecordRef;

/// Something that came out of the queue.
pub(super) enum Fetched {
    Record(FetchedRecord),
    /// Everything before this offset has come out, and there was nothing beyond it.
    End(u64),
    /// The log does not have the offset that was asked for.
    OutOfRange,
    Failed(RDKafkaErrorCode, String),
}

/// The queue of one partition; exclusively its owner's until dropped.
pub(super) struct PartitionQueue {
    queue: NonNull<native::rd_kafka_queue_t>,
    // The callback's; dropped after the callback is switched off.
    _wake: Arc<Notify>,
    // The client must outlive its queues.
    _consumer: Arc<Consumer>,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for PartitionQueue {}

impl PartitionQueue {
    /// Takes the partition's records out of the client's common queue. To be called before the partition is assigned:
    /// a queue that the application has forwarded is left alone by every later assignment.
    ///
    /// `wake` is notified whenever the queue stops being empty.
    pub fn split(consumer: &Arc<Consumer>, topic: &str, partition: u32, wake: &Arc<Notify>) -> Option<PartitionQueue> {
        let topic = CString::new(topic).ok()?;
        let partition = i32::try_from(partition).ok()?;
        // SAFETY: the client lives as long as the queue (`_consumer`), and `wake` longer than the callback, which
        // `drop` switches off under the queue's own lock.
        unsafe {
            let client = consumer.client().native_ptr();
            let queue = NonNull::new(native::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition))?;
            native::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            let opaque = Arc::as_ptr(wake).cast_mut().cast();
            native::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(notify), opaque);
            Some(PartitionQueue { queue, _wake: wake.clone(), _consumer: consumer.clone() })
        }
    }

    /// Hands over what is at hand, up to `max`, without waiting. Returns how many; fewer than `max` means that the queue
    /// is empty and that `wake` will say when it no longer is.
    pub fn take(&mut self, max: usize, mut each: impl FnMut(Fetched)) -> usize {
        // SAFETY: the queue is alive, and a message that comes out of it is ours to destroy.
        let next = || NonNull::new(unsafe { native::rd_kafka_consume_queue(self.queue.as_ptr(), 0) });
        let mut taken = 0;
        while taken < max
            && let Some(message) = next()
        {
            each(Fetched::of(FetchedRecord(message)));
            taken += 1;
        }
        taken
    }
}

unsafe extern "C" fn notify(_: *mut RDKafka, wake: *mut c_void) {
    // SAFETY: `split` registered a `Notify` that outlives the registration.
    unsafe { (*wake.cast::<Notify>()).notify_one() };
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: both calls take the queue's lock, so no callback runs when `_wake` is dropped.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            native::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

impl Fetched {
    fn of(record: FetchedRecord) -> Fetched {
        let message = record.message();
        match message.err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Fetched::Record(record),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => Fetched::End(record.offset()),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET => Fetched::OutOfRange,
            error => {
                // SAFETY: the message lives, and librdkafka's text of it is null-terminated.
                let reason = unsafe { CStr::from_ptr(native::rd_kafka_message_errstr(message)) };
                Fetched::Failed(error.into(), reason.to_string_lossy().into_owned())
            }
        }
    }
}

/// A record in librdkafka's memory, freed when dropped.
pub(super) struct FetchedRecord(NonNull<RDKafkaMessage>);

// SAFETY: a message is a plain, counted piece of memory that any thread may read and free.
unsafe impl Send for FetchedRecord {}

impl FetchedRecord {
    fn message(&self) -> &RDKafkaMessage {
        // SAFETY: the message lives until `drop`.
        unsafe { self.0.as_ref() }
    }

    pub fn offset(&self) -> u64 {
        u64::try_from(self.message().offset).unwrap_or(0)
    }

    pub fn view(&self) -> RecordRef<'_> {
        let message = self.message();
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message lives, and its key and payload with it; librdkafka gives null for an absent one.
        let (timestamp_ms, key, value) = unsafe {
            let timestamp_ms = native::rd_kafka_message_timestamp(message, &mut kind);
            (timestamp_ms, bytes(message.key, message.key_len), bytes(message.payload, message.len))
        };
        let stamped_by_log = kind == native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
        RecordRef { offset: self.offset(), timestamp_ms, stamped_by_log, key, value }
    }
}

/// # Safety
/// `start` must be null or point to `len` bytes that live for `'a`.
unsafe fn bytes<'a>(start: *mut c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: as promised by the caller.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast::<u8>(), len) })
}

impl Drop for FetchedRecord {
    fn drop(&mut self) {
        // SAFETY: the message is ours and is freed once.
        unsafe { native::rd_kafka_message_destroy(self.0.as_ptr()) };
    }
}
