//! What a crash leaves between two writes of the store.

use super::*;

/// What `roll` leaves when the process dies in it: a keyspace that no manifest names.
fn leave_a_stray(path: &Path, number: u64) {
    let store = Store::open(path).expect("the store opens");
    store.db.keyspace(&keys::segment_keyspace("stray", number), segment_options).expect("it is created");
}

#[test]
fn a_topic_outlives_the_strays_that_were_removed_before_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let manifest = TopicManifest { partitions: 1, compacted: false, age_ms: None, bytes: None };
    let mut names = BTreeSet::new();
    for round in 0..24_u64 {
        if round % 3 > 0 {
            leave_a_stray(&path, round);
        }
        let mut store = Store::open(&path).expect("the store opens");
        assert_eq!(store.topics().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>(), names, "round {round}");
        store.drop_strays().expect("they are removed");
        if round % 2 == 0 {
            let name = format!("topic-{round}");
            store.put_topic(&name, manifest.clone(), 0).expect("it is created");
            names.insert(name);
        }
    }
}
