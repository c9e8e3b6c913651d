//! How the process is: for Prometheus, for an orchestrator and for people.

use actix_web::{
    HttpResponse,
    web::{Data, Json},
};
use serde_json::json;

use super::State;
use crate::telemetry::Status;

/// Prometheus' text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub async fn metrics(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().content_type(METRICS).body(state.telemetry.encode())
}

pub async fn status(state: Data<State>) -> Json<Status> {
    Json(state.telemetry.status())
}

/// 503 when a line's thread hangs: only another process helps.
pub async fn live(state: Data<State>) -> HttpResponse {
    let hanging = state.telemetry.hanging();
    let mut response = if hanging.is_empty() { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(json!({ "live": hanging.is_empty(), "hanging": hanging }))
}

/// 503 while the process starts or stops, while a stage is out of its group, and while a line is down or restores its
/// state.
pub async fn ready(state: Data<State>) -> HttpResponse {
    let reasons = state.telemetry.status().not_ready();
    let mut response = if reasons.is_empty() { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(json!({ "ready": reasons.is_empty(), "reasons": reasons }))
}
