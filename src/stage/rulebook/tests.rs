//! On the memory log.

use super::*;
use crate::{
    config::Config,
    log::{Cleanup, TopicSpec, memory::MemoryLog},
    rule::{RuleFiles, SigmaOptions},
};

fn topics() -> Topics {
    Topics::new("t")
}

async fn rulebook() -> (Arc<MemoryLog>, Rulebook) {
    let log = MemoryLog::new();
    let spec = TopicSpec { name: topics().rules, partitions: 1, cleanup: Cleanup::Compact, fixed: true };
    log.ensure(&[spec]).await.expect("a topic");
    (log.clone(), Rulebook::new(log, &topics(), LoadOptions::default()))
}

fn bundle(text: &str) -> Bundle {
    let files = RuleFiles { files: [("a.rhai".into(), text.to_owned())].into(), ..RuleFiles::default() };
    Bundle::of(&files, &SigmaOptions::default())
}

fn rule(id: &str) -> String {
    format!("rule(#{{ id: \"{id}\", event: |e| e.a == 1 }});")
}

#[tokio::test]
async fn what_was_pushed_is_loaded_by_its_mark() {
    let (_, book) = rulebook().await;
    assert_eq!(book.newest().await.expect("it can be read"), None);
    let (first, _) = book.push(&bundle(&rule("one")), 1, 5).await.expect("it is pushed");
    let (second, _) = book.push(&bundle(&rule("two")), 1, 6).await.expect("it is pushed");
    assert!(second.mark.revision > first.mark.revision);
    assert_eq!(book.newest().await.expect("it can be read"), Some(second.clone()));
    for (push, id) in [(&first, "one"), (&second, "two")] {
        let ruling = book.ruling(&push.mark).await.expect("it loads");
        assert_eq!((&ruling.push, &**ruling.set.rules[0].id(), ruling.refused), (push, id, 0));
        assert_eq!(ruling.set.bundle.as_ref(), Some(&push.mark));
    }
}

#[tokio::test]
async fn what_is_the_newest_already_is_not_pushed_again_and_what_is_older_is() {
    let (_, book) = rulebook().await;
    let (first, _) = book.push(&bundle("// one"), 0, 5).await.expect("it is pushed");
    assert_eq!(book.push(&bundle("// one"), 0, 6).await.expect("it is there"), (first.clone(), false));
    book.push(&bundle("// two"), 0, 7).await.expect("it is pushed");
    let (back, is_new) = book.push(&bundle("// one"), 0, 8).await.expect("it is pushed");
    assert!(is_new && back.mark.revision > first.mark.revision && back.mark.hash == first.mark.hash);
}

/// Text that does not compress.
fn noise(bytes: usize) -> String {
    let mut seed = 7u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + (seed >> 33) as u8 % 95)
    };
    (0..bytes).map(|_| next()).collect()
}

#[tokio::test]
async fn a_large_bundle_goes_in_chunks_and_a_larger_one_is_refused() {
    let (_, book) = rulebook().await;
    let of = |bytes| {
        let lists = [("lists/x.txt".into(), Ok(noise(bytes)))].into();
        Bundle::of(&RuleFiles { lists, ..RuleFiles::default() }, &SigmaOptions::default())
    };
    let (push, _) = book.push(&of(3 * CHUNK_BYTES), 0, 5).await.expect("it is pushed");
    assert!(book.entries().await.expect("it can be read").chunks.len() > 2);
    book.ruling(&push.mark).await.expect("it loads");
    let refused = book.push(&of(BUNDLE_BYTES_MAX * 5 / 4), 0, 6).await.expect_err("it is too large").to_string();
    assert!(refused.contains("at most 16777216"), "{refused}");
    assert_eq!(book.newest().await.expect("it can be read"), Some(push));
}

#[tokio::test]
async fn old_pushes_go_with_their_chunks_and_are_missed_by_name() {
    let (_, book) = rulebook().await;
    let mut pushes = Vec::new();
    for number in 0..PUSHES_MAX + 3 {
        pushes.push(book.push(&bundle(&format!("// {number}")), 0, 5).await.expect("it is pushed").0);
    }
    let entries = book.entries().await.expect("it can be read");
    assert_eq!((entries.pushes.len(), entries.chunks.len()), (PUSHES_MAX, PUSHES_MAX));
    let gone = book.ruling(&pushes[0].mark).await.expect_err("it is gone");
    assert!(matches!(&gone, RulebookError::Gone { hash, .. } if *hash == pushes[0].mark.hash), "{gone}");
}

fn chunk(book: &Rulebook, hash: &str) -> Record {
    book.record(Chunk { index: 0, of: 2, bytes: vec![1] }.record(hash), 5)
}

async fn hashes_of_chunks(book: &Rulebook) -> Vec<Arc<str>> {
    book.entries().await.expect("it can be read").chunks.into_keys().map(|(hash, _)| hash).collect()
}

#[tokio::test]
async fn what_a_push_left_that_broke_off_goes_with_the_next_one() {
    let (log, book) = rulebook().await;
    log.append(vec![chunk(&book, &"b".repeat(64))]).await.expect("the log takes it");
    let before = book.entries().await.expect("it can be read");
    let (push, _) = book.push(&bundle("// one"), 0, 5).await.expect("it is pushed");
    assert_eq!(hashes_of_chunks(&book).await, std::slice::from_ref(&push.mark.hash));
    // What was not there when the push began may be another's that is under way.
    log.append(vec![chunk(&book, &"a".repeat(64))]).await.expect("the log takes it");
    book.let_go(&before, &push, 6).await.expect("it can be read");
    assert_eq!(hashes_of_chunks(&book).await.len(), 2);
}

#[tokio::test]
async fn a_push_that_lost_its_chunks_is_mended_by_pushing_it_again() {
    let (log, book) = rulebook().await;
    let (push, _) = book.push(&bundle(&rule("one")), 1, 5).await.expect("it is pushed");
    log.append(vec![book.record((Chunk::key(&push.mark.hash, 0), None), 6)]).await.expect("the log takes it");
    assert!(matches!(book.ruling(&push.mark).await, Err(RulebookError::Gone { .. })));
    let (again, is_new) = book.push(&bundle(&rule("one")), 1, 7).await.expect("it is pushed");
    assert!(is_new);
    book.ruling(&again.mark).await.expect("it loads");
}

#[tokio::test]
async fn chunks_that_are_not_what_the_hash_names_are_refused() {
    let (log, book) = rulebook().await;
    let (push, _) = book.push(&bundle("// one"), 0, 5).await.expect("it is pushed");
    let forged = zstd::bulk::compress(&bundle("// two").bytes, COMPRESSION_LEVEL).expect("it compresses");
    let chunk = Chunk { index: 0, of: 1, bytes: forged }.record(&push.mark.hash);
    log.append(vec![book.record(chunk, 6)]).await.expect("the log takes it");
    assert!(matches!(book.ruling(&push.mark).await, Err(RulebookError::Broken { .. })));
}

#[tokio::test]
async fn a_process_that_follows_hears_of_the_next_push() {
    let (_, book) = rulebook().await;
    let (first, _) = book.push(&bundle(&rule("one")), 1, 5).await.expect("it is pushed");
    let follow = book.newer_than(first.mark.revision);
    let push = async { book.push(&bundle(&rule("two")), 1, 6).await.expect("it is pushed") };
    let (ruling, (second, _)) = tokio::join!(follow, push);
    assert_eq!(ruling.push, second);
}

#[test]
fn the_rules_topic_is_made_where_rules_come_from_it() {
    let mut config = Config::default();
    let has = |config: &Config| topics().specs(config).iter().any(|spec| spec.name == topics().rules);
    assert!(!has(&config));
    config.rules.source = crate::config::RulesSource::Topic;
    assert!(has(&config));
}
