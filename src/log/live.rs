//! What lives of a compacted partition: the newest value of each key, taken in record by record.
//!
//! Keys and values lie in blocks, in the order in which they came: a million of them cost no allocation each, and who
//! visits them walks through memory from one end to the other. It never looks at what they mean.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::RecordRef;

/// Bytes of a block; a larger record has one of its own.
const BLOCK_BYTES: usize = 1 << 20;
/// Dead bytes that are left where they are, whatever lives.
const DEAD_BYTES_SPARED: usize = 4 << 20;
/// Places of removed keys that are left, whatever lives: short keys that come and go leave few bytes and many places.
const DEAD_SLOTS_SPARED: usize = 1 << 16;

/// The live records of a compacted partition. Takes at most about twice their bytes, and 25 for each key that was put
/// since the gaps were closed; while they are closed, once the bytes of the live ones more.
#[derive(Debug, Default, Clone)]
pub struct Live {
    hasher: RandomState,
    /// Numbers of `slots`, by the hash of their key.
    places: HashTable<u32>,
    /// `None` where a key was removed.
    slots: Vec<Option<Slot>>,
    blocks: Vec<Vec<u8>>,
    live_bytes: usize,
    dead_bytes: usize,
}

/// Where a key lies; its value follows it.
#[derive(Debug, Clone, Copy)]
struct Slot {
    block: u32,
    at: u32,
    key_len: u32,
    value_len: u32,
}

impl Slot {
    fn len(self) -> usize {
        self.key_len as usize + self.value_len as usize
    }
}

impl Live {
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes of memory that it takes.
    pub fn room(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(Vec::capacity).sum();
        blocks + self.slots.capacity() * size_of::<Option<Slot>>() + self.places.allocation_size()
    }

    /// Keys with their newest values, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.slots.iter().flatten().map(|slot| record(&self.blocks, *slot))
    }

    /// Takes a record in, as it comes in the log. One without key is nobody's value.
    pub fn take(&mut self, record: RecordRef<'_>) {
        if let Some(key) = record.key {
            self.apply(key, record.value);
        }
    }

    /// Takes a key's next value in: none removes the key.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>) {
        match value {
            Some(value) => self.put(key, value),
            None => self.remove(key),
        }
        let dead_slots = self.slots.len() - self.places.len();
        let is_loose = self.dead_bytes > self.live_bytes + DEAD_BYTES_SPARED;
        if is_loose || dead_slots > self.places.len() + DEAD_SLOTS_SPARED {
            self.close_gaps();
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        let hash = self.hasher.hash_one(key);
        let Some(place) = self.find(hash, key) else {
            let slot = self.store(key, value);
            self.slots.push(Some(slot));
            let place = self.slots.len() as u32 - 1;
            let Live { places, slots, blocks, hasher, .. } = self;
            places.insert_unique(hash, place, |place| hasher.hash_one(key_at(blocks, slots, *place)));
            return;
        };
        let Some(before) = self.slots[place as usize] else { return };
        if value.len() > before.value_len as usize {
            self.dead_bytes += before.len();
            self.live_bytes -= before.len();
            let slot = self.store(key, value);
            self.slots[place as usize] = Some(slot);
            return;
        }
        let at = before.at as usize + key.len();
        self.blocks[before.block as usize][at..at + value.len()].copy_from_slice(value);
        let shorter = before.value_len as usize - value.len();
        self.dead_bytes += shorter;
        self.live_bytes -= shorter;
        self.slots[place as usize] = Some(Slot { value_len: value.len() as u32, ..before });
    }

    fn remove(&mut self, key: &[u8]) {
        let hash = self.hasher.hash_one(key);
        let Live { places, slots, blocks, .. } = self;
        if let Ok(found) = places.find_entry(hash, |place| key_at(blocks, slots, *place) == key) {
            let (place, _) = found.remove();
            let len = self.slots[place as usize].take().map_or(0, Slot::len);
            self.dead_bytes += len;
            self.live_bytes -= len;
        }
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.places.find(hash, |place| key_at(&self.blocks, &self.slots, *place) == key).copied()
    }

    /// Copies a record to the end of the blocks.
    fn store(&mut self, key: &[u8], value: &[u8]) -> Slot {
        let len = key.len() + value.len();
        if self.blocks.last().is_none_or(|block| block.capacity() - block.len() < len) {
            self.blocks.push(Vec::with_capacity(BLOCK_BYTES.max(len)));
        }
        let number = self.blocks.len() - 1;
        let block = &mut self.blocks[number];
        let slot = Slot {
            block: number as u32,
            at: block.len() as u32,
            key_len: key.len() as u32,
            value_len: value.len() as u32,
        };
        block.extend_from_slice(key);
        block.extend_from_slice(value);
        self.live_bytes += len;
        slot
    }

    /// Begins anew with what lives.
    fn close_gaps(&mut self) {
        let mut dense = Live::default();
        self.iter().for_each(|(key, value)| dense.put(key, value));
        *self = dense;
    }
}

fn record(blocks: &[Vec<u8>], slot: Slot) -> (&[u8], &[u8]) {
    let at = slot.at as usize;
    blocks[slot.block as usize][at..at + slot.len()].split_at(slot.key_len as usize)
}

/// The key of a place. Every place in the table has one.
fn key_at<'a>(blocks: &'a [Vec<u8>], slots: &[Option<Slot>], place: u32) -> &'a [u8] {
    slots[place as usize].map_or(&[], |slot| record(blocks, slot).0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::*;

    fn sorted(live: &Live) -> BTreeMap<Bytes, Bytes> {
        live.iter().map(|(key, value)| (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))).collect()
    }

    /// Against a map, through puts, longer and shorter values, removals and keys that return.
    #[test]
    fn the_newest_value_of_each_key_is_there_and_what_was_removed_is_not() {
        let (mut live, mut wanted) = (Live::default(), BTreeMap::new());
        let mut drawn = 7_u64;
        for _ in 0..60_000 {
            drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = Bytes::from(format!("key {}", drawn >> 33 & 511));
            // The empty key is a key, and an empty value is one.
            let key = if key == "key 0" { Bytes::new() } else { key };
            if drawn >> 60 == 0 {
                live.apply(&key, None);
                wanted.remove(&key);
            } else {
                let value = Bytes::from(vec![(drawn >> 40) as u8; (drawn >> 48 & 1023) as usize]);
                live.apply(&key, Some(&value));
                wanted.insert(key, value);
            }
        }
        assert_eq!(live.len(), wanted.len());
        assert_eq!(sorted(&live), wanted);
    }

    #[test]
    fn values_that_are_replaced_again_and_again_take_no_more_room() {
        let mut live = Live::default();
        for round in 0..200_usize {
            for key in 0..100_u8 {
                live.apply(&[key], Some(&vec![key; 1_000 + round]));
            }
        }
        let room = live.room();
        let of_places = 100 * 64;
        let room_max = 2 * live.live_bytes + DEAD_BYTES_SPARED + 2 * BLOCK_BYTES + of_places;
        assert!(room <= room_max, "{room} bytes for {live:?}");
        for key in 0..100_u8 {
            live.apply(&[key], None);
        }
        assert!(live.is_empty() && live.live_bytes == 0);
    }

    #[test]
    fn short_keys_that_come_and_go_leave_no_places_behind() {
        let mut live = Live::default();
        for round in 0..3 * DEAD_SLOTS_SPARED as u32 {
            live.apply(&round.to_le_bytes(), Some(b""));
            live.apply(&round.to_le_bytes(), None);
        }
        assert!(live.is_empty() && live.slots.len() <= DEAD_SLOTS_SPARED + 1, "{} places", live.slots.len());
    }

    #[test]
    fn a_record_larger_than_a_block_is_kept_whole() {
        let mut live = Live::default();
        let large = vec![7; 3 * BLOCK_BYTES];
        live.apply(b"large", Some(&large));
        live.apply(b"small", Some(b"1"));
        assert_eq!(sorted(&live), BTreeMap::from([("large".into(), large.into()), ("small".into(), "1".into())]));
    }
}
