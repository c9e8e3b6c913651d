//! The keys of one rule, each once: its text, its state and what the changelog has to hear of it.

use std::{
    hash::{BuildHasher, RandomState},
    ops::Deref,
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
    gone: Vec<Key>,
    /// Until when alerts have to say that keys of the rule were evicted in their windows' time.
    pub evicted_at: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Slot {
    key: Key,
    pub state: KeyState,
    /// The timer of this key that counts, or [`NO_TIMER`]; others that lie in its group are passed by.
    pub timer: Timestamp,
    /// What the key counted for when it was weighed last.
    bytes: u32,
    is_dirty: bool,
    is_stored: bool,
    is_free: bool,
}

/// No timer goes off at the end of time.
pub(super) const NO_TIMER: Timestamp = Timestamp::MAX;

impl Slot {
    fn new(key: Key) -> Self {
        Slot {
            key,
            state: KeyState::default(),
            timer: NO_TIMER,
            bytes: 0,
            is_dirty: false,
            is_stored: false,
            is_free: false,
        }
    }

    pub fn key(&self) -> &Key {
        &self.key
    }
}

/// A packed key; in its place where it is short, as an address is.
#[derive(Debug, Clone)]
pub(super) enum Key {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

/// What fits beside a length and the mark of the variant.
const SHORT: usize = 22;

impl Key {
    fn new(packed: &[u8]) -> Self {
        if packed.len() > SHORT {
            return Key::Long(packed.into());
        }
        let mut bytes = [0; SHORT];
        bytes[..packed.len()].copy_from_slice(packed);
        Key::Short { len: packed.len() as u8, bytes }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Key::Short { .. } => 0,
            Key::Long(bytes) => bytes.len(),
        }
    }
}

impl Default for Key {
    fn default() -> Self {
        Key::new(&[])
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Key::Short { len, bytes } => &bytes[..usize::from(*len)],
            Key::Long(bytes) => bytes,
        }
    }
}

/// What a commit writes of a table; keys are packed.
pub(super) enum Change<'a> {
    Put(&'a [u8], &'a KeyState),
    Remove(&'a [u8]),
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

    /// The place of a key, which is packed.
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        self.places.find(self.hasher.hash_one(key), |place| **self.slot(*place).key() == *key).copied()
    }

    /// The place of a key; of a new one where there is none.
    pub fn enter(&mut self, key: &[u8]) -> u32 {
        let Table { places, blocks, hasher, .. } = self;
        let hash = hasher.hash_one(key);
        if let Some(place) = places.find(hash, |place| *slot_of(blocks, *place).key == *key) {
            return *place;
        }
        let place = self.free.pop().unwrap_or_else(|| self.grow());
        *self.slot_mut(place) = Slot::new(Key::new(key));
        let Table { places, blocks, hasher, .. } = self;
        places.insert_unique(hash, place, |place| hasher.hash_one(&*slot_of(blocks, *place).key));
        place
    }

    fn grow(&mut self) -> u32 {
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            self.blocks.push(Vec::with_capacity(if self.blocks.is_empty() { 4 } else { BLOCK }));
        }
        let before = (self.blocks.len() - 1) * BLOCK;
        let block = self.blocks.last_mut().expect("one was pushed");
        block.push(Slot::new(Key::default()));
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
        let bytes = u32::try_from(size_of::<Slot>() + slot.key.heap_bytes() + slot.state.bytes()).unwrap_or(u32::MAX);
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
        let slot = std::mem::replace(self.slot_mut(place), Slot { is_free: true, ..Slot::new(Key::default()) });
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
        self.gone.drain(..).for_each(|key| write(Change::Remove(&key)));
        for place in std::mem::take(&mut self.dirty) {
            let slot = self.slot_mut(place);
            if slot.is_free || !slot.is_dirty {
                continue;
            }
            slot.is_dirty = false;
            slot.is_stored = true;
            write(Change::Put(&slot.key, &slot.state));
        }
    }
}

fn slot_of(blocks: &[Vec<Slot>], place: u32) -> &Slot {
    &blocks[place as usize / BLOCK][place as usize % BLOCK]
}
