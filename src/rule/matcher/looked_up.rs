//! What was looked up for the event that is being matched: an address that many tests ask about is looked up once.

use std::{borrow::Cow, cell::RefCell, sync::Arc};

use super::{
    super::{
        enrichment::{Directory, Found, Lookup},
        predicate::Reads,
    },
    shown::Shown,
};
use crate::event::{Scalar, Timestamp, Value};

/// Addresses that are remembered of one event, whose arrays are its sender's to choose; others are looked up each time.
const ADDRESSES_MAX: usize = 64;

/// What is known of addresses of one event. The rules of a matcher have one directory of a kind.
#[derive(Debug, Default)]
pub(super) struct LookedUp(RefCell<Vec<Known>>);

#[derive(Debug)]
struct Known {
    lookup: Lookup,
    address: Box<str>,
    found: Option<Arc<Found>>,
}

impl LookedUp {
    pub(super) fn forget(&mut self) {
        self.0.get_mut().clear();
    }

    fn found(&self, directory: &Directory, address: &str) -> Option<Arc<Found>> {
        let known = self.0.borrow();
        let lookup = directory.lookup();
        if let Some(known) = known.iter().find(|known| known.lookup == lookup && *known.address == *address) {
            return known.found.clone();
        }
        let is_full = known.len() >= ADDRESSES_MAX;
        drop(known);
        let found = directory.look_up(address);
        if !is_full {
            self.0.borrow_mut().push(Known { lookup, address: address.into(), found: found.clone() });
        }
        found
    }
}

/// An event with what was looked up for it.
pub(super) struct Remembering<'a> {
    pub(super) seen: Shown<'a>,
    pub(super) looked_up: &'a LookedUp,
}

impl Reads for Remembering<'_> {
    fn any(&self, path: &str, visit: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
        Reads::any(&self.seen, path, visit)
    }

    fn exists(&self, path: &str) -> bool {
        self.seen.exists(path)
    }

    fn value(&self, path: &str) -> Option<Cow<'_, Value>> {
        self.seen.value(path)
    }

    fn time(&self) -> Timestamp {
        self.seen.time()
    }

    fn found(&self, directory: &Directory, address: &str) -> Option<Arc<Found>> {
        self.looked_up.found(directory, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Enrichment;

    #[test]
    fn an_address_is_remembered_until_the_event_is_over_and_no_more_than_so_many() {
        let mut looked_up = LookedUp::default();
        let directory = |lookup| Enrichment::default().directory(lookup);
        for lookup in [Lookup::Geo, Lookup::Asn, Lookup::Geo] {
            assert_eq!(looked_up.found(&directory(lookup), "192.0.2.7"), None);
        }
        assert_eq!(looked_up.0.borrow().len(), 2);
        for n in 0..2 * ADDRESSES_MAX {
            looked_up.found(&directory(Lookup::Geo), &format!("10.0.0.{n}"));
        }
        assert_eq!(looked_up.0.borrow().len(), ADDRESSES_MAX);
        looked_up.forget();
        assert!(looked_up.0.borrow().is_empty());
    }
}
