//! The webhook against an HTTP server.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use tripline::{
    alert::{Alert, State},
    config::{Sink, SinkKind, Webhook},
};

use super::{
    alert, alerts,
    authority::Authority,
    deliver, deliver_until_it_failed_once,
    http_server::{Answer, Down, HttpServer},
    in_state, receiver, refusal, sink,
};

fn webhook(url: String, headers: &[(&str, &str)], ca_file: Option<PathBuf>) -> Sink {
    let headers: BTreeMap<_, _> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    sink(SinkKind::Webhook(Webhook { url: url.into(), headers, ca_file }))
}

fn plain(server: &HttpServer) -> Sink {
    webhook(server.url("/hook"), &[], None)
}

#[tokio::test]
async fn each_alert_is_posted_once_with_a_key_that_tells_repeats() {
    let server = HttpServer::start(Vec::new());
    let sink = webhook(server.url("/hook?team=soc"), &[("authorization", "Bearer abc")], None);
    let batch = [in_state(State::Opened), in_state(State::Closed)];
    let delivered = deliver(&mut receiver(&sink), &batch).await;
    assert_eq!((delivered.acknowledged(), delivered.failed_attempts), (2, 0));

    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    let request = &seen[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook?team=soc"));
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("authorization"), "Bearer abc");
    assert_eq!(request.header("user-agent"), concat!("tripline/", env!("CARGO_PKG_VERSION")));
    assert_eq!(request.header("idempotency-key"), "00000000000000000000000000000001-opened");
    assert_eq!(seen[1].header("idempotency-key"), "00000000000000000000000000000001-closed");
    assert_eq!(serde_json::from_value::<Alert>(request.json()).unwrap(), batch[0]);
    assert_eq!(seen[0].peer, seen[1].peer, "the connection is kept");
}

#[tokio::test]
async fn a_server_error_is_tried_again() {
    let server = HttpServer::start(vec![Answer::status(500), Answer::status(503)]);
    let delivered = deliver(&mut receiver(&plain(&server)), &alerts(2)).await;
    assert_eq!((delivered.acknowledged(), delivered.failed_attempts), (2, 2));
    let offsets: Vec<_> = server.seen().iter().map(|seen| seen.json()["trigger"]["offset"].clone()).collect();
    assert_eq!(offsets, [0, 0, 0, 1], "in order");
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let busy = Answer::Says(429, vec![("retry-after", "1".to_owned())], String::new());
    let server = HttpServer::start(vec![busy]);
    let started = Instant::now();
    let delivered = deliver(&mut receiver(&plain(&server)), &alerts(1)).await;
    assert_eq!(delivered.acknowledged(), 1);
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_refused_alert_is_given_up_at_once_with_the_answer_as_reason() {
    let refusal = Answer::Says(400, Vec::new(), "{\"error\":\"no such\u{1b}[31m channel\"}".to_owned());
    let server = HttpServer::start(vec![refusal]);
    let delivered = deliver(&mut receiver(&plain(&server)), &alerts(2)).await;
    assert_eq!(delivered.acknowledged(), 1);
    let [given_up] = delivered.given_up.as_slice() else { panic!("{delivered:?}") };
    assert_eq!((given_up.index, given_up.attempts), (0, 1));
    assert!(given_up.reason.contains("answered 400 Bad Request"), "{}", given_up.reason);
    assert!(given_up.reason.contains("no such\\u{1b}[31m channel"), "{}", given_up.reason);
}

#[tokio::test]
async fn a_server_that_hangs_costs_one_timeout_an_attempt() {
    let server = HttpServer::start(vec![Answer::Hangs]);
    let sink = Sink { timeout: Duration::from_secs(1), ..plain(&server) };
    let delivered = deliver(&mut receiver(&sink), &alerts(1)).await;
    assert_eq!((delivered.acknowledged(), delivered.failed_attempts), (1, 1));
    assert_eq!(delivered.last_failure.as_deref(), Some("no answer within 1s"));
}

#[tokio::test]
async fn an_endless_answer_is_not_read() {
    let flood = Answer::Says(400, Vec::new(), "x".repeat(64 << 20));
    let server = HttpServer::start(vec![flood]);
    let delivered = deliver(&mut receiver(&plain(&server)), &alerts(1)).await;
    assert!(delivered.given_up[0].reason.len() < 400, "{}", delivered.given_up[0].reason.len());
}

#[tokio::test]
async fn alerts_wait_for_a_server_that_is_down_and_arrive_when_it_is_up() {
    let down = Down::new();
    let mut receiver = receiver(&Sink {
        retry: tripline::config::Retry { attempts_max: u32::MAX, ..plain_at(&down).retry },
        ..plain_at(&down)
    });
    let batch = alerts(3);
    deliver_until_it_failed_once(&mut receiver, &batch).await;
    let server = down.up();
    let delivered = deliver(&mut receiver, &batch).await;
    assert_eq!((delivered.acknowledged(), delivered.given_up.len()), (3, 0));
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_server_that_stays_down_sends_the_alert_to_the_dead_letters() {
    let down = Down::new();
    let delivered = deliver(&mut receiver(&plain_at(&down)), &alerts(1)).await;
    let [given_up] = delivered.given_up.as_slice() else { panic!("{delivered:?}") };
    assert_eq!(given_up.attempts, 4);
    assert!(given_up.reason.contains("Connection refused"), "{}", given_up.reason);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = HttpServer::start(Vec::new());
    let redirect = Answer::Says(302, vec![("location", elsewhere.url("/S3CRET-S3CRET"))], String::new());
    let server = HttpServer::start(vec![redirect]);
    let delivered = deliver(&mut receiver(&plain(&server)), &alerts(1)).await;
    assert!(delivered.given_up[0].reason.contains("redirects are not followed"), "{delivered:?}");
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn no_reason_holds_a_token() {
    let echo = "got /services/T0KEN-T0KEN?key=QUERY-QUERY and Bearer HEADER-HEADER".to_owned();
    let server = HttpServer::start(vec![Answer::Says(403, Vec::new(), echo)]);
    let url = server.url("/services/T0KEN-T0KEN?key=QUERY-QUERY");
    let refused =
        deliver(&mut receiver(&webhook(url, &[("authorization", "Bearer HEADER-HEADER")], None)), &[alert(1)]).await;
    let down = Down::new();
    let url = format!("http://user:PASSWORD@{}/services/T0KEN-T0KEN?key=QUERY-QUERY", down.address);
    let unreachable = deliver(&mut receiver(&webhook(url, &[], None)), &[alert(1)]).await;
    for delivered in [refused, unreachable] {
        let reason = &delivered.given_up[0].reason;
        for secret in ["T0KEN", "QUERY", "HEADER", "PASSWORD"] {
            assert!(!reason.contains(secret), "{reason}");
        }
        assert!(reason.contains("127.0.0.1"), "the host is named: {reason}");
    }
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_where_it_is_named() {
    let authority = Authority::new();
    let server = HttpServer::start_tls(&authority);
    let url = format!("https://localhost:{}/hook", server.address.port());
    let delivered = deliver(&mut receiver(&webhook(url.clone(), &[], Some(authority.ca_file()))), &alerts(1)).await;
    assert_eq!(delivered.acknowledged(), 1, "{delivered:?}");

    let delivered = deliver(&mut receiver(&webhook(url.clone(), &[], None)), &alerts(1)).await;
    assert!(delivered.given_up[0].reason.contains("certificate"), "{delivered:?}");
    assert_eq!(server.seen().len(), 1);

    let missing = refusal(&webhook(url, &[], Some("/nonexistent/ca.pem".into()))).to_string();
    assert!(missing.contains("/nonexistent/ca.pem"), "{missing}");
}

fn plain_at(down: &Down) -> Sink {
    webhook(format!("http://{}/hook", down.address), &[], None)
}
