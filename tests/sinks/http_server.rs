//! A real HTTP server on loopback that answers as it was told, in order, and remembers what it was asked.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header::HeaderMap,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::authority::Authority;

#[derive(Debug, Clone)]
pub enum Answer {
    /// Status, headers and body.
    Says(u16, Vec<(&'static str, String)>, String),
    /// Takes the request and never answers.
    Hangs,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Answer::Says(status, Vec::new(), String::new())
    }
}

#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Which connection it came by.
    pub peer: SocketAddr,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
struct State {
    answers: VecDeque<Answer>,
    seen: Vec<Seen>,
}

/// Stops when it is dropped.
pub struct HttpServer {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

impl HttpServer {
    /// Gives `answers` in turn, then 200.
    pub fn start(answers: Vec<Answer>) -> Self {
        Self::serve(Down::new(), answers, None)
    }

    pub fn start_tls(authority: &Authority) -> Self {
        Self::serve(Down::new(), Vec::new(), Some(acceptor(authority)))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    fn serve(down: Down, answers: Vec<Answer>, tls: Option<TlsAcceptor>) -> Self {
        let address = down.address;
        let listener = down.socket.listen(64).unwrap();
        let state = Arc::new(Mutex::new(State { answers: answers.into(), seen: Vec::new() }));
        let shared = state.clone();
        HttpServer { address, state, accepting: tokio::spawn(accept(listener, tls, shared)) }
    }
}

/// A server that is down: its port is taken, so nobody else gets it, and refuses connections.
pub struct Down {
    pub address: SocketAddr,
    socket: TcpSocket,
}

impl Down {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Down { address: socket.local_addr().unwrap(), socket }
    }

    pub fn up(self) -> HttpServer {
        HttpServer::serve(self, Vec::new(), None)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<Mutex<State>>) {
    while let Ok((stream, peer)) = listener.accept().await {
        let (state, tls) = (state.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => converse(stream, peer, state).await,
                Some(tls) => {
                    // A client that does not trust us ends the handshake.
                    if let Ok(stream) = tls.accept(stream).await {
                        converse(stream, peer, state).await;
                    }
                }
            }
        });
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request| answer(request, peer, state.clone()));
    // The client may leave at any time.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    let answer = {
        let mut state = state.lock().unwrap();
        let (method, path) = (parts.method.to_string(), parts.uri.to_string());
        state.seen.push(Seen { method, path, headers: parts.headers, body, peer });
        state.answers.pop_front().unwrap_or_else(|| Answer::status(200))
    };
    match answer {
        Answer::Hangs => std::future::pending().await,
        Answer::Says(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::from(body)).unwrap())
        }
    }
}

fn acceptor(authority: &Authority) -> TlsAcceptor {
    rustls::crypto::ring::default_provider().install_default().ok();
    let certificate = CertificateDer::from_pem_file(authority.certificate_file()).unwrap();
    let key = PrivateKeyDer::from_pem_file(authority.key_file()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}
