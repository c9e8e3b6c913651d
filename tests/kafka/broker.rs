//! A real broker for the tests: one for the whole run, started by the first test that needs it.
//!
//! With `KAFKA_BOOTSTRAP` set, that one is used instead; `KAFKA_SASL_BOOTSTRAP`, `KAFKA_CA_PEM`, `KAFKA_USER` and
//! `KAFKA_PASSWORD` then tell its listener with TLS and SCRAM-SHA-512.

use std::{
    collections::BTreeMap,
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use tripline::config;

const USER: &str = "tripline";
const PASSWORD: &str = "correct-horse";
const START_MAX: Duration = Duration::from_secs(120);
const READ_MAX: Duration = Duration::from_secs(60);

/// Where the tests' broker listens.
pub struct Broker {
    /// The plain listener.
    pub bootstrap: String,
    /// The listener with TLS and SASL: SCRAM-SHA-512 and PLAIN.
    pub sasl_bootstrap: String,
    /// The certificate authority of that listener.
    pub ca_pem_path: PathBuf,
    pub user: String,
    pub password: String,
    // Its standard input ends with this process, and the broker with that.
    _process: Option<Child>,
}

/// The broker of this run; starts it when it is the first to ask.
///
/// # Panics
/// When it can't be started: with what the broker said.
pub fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| match env::var("KAFKA_BOOTSTRAP") {
        Ok(bootstrap) => given(bootstrap),
        Err(_) => start(),
    })
}

/// What a listener with TLS is told by; empty where it is not, which fails the tests that need it.
fn given(bootstrap: String) -> Broker {
    let var = |name: &str| env::var(name).unwrap_or_default();
    Broker {
        bootstrap,
        sasl_bootstrap: var("KAFKA_SASL_BOOTSTRAP"),
        ca_pem_path: var("KAFKA_CA_PEM").into(),
        user: var("KAFKA_USER"),
        password: var("KAFKA_PASSWORD"),
        _process: None,
    }
}

fn start() -> Broker {
    let dir = env::temp_dir().join(format!("tripline-kafka-{}", process::id()));
    fs::create_dir_all(&dir).expect("a folder for the broker");
    let [plain, sasl, controller] = free_ports();
    let ca_pem_path = certificate(&dir);
    fs::write(dir.join("server.properties"), properties(&dir, plain, sasl, controller)).expect("its configuration");
    let process = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/broker.sh"))
        .arg("run")
        .arg(&dir)
        .env("SCRAM", format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]"))
        .stdin(Stdio::piped())
        .spawn()
        .expect("tests/kafka/broker.sh runs");
    let bootstrap = format!("127.0.0.1:{plain}");
    await_ready(&bootstrap, &dir, process)
        .map(|process| Broker {
            bootstrap,
            sasl_bootstrap: format!("127.0.0.1:{sasl}"),
            ca_pem_path,
            user: USER.into(),
            password: PASSWORD.into(),
            _process: Some(process),
        })
        .unwrap_or_else(|why| panic!("the test broker did not start: {why}"))
}

/// Ports that are free now, all different because all are held until the last is known.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|listener| listener.local_addr().expect("its address").port())
}

/// A certificate for 127.0.0.1 by an authority of its own; returns the authority's file.
fn certificate(dir: &Path) -> PathBuf {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.distinguished_name.push(DnType::CommonName, "authority of the tests");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca_pem = ca.self_signed(&ca_key).expect("an authority").pem();
    let key = KeyPair::generate().expect("a key");
    let signed = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])
        .expect("parameters")
        .signed_by(&key, &Issuer::new(ca, ca_key))
        .expect("a certificate");
    fs::write(dir.join("keystore.pem"), format!("{}{}{ca_pem}", key.serialize_pem(), signed.pem()))
        .expect("a keystore");
    let path = dir.join("ca.pem");
    fs::write(&path, ca_pem).expect("the authority's file");
    path
}

/// Of a broker that is alone, with little to make at its start and groups that form at once.
pub const ALONE: &str = "offsets.topic.num.partitions=4\n\
    offsets.topic.replication.factor=1\n\
    transaction.state.log.num.partitions=4\n\
    transaction.state.log.replication.factor=1\n\
    transaction.state.log.min.isr=1\n\
    share.coordinator.state.topic.num.partitions=4\n\
    share.coordinator.state.topic.replication.factor=1\n\
    share.coordinator.state.topic.min.isr=1\n\
    group.initial.rebalance.delay.ms=0\n\
    group.min.session.timeout.ms=1000\n\
    log.cleaner.backoff.ms=500\n";

fn properties(dir: &Path, plain: u16, sasl: u16, controller: u16) -> String {
    let dir = dir.display();
    format!(
        "node.id=1
process.roles=broker,controller
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{sasl}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";
listener.name.sasl_ssl.ssl.keystore.type=PEM
listener.name.sasl_ssl.ssl.keystore.location={dir}/keystore.pem
log.dirs={dir}/data
{ALONE}log.retention.check.interval.ms=500
log.initial.task.delay.ms=500
auto.create.topics.enable=true
"
    )
}

/// Waits until a broker that was started by a script answers.
pub fn await_ready(bootstrap: &str, dir: &Path, mut process: Child) -> Result<Child, String> {
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().map_err(|error| error.to_string())?;
    let deadline = Instant::now() + START_MAX;
    while client.fetch_metadata(None, Duration::from_millis(250)).is_err() {
        let said =
            || ["format.log", "broker.log"].map(|log| fs::read_to_string(dir.join(log)).unwrap_or_default()).concat();
        if let Ok(Some(status)) = process.try_wait() {
            return Err(format!("broker.sh ended with {status}\n{}", said()));
        }
        if Instant::now() > deadline {
            return Err(format!("no answer in {START_MAX:?}\n{}", said()));
        }
    }
    Ok(process)
}

/// A prefix for topics and groups that no other test of this or of an earlier run has.
pub fn unique_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_millis();
    format!("t{since:x}-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The configuration of a process of its own on the broker's plain listener.
pub fn kafka(prefix: &str) -> config::Kafka {
    config::Kafka {
        brokers: broker().bootstrap.clone(),
        group: prefix.to_owned(),
        topic_prefix: prefix.to_owned(),
        instance: None,
        events_partitions: 2,
        replication: 1,
        events_retention: Duration::from_secs(7 * 86_400),
        signals_retention: Duration::from_secs(7 * 86_400),
        alerts_retention: Duration::from_secs(7 * 86_400),
        delivery: config::Delivery::ExactlyOnce,
        properties: BTreeMap::from([("session.timeout.ms".to_owned(), "6000".to_owned())]),
    }
}

/// A configuration for the listener with TLS and SASL.
pub fn kafka_with_sasl(prefix: &str, mechanism: &str, password: &str) -> config::Kafka {
    let broker = broker();
    assert!(
        !broker.sasl_bootstrap.is_empty() && !broker.user.is_empty(),
        "KAFKA_BOOTSTRAP is set, so KAFKA_SASL_BOOTSTRAP, KAFKA_CA_PEM, KAFKA_USER and KAFKA_PASSWORD must be"
    );
    let mut kafka = kafka(prefix);
    kafka.brokers = broker.sasl_bootstrap.clone();
    let ca = broker.ca_pem_path.display().to_string();
    kafka.properties.extend(
        [
            ("security.protocol", "SASL_SSL"),
            ("ssl.ca.location", &ca),
            ("sasl.mechanism", mechanism),
            ("sasl.username", &broker.user),
            ("sasl.password", password),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    kafka
}

/// Appends values without keys, by a client that is not the one under test.
pub fn produce(topic: &str, partition: u32, values: &[&str]) {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &broker().bootstrap).create().expect("a producer");
    for value in values {
        let record = BaseRecord::<(), str>::to(topic).partition(partition as i32).payload(value);
        producer.send(record).map_err(|(error, _)| error).expect("room for the record");
    }
    producer.flush(READ_MAX).expect("the records are delivered");
}

/// A record as a client that is not the one under test reads it: partition, offset, key, value.
pub type Read = (u32, u64, Option<Vec<u8>>, Option<Vec<u8>>);

/// Every committed record of a topic, partition by partition, up to the end that it has now.
pub fn topic_records(topic: &str) -> Vec<Read> {
    topic_records_at(&broker().bootstrap, topic)
}

/// The same, of any broker.
pub fn topic_records_at(bootstrap: &str, topic: &str) -> Vec<Read> {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "tests-topic-records")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let metadata = client.fetch_metadata(Some(topic), READ_MAX).expect("metadata");
    let partitions = metadata.topics()[0].partitions().len();
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(topic, partition as i32, Offset::Beginning).expect("a valid offset");
    }
    client.assign(&all).expect("assignment");
    let (mut records, mut ended) = (Vec::new(), 0);
    let deadline = Instant::now() + READ_MAX;
    while ended < partitions {
        assert!(Instant::now() < deadline, "topic {topic} can't be read to its end");
        match client.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => records.push((
                message.partition() as u32,
                message.offset() as u64,
                message.key().map(<[u8]>::to_vec),
                message.payload().map(<[u8]>::to_vec),
            )),
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => panic!("topic {topic}: {error}"),
            None => {}
        }
    }
    records.sort();
    records
}
