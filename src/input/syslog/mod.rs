//! Syslog over TCP (RFC 6587) and UDP (RFC 5426), on one address.
//!
//! TCP holds the sender back: while the log refuses, nothing more is read. UDP can't: datagrams beyond a bounded queue
//! are dropped and counted. Syslog knows no acknowledgement, so what is in hand when the process stops and the log
//! still refuses is lost, and counted too.

mod framing;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::framing::MESSAGE_BYTES_MAX;
use self::framing::{Frame, Framing, trimmed};
use super::{InputError, Intake, Received, deliver::deliver};

/// Connections at a time; further ones are closed at once.
pub const CONNECTIONS_MAX: usize = 1024;
/// Bytes of datagrams that wait for the log.
pub const DATAGRAM_BYTES_MAX: usize = 16 << 20;
/// What a waiting datagram counts for at least, since it costs more than its bytes.
const DATAGRAM_BYTES_MIN: usize = 512;
const READ_BYTES: usize = 64 << 10;
const BATCH_LINES_MAX: usize = 1024;
/// After accepting failed, which mostly means too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bound to its address, not yet receiving.
pub struct SyslogReceiver {
    tcp: TcpListener,
    udp: UdpSocket,
    address: SocketAddr,
}

impl SyslogReceiver {
    /// # Errors
    /// When the address is taken, for TCP or for UDP.
    pub async fn bind(listen: SocketAddr) -> Result<Self, InputError> {
        const TRIES: usize = 16;
        let mut tries = 1;
        loop {
            match bind_both(listen).await {
                // the port that TCP was given may be another's for UDP
                Err(_) if listen.port() == 0 && tries < TRIES => tries += 1,
                bound => return bound.map_err(|error| InputError::Listen { address: listen, error }),
            }
        }
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Receives until `stop`, then passes on what it has and ends.
    pub async fn run(self, intake: Arc<Intake>, stop: CancellationToken) {
        tokio::join!(accept(self.tcp, intake.clone(), stop.clone()), datagrams(self.udp, intake, stop));
    }
}

async fn bind_both(listen: SocketAddr) -> io::Result<SyslogReceiver> {
    let tcp = TcpListener::bind(listen).await?;
    let address = tcp.local_addr()?;
    let udp = UdpSocket::bind(address).await?;
    Ok(SyslogReceiver { tcp, udp, address })
}

async fn accept(listener: TcpListener, intake: Arc<Intake>, stop: CancellationToken) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match (accepted, seats.clone().try_acquire_owned()) {
            (Ok((stream, peer)), Ok(seat)) => {
                connections.spawn(connection(stream, peer, intake.clone(), stop.clone(), seat));
            }
            (Ok(_), Err(_)) => intake.counts().connections_refused.add(1),
            (Err(error), _) => {
                tracing::warn!(%error, "syslog can't accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn connection(
    mut stream: TcpStream,
    peer: SocketAddr,
    intake: Arc<Intake>,
    stop: CancellationToken,
    _seat: OwnedSemaphorePermit,
) {
    let sender = peer.ip().to_string();
    let (mut framing, mut buffer) = (Framing::default(), BytesMut::with_capacity(READ_BYTES));
    loop {
        buffer.reserve(READ_BYTES);
        let read = tokio::select! {
            () = stop.cancelled() => 0,
            // a connection that broke has ended too
            read = stream.read_buf(&mut buffer) => read.unwrap_or(0),
        };
        let ended = read == 0;
        loop {
            let mut lines = batch(&mut framing, &mut buffer, &sender, &intake);
            let last = lines.len() < BATCH_LINES_MAX;
            if last && ended {
                lines.extend(framing.last(&mut buffer).map(|frame| received(frame, &sender, &intake)));
            }
            let count = lines.len() as u64;
            if count > 0 && deliver(&intake, lines, &stop).await.is_err() {
                intake.counts().dropped.add(count);
                return;
            }
            if last {
                break;
            }
        }
        if ended {
            return;
        }
    }
}

fn batch(framing: &mut Framing, buffer: &mut BytesMut, sender: &str, intake: &Intake) -> Vec<Received> {
    let frames = std::iter::from_fn(|| framing.next(buffer));
    frames.take(BATCH_LINES_MAX).map(|frame| received(frame, sender, intake)).collect()
}

fn received(frame: Frame, sender: &str, intake: &Intake) -> Received {
    intake.counts().cut.add(u64::from(frame.cut));
    Received { bytes: frame.bytes, sender: Some(sender.to_owned()), key: None }
}

/// A datagram and its room in the queue.
type Queued = (Received, OwnedSemaphorePermit);

async fn datagrams(socket: UdpSocket, intake: Arc<Intake>, stop: CancellationToken) {
    // bounded by the bytes that `room` gives out
    let (queue, queued) = mpsc::unbounded_channel();
    let receive = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = receive(&socket, &queue, &intake) => {}
        }
        drop(queue);
    };
    tokio::join!(receive, append(queued, &intake, &stop));
}

async fn receive(socket: &UdpSocket, queue: &mpsc::UnboundedSender<Queued>, intake: &Intake) {
    let room = Arc::new(Semaphore::new(DATAGRAM_BYTES_MAX));
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let (length, peer) = match socket.recv_from(&mut buffer).await {
            Ok(datagram) => datagram,
            Err(error) => {
                tracing::warn!(%error, "syslog can't receive a datagram");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let bytes = trimmed(Bytes::copy_from_slice(&buffer[..length]));
        let Ok(permit) = room.clone().try_acquire_many_owned(bytes.len().max(DATAGRAM_BYTES_MIN) as u32) else {
            intake.counts().dropped.add(1);
            continue;
        };
        let line = Received { bytes, sender: Some(peer.ip().to_string()), key: None };
        if queue.send((line, permit)).is_err() {
            return;
        }
    }
}

async fn append(mut queued: mpsc::UnboundedReceiver<Queued>, intake: &Intake, stop: &CancellationToken) {
    let mut batch = Vec::new();
    while queued.recv_many(&mut batch, BATCH_LINES_MAX).await > 0 {
        let (lines, permits): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        let count = lines.len() as u64;
        if deliver(intake, lines, stop).await.is_err() {
            intake.counts().dropped.add(count);
        }
        drop(permits);
    }
}
