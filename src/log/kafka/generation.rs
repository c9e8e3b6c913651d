//! Which generation of its group a seat is in: what the broker tells a former owner's transaction by (KIP-447).

use std::{ffi::CStr, ptr::NonNull};

use rdkafka::{
    bindings as native,
    consumer::{Consumer as _, ConsumerGroupMetadata},
};

use super::context::Consumer;

/// The group metadata of a member that has a place in a generation; `None` between two of them.
///
/// Without this look the broker would take a transaction from a client that is no member at all: with neither a
/// generation nor a member's id there is nothing that it could compare.
pub(super) fn of_member(consumer: &Consumer) -> Option<ConsumerGroupMetadata> {
    // Taken between two looks at the same generation, it is of that one: a member never comes back into it.
    let before = Generation::of(consumer)?;
    let metadata = consumer.group_metadata()?;
    (Generation::of(consumer)? == before).then_some(metadata)
}

#[derive(PartialEq, Eq)]
struct Generation {
    number: i32,
    member: Vec<u8>,
}

impl Generation {
    fn of(consumer: &Consumer) -> Option<Generation> {
        // SAFETY: the client lives; what it returns is ours, lives until it is destroyed below, and its member id is
        // null or null-terminated.
        let generation = unsafe {
            let metadata = NonNull::new(native::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()))?;
            let member = native::rd_kafka_consumer_group_metadata_member_id(metadata.as_ptr());
            let member = if member.is_null() { Vec::new() } else { CStr::from_ptr(member).to_bytes().to_vec() };
            let number = native::rd_kafka_consumer_group_metadata_generation_id(metadata.as_ptr());
            native::rd_kafka_consumer_group_metadata_destroy(metadata.as_ptr());
            Generation { number, member }
        };
        // Both protocols number from 1.
        (generation.number > 0 && !generation.member.is_empty()).then_some(generation)
    }
}
