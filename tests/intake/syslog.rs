//! The syslog receiver, over real sockets on loopback.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    task::JoinHandle,
};
use tripline::input::{InputError, syslog::SyslogReceiver};

use super::{House, PATIENCE, until};

async fn start(house: &House) -> (SocketAddr, JoinHandle<()>) {
    let receiver = SyslogReceiver::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = receiver.local_addr();
    (address, tokio::spawn(receiver.run(house.intake.clone(), house.stop.clone())))
}

async fn ends(running: JoinHandle<()>) {
    tokio::time::timeout(PATIENCE, running).await.expect("it ends").unwrap();
}

async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

async fn datagram(address: SocketAddr, bytes: &[u8]) {
    UdpSocket::bind("127.0.0.1:0").await.unwrap().send_to(bytes, address).await.unwrap();
}

#[tokio::test]
async fn both_framings_and_datagrams_arrive_under_their_host_or_sender() {
    let house = House::new().await;
    let (address, running) = start(&house).await;
    let lines = send(address, b"<13>May  1 10:00:00 gate app: one\n<13>no host\n").await;
    let counted = send(address, b"35 <13>May  1 10:00:00 gate app: tw\no\n9 <13>three").await;
    datagram(address, b"<13>May  1 10:00:00 gate app: four\n\0").await;
    house
        .holds(&[
            "<13>May  1 10:00:00 gate app: one",
            "<13>no host",
            "<13>May  1 10:00:00 gate app: tw\no",
            "<13>three",
            "<13>May  1 10:00:00 gate app: four",
        ])
        .await;
    let mut keys = Vec::new();
    for partition in 0..super::PARTITIONS {
        keys.extend(house.partition(partition).await.into_iter().map(|(key, _)| key));
    }
    keys.sort();
    assert_eq!(keys, ["127.0.0.1", "127.0.0.1", "gate", "gate", "gate"]);
    house.stop.cancel();
    ends(running).await;
    drop((lines, counted));
}

#[tokio::test]
async fn a_connection_waits_while_the_log_refuses_and_loses_nothing() {
    let house = House::new().await;
    let (address, running) = start(&house).await;
    house.door.shut(true);
    let lines: Vec<String> = (0..3000).map(|n| format!("<13>May  1 10:00:00 gate app: {n}")).collect();
    let stream = send(address, format!("{}\n", lines.join("\n")).as_bytes()).await;
    until("an append is tried again", || house.intake.counts().retries.get() > 1).await;
    assert!(house.lines().await.is_empty());
    house.door.shut(false);
    house.holds(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let in_order = house.lines().await;
    assert_eq!(in_order, lines);
    assert_eq!(house.intake.counts().dropped.get(), 0);
    house.stop.cancel();
    ends(running).await;
    drop(stream);
}

#[tokio::test]
async fn a_line_without_its_end_is_passed_on_when_the_connection_closes_or_the_server_stops() {
    let house = House::new().await;
    let (address, running) = start(&house).await;
    drop(send(address, b"<13>closed").await);
    house.holds(&["<13>closed"]).await;
    let open = send(address, b"<13>first\n<13>open").await;
    house.holds(&["<13>closed", "<13>first"]).await;
    house.stop.cancel();
    ends(running).await;
    house.holds(&["<13>closed", "<13>first", "<13>open"]).await;
    drop(open);
}

#[tokio::test]
async fn what_is_in_hand_at_a_stop_while_the_log_refuses_is_counted_as_dropped() {
    let house = House::new().await;
    let (address, running) = start(&house).await;
    house.door.shut(true);
    datagram(address, b"<13>datagram").await;
    let mut stream = send(address, b"<13>one\n<13>two\n").await;
    until("both are tried again", || house.intake.counts().retries.get() > 3).await;
    house.stop.cancel();
    ends(running).await;
    assert_eq!(house.intake.counts().dropped.get(), 3);
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the connection is closed");
}

#[tokio::test]
async fn a_line_that_the_log_will_never_take_does_not_hold_up_the_others() {
    let house = House::new().await;
    house.door.limit(20);
    let (address, running) = start(&house).await;
    let stream = send(address, format!("<13>one\n<13>{}\n<13>two\n", "x".repeat(100)).as_bytes()).await;
    house.holds(&["<13>one", "<13>two"]).await;
    assert_eq!(house.intake.counts().rejected.get(), 1);
    house.stop.cancel();
    ends(running).await;
    drop(stream);
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let taken = SyslogReceiver::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let error = SyslogReceiver::bind(taken.local_addr()).await.err().expect("it is taken");
    assert!(matches!(error, InputError::Listen { .. }));
    assert!(error.to_string().contains(&taken.local_addr().to_string()), "{error}");
}
