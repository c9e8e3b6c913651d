//! HTTP: events in, metrics, health and status out.
//!
//! The server takes events for inputs of type `http` and answers when they are durable. It holds no state of its own,
//! decodes nothing, and its answers never hold more of an error than its kind: details are in the log and the status.
//!
//! | route | answer |
//! |---|---|
//! | `POST /v1/events?input=NAME[&key=K]` | `{"accepted": n, "rejected": n}` |
//! | `GET /v1/status` | [`crate::telemetry::Status`] as JSON |
//! | `GET /metrics` | Prometheus' text format |
//! | `GET /health/live` | 200 while the actors are heard of, else 503 with those that hang |
//! | `GET /health/ready` | 200, or 503 with the reasons |

mod body;
mod error;
mod events;
mod health;

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    App, HttpResponse, HttpServer, Resource,
    dev::{ServerHandle, Service},
    rt, web,
};

use self::{body::Bodies, error::ApiError};
use crate::{config, input::Intake, telemetry::Telemetry};

/// Threads that serve requests. Their work is splitting lines; the log does the rest elsewhere.
const WORKERS: usize = 2;

/// Connections of one worker; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 512;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long requests that are under way may take once the server stops, in seconds.
const STOP_SECONDS: u64 = 10;

/// A running server.
pub struct Api {
    address: SocketAddr,
    handle: ServerHandle,
    server: rt::task::JoinHandle<io::Result<()>>,
}

/// What requests are answered from.
struct State {
    /// By the name of the input.
    intakes: BTreeMap<String, Arc<Intake>>,
    telemetry: Telemetry,
    bodies: Bodies,
}

impl Api {
    /// Listens and serves; to be called inside an actix system. `intakes` are those of the inputs of type `http`, by
    /// name. Signals are the process's business, not the server's.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub fn start(
        http: &config::Http,
        intakes: impl IntoIterator<Item = (String, Arc<Intake>)>,
        telemetry: Telemetry,
    ) -> io::Result<Api> {
        let listener = TcpListener::bind(http.listen)?;
        let address = listener.local_addr()?;
        let intakes = intakes.into_iter().collect();
        let state = web::Data::new(State { intakes, telemetry, bodies: Bodies::new(http.body_bytes_max) });
        let server = HttpServer::new(move || {
            let telemetry = state.telemetry.clone();
            App::new()
                .app_data(state.clone())
                .wrap_fn(move |request, service| {
                    let (telemetry, begun) = (telemetry.clone(), Instant::now());
                    let answer = service.call(request);
                    async move {
                        let answer = answer.await?;
                        let route = answer.request().match_pattern();
                        let status = answer.status().as_u16();
                        telemetry.answered(route.as_deref().unwrap_or("other"), status, begun.elapsed());
                        Ok(answer)
                    }
                })
                .configure(routes)
        })
        .workers(WORKERS)
        .max_connections(CONNECTIONS_MAX)
        .client_request_timeout(HEAD_TIMEOUT)
        .shutdown_timeout(STOP_SECONDS)
        .disable_signals()
        .listen(listener)?
        .run();
        Ok(Api { address, handle: server.handle(), server: rt::spawn(server) })
    }

    /// Where it listens: the port that was found, where the configured one is 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests and waits, a bounded time, for those under way.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        match self.server.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the HTTP server ended with an error"),
            Err(error) => tracing::warn!(%error, "the HTTP server's task ended before it was told to"),
        }
    }
}

fn routes(config: &mut web::ServiceConfig) {
    let only = |resource: Resource, method: &'static str| {
        resource.default_service(web::to(move || async move { Err::<HttpResponse, _>(ApiError::Method(method)) }))
    };
    config
        .service(only(web::resource("/v1/events").route(web::post().to(events::append)), "POST"))
        .service(only(web::resource("/v1/status").route(web::get().to(health::status)), "GET"))
        .service(only(web::resource("/metrics").route(web::get().to(health::metrics)), "GET"))
        .service(only(web::resource("/health/live").route(web::get().to(health::live)), "GET"))
        .service(only(web::resource("/health/ready").route(web::get().to(health::ready)), "GET"))
        .default_service(web::to(|| async { Err::<HttpResponse, _>(ApiError::NoRoute) }));
}
