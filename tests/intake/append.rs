//! The intake itself.

use tripline::input::{Appended, Received};

use super::{House, PARTITIONS, RECORD_BYTES_MAX, line};

#[tokio::test]
async fn lines_of_one_host_are_in_one_partition_in_order_whoever_sends_them() {
    let house = House::new().await;
    for n in 0..50 {
        let lines = ["a", "b", "c", "d", "e", "f"]
            .map(|host| line(&format!("<38>May  1 10:00:00 {host} app: {n}"), &format!("10.0.0.{}", n % 7)));
        house.intake.append(lines.to_vec()).await.unwrap();
    }
    let mut seen = 0;
    for partition in 0..PARTITIONS {
        let records = house.partition(partition).await;
        for host in ["a", "b", "c", "d", "e", "f"] {
            let numbers: Vec<_> = records.iter().filter(|(key, _)| key == host).map(|(_, line)| line.clone()).collect();
            assert!(numbers.is_empty() || numbers.len() == 50, "{host} is in more than one partition");
            let expected = (0..numbers.len()).map(|n| format!("<38>May  1 10:00:00 {host} app: {n}"));
            assert!(numbers.iter().cloned().eq(expected), "{host} is out of order");
            seen += numbers.len();
        }
    }
    assert_eq!(seen, 300);
}

#[tokio::test]
async fn broken_lines_are_taken_blank_ones_ignored_and_those_beyond_the_bound_rejected() {
    let house = House::new().await;
    let long = "x".repeat(RECORD_BYTES_MAX + 1);
    let binary = Received { bytes: b"\xff\x00{"[..].into(), sender: None, key: None };
    let mut lines = vec![line("{\"host\": {\"name", "a"), line("", "a"), line(" \r\n", "a"), line(&long, "a"), binary];
    let appended = house.intake.append(std::mem::take(&mut lines)).await.unwrap();
    assert_eq!(appended, Appended { accepted: 2, rejected: 1 });
    assert_eq!(house.lines().await.len(), 2);
    assert_eq!(house.intake.append(lines).await.unwrap(), Appended::default());
    assert_eq!((house.intake.counts().accepted.get(), house.intake.counts().rejected.get()), (2, 1));
}

#[tokio::test]
async fn a_given_key_decides_the_partition() {
    let house = House::new().await;
    let hosts =
        (0..20).map(|n| Received { key: Some("mine".into()), ..line(&format!("{{\"host.name\": \"h{n}\"}}"), "a") });
    house.intake.append(hosts.collect()).await.unwrap();
    let mut sizes = Vec::new();
    for partition in 0..PARTITIONS {
        sizes.push(house.partition(partition).await.len());
    }
    sizes.sort_unstable();
    assert_eq!(sizes, [0, 0, 0, 20]);
}

#[tokio::test]
async fn nothing_counts_as_accepted_when_the_log_refuses() {
    let house = House::new().await;
    house.door.shut(true);
    assert!(house.intake.append(vec![line("x", "a")]).await.unwrap_err().is_transient());
    assert_eq!(house.intake.counts().accepted.get(), 0);
}
