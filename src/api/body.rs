//! A request's body, whole, in bounded memory and time, decompressed where it is gzip.

use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    HttpRequest,
    http::header,
    web::{self, Bytes, BytesMut},
};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;

/// Bodies of the largest size that may be in memory at once, over all requests; more are told to come again.
const LARGEST_BODIES_MAX: usize = 8;

/// How long a body may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// The memory that bodies have.
pub struct Bodies {
    body_bytes_max: usize,
    /// One permit a byte.
    room: Arc<Semaphore>,
}

/// A body and the room that it takes; hold both until its events are in the log.
pub struct Body {
    pub bytes: Bytes,
    _room: Room,
}

/// Room for some bytes, given back on drop.
struct Room {
    all: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    pub fn new(body_bytes_max: usize) -> Self {
        let bytes = body_bytes_max.saturating_mul(LARGEST_BODIES_MAX).min(Semaphore::MAX_PERMITS);
        Bodies { body_bytes_max, room: Arc::new(Semaphore::new(bytes)) }
    }

    /// Reads a request's body.
    pub async fn read(&self, request: &HttpRequest, payload: web::Payload) -> Result<Body, ApiError> {
        let is_gzip = is_gzip(request)?;
        let length =
            request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: usize| length > self.body_bytes_max) {
            return Err(ApiError::TooLarge(self.body_bytes_max));
        }
        let read = tokio::time::timeout(BODY_TIMEOUT, self.collect(payload));
        let body = read.await.map_err(|_| ApiError::Slow)??;
        if is_gzip { self.decompress(body).await } else { Ok(body) }
    }

    async fn collect(&self, mut payload: web::Payload) -> Result<Body, ApiError> {
        let mut room = Room { all: self.room.clone(), taken: None };
        let mut bytes = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|error| ApiError::Broken(error.to_string()))?;
            if bytes.len() + chunk.len() > self.body_bytes_max {
                return Err(ApiError::TooLarge(self.body_bytes_max));
            }
            room.take(chunk.len())?;
            bytes.extend_from_slice(&chunk);
        }
        Ok(Body { bytes: bytes.freeze(), _room: room })
    }

    /// On a thread that may be busy for a while.
    async fn decompress(&self, body: Body) -> Result<Body, ApiError> {
        let bytes_max = self.body_bytes_max;
        let mut room = Room { all: self.room.clone(), taken: None };
        room.take(bytes_max)?;
        let inflate = move || {
            let mut bytes = Vec::new();
            let limit = bytes_max as u64 + 1;
            MultiGzDecoder::new(&*body.bytes).take(limit).read_to_end(&mut bytes)?;
            Ok::<_, io::Error>(bytes)
        };
        let bytes = match web::block(inflate).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => return Err(ApiError::NotGzip(error.to_string())),
            Err(_) => return Err(ApiError::Busy),
        };
        if bytes.len() > bytes_max {
            return Err(ApiError::TooLarge(bytes_max));
        }
        room.keep(bytes.len());
        Ok(Body { bytes: bytes.into(), _room: room })
    }
}

impl Room {
    fn take(&mut self, bytes: usize) -> Result<(), ApiError> {
        let bytes = u32::try_from(bytes).map_err(|_| ApiError::Busy)?;
        let more = self.all.clone().try_acquire_many_owned(bytes).map_err(|_| ApiError::Busy)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }

    fn keep(&mut self, bytes: usize) {
        self.taken = self.taken.as_mut().and_then(|taken| taken.split(bytes));
    }
}

fn is_gzip(request: &HttpRequest) -> Result<bool, ApiError> {
    let Some(encoding) = request.headers().get(header::CONTENT_ENCODING) else { return Ok(false) };
    let encoding = String::from_utf8_lossy(encoding.as_bytes());
    match encoding.trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Ok(true),
        "" | "identity" => Ok(false),
        _ => Err(ApiError::Encoding(encoding.chars().take(40).collect())),
    }
}
