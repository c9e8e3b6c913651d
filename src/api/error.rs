//! Why a request failed, as its sender is told: `{"error": "…"}` and what the sender can do about it.

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use serde_json::json;

use crate::log::LogError;

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("there is nothing here; try /v1/events, /v1/status, /metrics, /health/live or /health/ready")]
    NoRoute,
    #[error("only {0} is answered here")]
    Method(&'static str),
    #[error("the query can't be read: {0}; write ?input=NAME and, if wanted, &key=KEY")]
    Query(String),
    #[error("there is no input \"{found}\" of type http; there is: {known}")]
    UnknownInput { found: String, known: String },
    #[error("say which input: ?input=NAME, one of {known}")]
    WhichInput { known: String },
    #[error("no input of type http is configured")]
    NoInput,
    #[error("events are not taken from web pages: there is no authentication that would tell them apart")]
    WebPage,
    #[error("the body is larger than {0} bytes (http.body_bytes_max); send it in parts")]
    TooLarge(usize),
    #[error("content encoding \"{0}\" is not known; send gzip, or none")]
    Encoding(String),
    #[error("the body is no whole gzip stream: {0}")]
    NotGzip(String),
    #[error("the body did not come through: {0}")]
    Broken(String),
    #[error("the body took too long to come")]
    Slow,
    #[error("too many bodies are under way; try again")]
    Busy,
    #[error("{}", refusal(.0))]
    Log(LogError),
}

impl ApiError {
    /// Seconds after which the same request may succeed.
    fn retry_after(&self) -> Option<u32> {
        match self {
            ApiError::Busy => Some(1),
            ApiError::Log(LogError::Closed) => Some(5),
            ApiError::Log(error) if error.is_transient() => Some(5),
            _ => None,
        }
    }
}

/// The kind of an error only: its text may name paths, brokers and more.
fn refusal(error: &LogError) -> &'static str {
    match error {
        LogError::Full(_) => "the log has no room; nothing more is taken until there is",
        LogError::Closed => "the server is stopping",
        LogError::TooLarge { .. } => "a line is longer than the log takes",
        error if error.is_transient() => "the log can't be reached",
        _ => "the log refuses the events; the server's status says why",
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            ApiError::NoRoute | ApiError::UnknownInput { .. } | ApiError::NoInput => StatusCode::NOT_FOUND,
            ApiError::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::Query(_) | ApiError::WhichInput { .. } | ApiError::NotGzip(_) | ApiError::Broken(_) => {
                StatusCode::BAD_REQUEST
            }
            ApiError::WebPage => StatusCode::FORBIDDEN,
            ApiError::TooLarge(_) | ApiError::Log(LogError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ApiError::Slow => StatusCode::REQUEST_TIMEOUT,
            ApiError::Busy | ApiError::Log(LogError::Closed) => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Log(error) if error.is_transient() => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::Log(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(seconds) = self.retry_after() {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if let ApiError::Method(method) = self {
            response.insert_header((header::ALLOW, *method));
        }
        response.json(json!({ "error": self.to_string() }))
    }
}
