//! Which slot holds a text: a hash table over slots, made anew where a state was restored.

use std::{
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

use hashbrown::HashTable;

/// Up to so many slots looking at each is as fast.
const LOOKED_THROUGH: usize = 8;

/// Seeded anew in each process: who writes the events can't choose texts that collide. No answer depends on it.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// What is in a slot.
pub(super) trait Held {
    /// `None` of a free slot.
    fn held(&self) -> Option<&str>;
}

/// Slots by text. Without entries while slots are few.
#[derive(Debug, Clone, Default)]
pub(super) struct Index(HashTable<u32>);

/// What an index says follows from the slots.
impl PartialEq for Index {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Index {}

impl Index {
    pub fn find(&mut self, text: &str, slots: &[impl Held]) -> Option<u32> {
        if slots.len() <= LOOKED_THROUGH {
            return slots.iter().position(|slot| slot.held() == Some(text)).map(|at| at as u32);
        }
        if self.0.is_empty() {
            for at in (0..slots.len() as u32).filter(|at| slots[*at as usize].held().is_some()) {
                self.put(at, slots);
            }
        }
        self.0.find(HASHES.hash_one(text), |at| slots[*at as usize].held() == Some(text)).copied()
    }

    /// Adds a slot whose text is in none before.
    pub fn insert(&mut self, at: u32, slots: &[impl Held]) {
        if !self.0.is_empty() {
            self.put(at, slots);
        }
    }

    /// Removes a slot that is still held.
    pub fn remove(&mut self, at: u32, slots: &[impl Held]) {
        if let Ok(entry) = self.0.find_entry(hash(at, slots), |other| *other == at) {
            entry.remove();
        }
    }

    fn put(&mut self, at: u32, slots: &[impl Held]) {
        self.0.insert_unique(hash(at, slots), at, |at| hash(*at, slots));
    }
}

fn hash(at: u32, slots: &[impl Held]) -> u64 {
    HASHES.hash_one(slots[at as usize].held().unwrap_or_default())
}
