//! The API over real HTTP: what senders of events, Prometheus and orchestrators are promised.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{FutureExt, future::BoxFuture};
use http_body_util::StreamBody;
use hyper::body::Frame;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tripline::{
    api::Api,
    clock::Clock,
    config,
    decode::DecodeSpec,
    input::Intake,
    log::{
        Cleanup, Committed, HeadStart, Live, Log, LogError, Member, Membership, Progress, Reader, Record, Start,
        Subscription, TopicPartition, TopicSpec, Transaction, memory::MemoryLog,
    },
    telemetry::{LineState, Phase, Status, Telemetry},
};

const TOPIC: &str = "events";
const BODY_BYTES_MAX: usize = 64 << 10;

/// A log in memory whose disk can fill up.
struct Disk {
    log: Arc<MemoryLog>,
    is_full: AtomicBool,
}

impl Log for Disk {
    fn append(&self, records: Vec<Record>) -> BoxFuture<'static, Result<Vec<u64>, LogError>> {
        if self.is_full.load(Ordering::SeqCst) {
            return std::future::ready(Err(LogError::Full("/secret/place has 0 bytes left".to_owned()))).boxed();
        }
        self.log.append(records)
    }
    fn ensure(&self, topics: &[TopicSpec]) -> BoxFuture<'_, Result<(), LogError>> {
        self.log.ensure(topics)
    }
    fn partitions(&self, topic: &str) -> BoxFuture<'_, Result<u32, LogError>> {
        self.log.partitions(topic)
    }
    fn commit(&self, transaction: Transaction) -> BoxFuture<'static, Result<(), LogError>> {
        self.log.commit(transaction)
    }
    fn join(
        &self,
        subscription: Subscription,
        events: mpsc::UnboundedSender<Membership>,
    ) -> Result<Box<dyn Member>, LogError> {
        self.log.join(subscription, events)
    }
    fn restore<'a>(
        &'a self,
        at: &'a TopicPartition,
        ahead: HeadStart,
        progress: Progress<'a>,
    ) -> BoxFuture<'a, Result<Live, LogError>> {
        self.log.restore(at, ahead, progress)
    }
    fn reader(&self, at: &TopicPartition, start: Start) -> BoxFuture<'_, Result<Box<dyn Reader>, LogError>> {
        self.log.reader(at, start)
    }
    fn offsets(&self, at: &TopicPartition) -> BoxFuture<'_, Result<(u64, u64), LogError>> {
        self.log.offsets(at)
    }
    fn committed(&self, group: &str, at: &TopicPartition) -> BoxFuture<'_, Result<Option<Committed>, LogError>> {
        self.log.committed(group, at)
    }
}

struct Site {
    api: Api,
    disk: Arc<Disk>,
    telemetry: Telemetry,
    client: Client,
}

impl Site {
    async fn open(inputs: &[&str]) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let disk = Arc::new(Disk { log: MemoryLog::new(), is_full: AtomicBool::new(false) });
        let cleanup = Cleanup::Delete { age: None, bytes: None };
        let topic = TopicSpec { name: TOPIC.to_owned(), partitions: 1, cleanup, fixed: false };
        disk.ensure(&[topic]).await.expect("a topic");
        let telemetry = Telemetry::default();
        let mut intakes = Vec::new();
        for input in inputs {
            let spec = DecodeSpec::default();
            let intake = Arc::new(Intake::new(disk.clone(), TOPIC.to_owned(), 1, Clock::System, &spec, 1_000));
            telemetry.watch_intake(input, intake.clone());
            intakes.push((input.to_string(), intake));
        }
        let listen = "127.0.0.1:0".parse().expect("an address");
        let http = config::Http { listen, allow_unauthenticated: false, body_bytes_max: BODY_BYTES_MAX };
        let api = Api::start(&http, intakes, telemetry.clone()).expect("a free port");
        Site { api, disk, telemetry, client: Client::new() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.api.address())
    }

    fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.client.post(self.url(path)).body(body)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.client.get(self.url(path)).send().await.expect("an answer")).await
    }

    /// (key, line) of every record in the log.
    async fn lines(&self) -> Vec<(String, String)> {
        let at = TopicPartition { topic: TOPIC.to_owned(), partition: 0 };
        let mut reader = self.disk.reader(&at, Start::Earliest).await.expect("a reader");
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let mut lines = Vec::new();
        let mut visit = |record: tripline::log::RecordRef<'_>| lines.push((text(record.key), text(record.value)));
        reader.drain(10_000, &mut visit).expect("records");
        lines
    }
}

async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json().await.expect("JSON"))
}

async fn sent(request: RequestBuilder) -> (u16, Value) {
    answer(request.send().await.expect("an answer")).await
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn run(test: impl Future<Output = ()>) {
    actix_web::rt::System::new().block_on(test);
}

#[test]
fn an_answer_means_that_the_lines_are_in_the_log() {
    run(async {
        let site = Site::open(&["http"]).await;
        let long = format!("{}\nlast", "x".repeat(2_000));
        let body = format!("{{\"host\":{{\"name\":\"web-1\"}}}}\r\n\nplain\n{long}");
        assert_eq!(sent(site.post("/v1/events", body)).await, (200, json!({"accepted": 3, "rejected": 1})));
        let keyed = site.post("/v1/events?input=http&key=mine", "keyed");
        assert_eq!(sent(keyed).await, (200, json!({"accepted": 1, "rejected": 0})));
        let pairs = site.lines().await;
        let pairs: Vec<_> = pairs.iter().map(|(key, line)| (&**key, &**line)).collect();
        let host = "{\"host\":{\"name\":\"web-1\"}}";
        let expected = [("web-1", host), ("127.0.0.1", "plain"), ("127.0.0.1", "last"), ("mine", "keyed")];
        assert_eq!(pairs, expected);
    });
}

#[test]
fn an_input_is_found_by_name_or_is_the_obvious_one() {
    run(async {
        let site = Site::open(&["auth", "web"]).await;
        let (status, error) = sent(site.post("/v1/events", "a")).await;
        assert_eq!((status, &error["error"]), (400, &json!("say which input: ?input=NAME, one of auth, web")));
        let (status, error) = sent(site.post("/v1/events?input=wbe", "a")).await;
        let text = "there is no input \"wbe\" of type http; there is: auth, web";
        assert_eq!((status, &error["error"]), (404, &json!(text)));
        assert_eq!(sent(site.post("/v1/events?input=web", "a")).await.0, 200);
        let (status, error) = sent(site.post("/v1/events?inptu=web", "a")).await;
        assert!(status == 400 && error["error"].as_str().is_some_and(|text| text.contains("inptu")), "{error}");

        let only = Site::open(&["auth"]).await;
        assert_eq!(sent(only.post("/v1/events", "a")).await.0, 200);
        let named = Site::open(&["auth", "http"]).await;
        assert_eq!(sent(named.post("/v1/events", "a")).await.0, 200);
        assert_eq!(named.telemetry.status().intake[1].accepted, 1);
        let none = Site::open(&[]).await;
        assert_eq!(sent(none.post("/v1/events", "a")).await.0, 404);
    });
}

#[test]
fn a_full_disk_is_told_without_details_and_passes() {
    run(async {
        let site = Site::open(&["http"]).await;
        site.disk.is_full.store(true, Ordering::SeqCst);
        let refused = site.post("/v1/events", "a").send().await.expect("an answer");
        assert_eq!(refused.headers()["retry-after"], "5");
        let (status, error) = answer(refused).await;
        let text = error["error"].as_str().expect("a text");
        assert!(status == 503 && text.contains("no room") && !text.contains("/secret"), "{status} {text}");
        let intake = site.telemetry.status().intake.remove(0);
        assert_eq!((intake.accepted, intake.refused), (0, 1));
        assert!(intake.last_error.is_some_and(|error| error.contains("/secret/place")));

        site.disk.is_full.store(false, Ordering::SeqCst);
        assert_eq!(sent(site.post("/v1/events", "a")).await.0, 200);
    });
}

#[test]
fn a_body_beyond_the_bound_is_refused_whole() {
    run(async {
        let site = Site::open(&["http"]).await;
        let line = "0123456789abcde\n";
        let fits = line.repeat(BODY_BYTES_MAX / 16);
        assert_eq!(sent(site.post("/v1/events", fits.clone())).await.1["accepted"], 4_096);
        let (status, error) = sent(site.post("/v1/events", format!("{fits}x"))).await;
        assert!(status == 413 && error["error"].as_str().is_some_and(|text| text.contains("65536")), "{error}");
        let chunks = (0..3).map(|_| Ok::<_, std::io::Error>(Frame::data(Bytes::from("y\n".repeat(15_000)))));
        let streamed = reqwest::Body::wrap(StreamBody::new(futures_util::stream::iter(chunks)));
        assert_eq!(sent(site.post("/v1/events", streamed)).await.0, 413, "without a length too");
        assert_eq!(site.lines().await.len(), 4_096);
    });
}

#[test]
fn gzip_is_taken_and_a_bomb_is_not() {
    run(async {
        let site = Site::open(&["http"]).await;
        let post = |body: Vec<u8>| site.post("/v1/events", body).header("content-encoding", "gzip");
        let mut members = gzip(b"one\ntwo\n");
        members.extend(gzip(b"three"));
        assert_eq!(sent(post(members)).await, (200, json!({"accepted": 3, "rejected": 0})));
        let bomb = gzip(&vec![b'\n'; 10 << 20]);
        assert!(bomb.len() < BODY_BYTES_MAX);
        assert_eq!(sent(post(bomb)).await.0, 413);
        let mut torn = gzip(b"four\nfive\nsix");
        torn.truncate(torn.len() - 4);
        assert_eq!(sent(post(torn)).await.0, 400);
        let other = site.post("/v1/events", "x").header("content-encoding", "br");
        assert_eq!(sent(other).await.0, 415);
        assert_eq!(site.lines().await.len(), 3);
    });
}

#[test]
fn a_web_page_can_not_post_events() {
    run(async {
        let site = Site::open(&["http"]).await;
        let request = site.post("/v1/events", "forged").header("origin", "https://evil.example");
        assert_eq!(sent(request).await.0, 403);
        assert!(site.lines().await.is_empty());
    });
}

#[test]
fn readiness_follows_the_stages() {
    run(async {
        let site = Site::open(&["http"]).await;
        assert_eq!(site.get("/health/live").await.0, 200);
        let starting = json!({"ready": false, "reasons": ["the process is starting"]});
        assert_eq!(site.get("/health/ready").await, (503, starting));
        site.telemetry.set_phase(Phase::Running);
        assert_eq!(site.get("/health/ready").await, (200, json!({"ready": true, "reasons": []})));
        let at = TopicPartition { topic: TOPIC.to_owned(), partition: 0 };
        site.telemetry.line_state("detect", "", &at, LineState::Restarting);
        let down = json!({"ready": false, "reasons": ["detect events/0 is restarting"]});
        assert_eq!(site.get("/health/ready").await, (503, down));
        site.telemetry.line_state("detect", "", &at, LineState::Running);
        assert_eq!(site.get("/health/ready").await.0, 200);
    });
}

#[test]
fn status_and_metrics_say_the_same() {
    run(async {
        let site = Site::open(&["http"]).await;
        assert_eq!(sent(site.post("/v1/events", "a\nb")).await.0, 200);
        site.telemetry.count_dead_letter("decode", "not_json");
        let (code, status) = site.get("/v1/status").await;
        let status: Status = serde_json::from_value(status).expect("a status");
        // The clock went on between the two.
        assert_eq!((code, &status), (200, &Status { now: status.now, ..site.telemetry.status() }));
        assert_eq!((status.intake[0].accepted, status.dead_letters[0].count), (2, 1));

        let response = site.client.get(site.url("/metrics")).send().await.expect("an answer");
        assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        let text = response.text().await.expect("text");
        for line in [
            "tripline_intake_accepted_total{input=\"http\"} 2",
            "tripline_dead_letters_total{stage=\"decode\",reason=\"not_json\"} 1",
            "tripline_http_request_seconds_count{route=\"/v1/events\",status=\"200\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    });
}

#[test]
fn a_wrong_turn_is_answered_with_the_way() {
    run(async {
        let site = Site::open(&["http"]).await;
        let (status, error) = site.get("/v1/evnets").await;
        assert!(status == 404 && error["error"].as_str().is_some_and(|text| text.contains("/v1/events")), "{error}");
        let wrong = site.client.get(site.url("/v1/events")).send().await.expect("an answer");
        assert_eq!((wrong.status().as_u16(), &wrong.headers()["allow"]), (405, &"POST".parse().expect("a value")));
        for path in ["/a", "/b"] {
            site.get(path).await;
        }
        let metrics = site.telemetry.encode();
        let other = "tripline_http_request_seconds_count{route=\"other\",status=\"404\"} 3";
        assert!(metrics.contains(other), "paths that were asked for are no labels:\n{metrics}");
    });
}

#[test]
fn a_stop_ends_the_listening() {
    run(async {
        let site = Site::open(&["http"]).await;
        let url = site.url("/health/live");
        assert_eq!(site.get("/health/live").await.0, 200);
        drop(site.client);
        site.api.stop().await;
        assert!(Client::new().get(url).send().await.is_err());
    });
}
