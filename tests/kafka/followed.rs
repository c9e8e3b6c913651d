//! Partitions that are followed, and restores that go on from there.

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use tripline::log::{Cleanup, HeadStart, Live, Log, Reader, Record};

use super::{
    broker::broker,
    log::{at, delete_before, record, soon, with_topic},
};

/// What a follower has when it has read up to `next`.
async fn followed(reader: &mut dyn Reader, next: u64) -> HeadStart {
    let mut ahead = HeadStart::default();
    let all = async {
        while ahead.next < next {
            reader.ready().await.expect("it is readable");
            ahead.next = reader.drain(100, &mut |record| ahead.live.take(record)).expect("it is readable").next;
        }
    };
    soon("what is followed", all).await;
    ahead
}

fn sorted(live: &Live) -> Vec<(&str, &str)> {
    let text = |bytes| std::str::from_utf8(bytes).expect("text");
    let mut records: Vec<_> = live.iter().map(|(key, value)| (text(key), text(value))).collect();
    records.sort();
    records
}

#[tokio::test]
async fn a_restore_reads_only_what_came_after_that_which_was_followed() {
    let (log, topic) = with_topic(2, Cleanup::Compact).await;
    let places = [at(&topic, 0), at(&topic, 1)];
    let write = async |partition: u32, key: &str, value: Option<&str>| {
        let value = value.map(|value| value.to_owned().into());
        log.append(vec![Record { value, ..record(&topic, partition, key, "") }]).await.expect("it is durable");
    };
    for key in ["a", "b", "c"] {
        write(0, key, Some("old")).await;
        write(1, key, Some("of another partition")).await;
    }
    let (mut first, mut second) =
        (log.follow(&places[0]).await.expect("one"), log.follow(&places[1]).await.expect("two"));
    let (ahead, other) = (followed(first.as_mut(), 3).await, followed(second.as_mut(), 3).await);
    assert_eq!((ahead.live.len(), sorted(&other.live)[0]), (3, ("a", "of another partition")));
    write(0, "a", Some("new")).await;
    write(0, "b", None).await;

    let told = std::sync::Mutex::new(Vec::new());
    let progress = |read, of| told.lock().expect("nobody panics").push((read, of));
    let live = soon("restore", log.restore(&places[0], ahead, &progress)).await.expect("it is readable");
    assert_eq!(sorted(&live), [("a", "new"), ("c", "old")]);
    assert_eq!(told.lock().expect("nobody panics").last(), Some(&(2, 2)), "nothing is read twice");
    let live = soon("restore", log.restore(&places[1], other, &|_, of| assert_eq!(of, 0))).await;
    assert_eq!(live.expect("it is readable").len(), 3, "there is nothing to read");

    // One that ends and begins anew disturbs no other.
    drop(first);
    let mut first = log.follow(&places[0]).await.expect("a follower again");
    assert_eq!(sorted(&followed(first.as_mut(), 5).await.live), [("a", "new"), ("c", "old")]);
    write(1, "d", Some("new")).await;
    assert_eq!(followed(second.as_mut(), 4).await.live.len(), 1, "it went on where it was");
}

#[tokio::test]
async fn what_was_followed_of_another_log_is_not_believed() {
    // Where records can be deleted.
    let (log, topic) = with_topic(1, Cleanup::Delete { age: None, bytes: None }).await;
    let place = at(&topic, 0);
    log.append(vec![record(&topic, 0, "a", "1"), record(&topic, 0, "a", "2")]).await.expect("they are durable");
    let ahead = || {
        let mut live = Live::default();
        live.apply(b"ghost", Some(b"1"));
        live
    };
    let beyond = HeadStart { live: ahead(), next: 3 };
    let live = soon("restore", log.restore(&place, beyond, &|_, _| {})).await.expect("it is readable");
    assert_eq!(sorted(&live), [("a", "2")], "it ends beyond the end");
    delete_before(&topic, 1).await;
    let before = HeadStart { live: ahead(), next: 0 };
    let live = soon("restore", log.restore(&place, before, &|_, _| {})).await.expect("it is readable");
    assert_eq!(sorted(&live), [("a", "2")], "what came next is gone");
}

#[tokio::test]
async fn a_topic_that_forgets_removals_soon_is_not_followed() {
    let (log, other) = with_topic(1, Cleanup::Compact).await;
    let topic = format!("{other}.forgets");
    let settings = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
    let settings = settings.set("cleanup.policy", "compact").set("delete.retention.ms", "60000");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("an admin client");
    let made = admin.create_topics(&[settings], &AdminOptions::new()).await.expect("an answer");
    made.into_iter().for_each(|topic| drop(topic.expect("the topic is made")));
    let refused = soon("the refusal", log.follow(&at(&topic, 0))).await.map(drop);
    let text = refused.expect_err("it must be refused").to_string();
    assert!(text.contains("delete.retention.ms=60000") && text.contains("at least 14400000"), "{text}");
}
