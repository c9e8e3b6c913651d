//! The keys of one rule, each once: its text, its state and what the changelog has to hear of it.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use hashbrown::HashTable;

use super::{key::KeyState, plan::Plan};
use crate::event::Timestamp;

/// Keys of one block: blocks never move, so that growing copies nothing.
const BLOCK: usize = 1024;

#[derive(Debug)]
pub(super) struct Table {
    pub plan: Arc<Plan>,
    hasher: RandomState,
    /// Places by the hash of their key.
    places: HashTable<u32>,
    blocks: Vec<Vec<Slot>>,
    /// Places without a key.
    free: Vec<u32>,
    /// Places of keys that changed since the last commit.
    dirty: Vec<u32>,
    /// Keys that are in the changelog and nowhere else.
    gone: Vec<Box<[u8]>>,
    /// Until when alerts have to say that keys of the rule were evicted in their windows' time.
    pub evicted_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    /// As [`packed`] gives it.
    key: Box<[u8]>,
    pub state: KeyState,
    /// The timer of this key that counts; others that lie in its group are passed by.
    pub timer: Option<Timestamp>,
    /// What the key counted for when it was weighed last.
    bytes: u32,
    is_dirty: bool,
    is_stored: bool,
    is_free: bool,
}

impl Slot {
    pub fn key(&self) -> Vec<Arc<str>> {
        unpacked(&self.key)
    }

    pub fn packed_key(&self) -> &[u8] {
        &self.key
    }
}

/// What a commit writes of a table.
pub(super) enum Change<'a> {
    Put(Vec<Arc<str>>, &'a KeyState),
    Remove(Vec<Arc<str>>),
}

impl Table {
    pub fn new(plan: Arc<Plan>) -> Self {
        Table {
            plan,
            hasher: RandomState::new(),
            places: HashTable::new(),
            blocks: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            gone: Vec::new(),
            evicted_at: None,
        }
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn find(&self, key: &[Arc<str>], scratch: &mut Vec<u8>) -> Option<u32> {
        pack(key, scratch);
        self.places.find(self.hasher.hash_one(&**scratch), |place| *self.slot(*place).key == **scratch).copied()
    }

    /// The place of a key; of a new one where there is none.
    pub fn enter(&mut self, key: &[Arc<str>], scratch: &mut Vec<u8>) -> u32 {
        if let Some(place) = self.find(key, scratch) {
            return place;
        }
        let place = self.free.pop().unwrap_or_else(|| self.grow());
        *self.slot_mut(place) = Slot { key: scratch.as_slice().into(), ..Slot::default() };
        let Table { places, blocks, hasher, .. } = self;
        let hash_of = |place: &u32| hasher.hash_one(&*slot_of(blocks, *place).key);
        places.insert_unique(hash_of(&place), place, hash_of);
        place
    }

    fn grow(&mut self) -> u32 {
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            self.blocks.push(Vec::with_capacity(if self.blocks.is_empty() { 4 } else { BLOCK }));
        }
        let before = (self.blocks.len() - 1) * BLOCK;
        let block = self.blocks.last_mut().expect("one was pushed");
        block.push(Slot::default());
        (before + block.len() - 1) as u32
    }

    pub fn slot(&self, place: u32) -> &Slot {
        slot_of(&self.blocks, place)
    }

    pub fn slot_mut(&mut self, place: u32) -> &mut Slot {
        &mut self.blocks[place as usize / BLOCK][place as usize % BLOCK]
    }

    /// The key's state is another one.
    pub fn touch(&mut self, place: u32) {
        let slot = self.slot_mut(place);
        if !slot.is_dirty {
            slot.is_dirty = true;
            self.dirty.push(place);
        }
    }

    /// Takes note of what a key counts for; gives the difference.
    pub fn weigh(&mut self, place: u32) -> i64 {
        let slot = self.slot_mut(place);
        let bytes = u32::try_from(slot.key.len() + slot.state.bytes()).unwrap_or(u32::MAX);
        i64::from(bytes) - i64::from(std::mem::replace(&mut slot.bytes, bytes))
    }

    /// Gives a key the state that the changelog has of it.
    pub fn restore(&mut self, place: u32, state: KeyState) {
        let slot = self.slot_mut(place);
        slot.state = state;
        slot.is_stored = true;
    }

    /// Forgets a key; says how many bytes it counted for.
    pub fn remove(&mut self, place: u32) -> u32 {
        let Table { places, blocks, hasher, .. } = self;
        let hash = hasher.hash_one(&*slot_of(blocks, place).key);
        match places.find_entry(hash, |other| *other == place) {
            Ok(entry) => entry.remove(),
            Err(_) => return 0,
        };
        let slot = std::mem::replace(self.slot_mut(place), Slot { is_free: true, ..Slot::default() });
        if slot.is_stored {
            self.gone.push(slot.key);
        }
        self.free.push(place);
        slot.bytes
    }

    /// Keys with their places, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Slot)> {
        self.blocks.iter().flatten().zip(0..).filter(|(slot, _)| !slot.is_free).map(|(slot, place)| (place, slot))
    }

    pub fn has_changes(&self) -> bool {
        !self.dirty.is_empty() || !self.gone.is_empty()
    }

    /// Gives what changed since the last call.
    pub fn take_changes(&mut self, write: &mut dyn FnMut(Change<'_>)) {
        // A key that went and came again is put after its removal.
        self.gone.drain(..).for_each(|key| write(Change::Remove(unpacked(&key))));
        for place in std::mem::take(&mut self.dirty) {
            let slot = self.slot_mut(place);
            if slot.is_free || !slot.is_dirty {
                continue;
            }
            slot.is_dirty = false;
            slot.is_stored = true;
            write(Change::Put(slot.key(), &slot.state));
        }
    }
}

fn slot_of(blocks: &[Vec<Slot>], place: u32) -> &Slot {
    &blocks[place as usize / BLOCK][place as usize % BLOCK]
}

/// The key's elements, each after its length (LEB128).
fn pack(key: &[Arc<str>], into: &mut Vec<u8>) {
    into.clear();
    for element in key {
        let mut len = element.len();
        while len >= 0x80 {
            into.push(len as u8 | 0x80);
            len >>= 7;
        }
        into.push(len as u8);
        into.extend_from_slice(element.as_bytes());
    }
}

fn unpacked(mut bytes: &[u8]) -> Vec<Arc<str>> {
    let mut key = Vec::new();
    while !bytes.is_empty() {
        let digits = bytes.iter().take_while(|byte| **byte >= 0x80).count() + 1;
        let len = bytes[..digits].iter().rev().fold(0usize, |len, byte| len << 7 | usize::from(byte & 0x7f));
        let (element, rest) = bytes[digits..].split_at(len);
        key.push(String::from_utf8_lossy(element).into());
        bytes = rest;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_packed_without_loss() {
        let long = "x".repeat(20_000);
        for key in [vec![], vec!["203.0.113.9"], vec!["a", "", "b"], vec![long.as_str(), "é"]] {
            let key: Vec<Arc<str>> = key.into_iter().map(Arc::from).collect();
            let mut packed = Vec::new();
            pack(&key, &mut packed);
            assert_eq!(unpacked(&packed), key);
        }
    }
}
