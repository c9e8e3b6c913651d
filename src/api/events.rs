//! `POST /v1/events`: one event a line, answered when the log has them.

use std::sync::Arc;

use actix_web::{
    HttpRequest,
    http::header,
    web::{self, Bytes, Data, Json, Payload},
};
use serde::{Deserialize, Serialize};

use super::{State, error::ApiError};
use crate::input::{Intake, Received};

/// The input that is meant where several are of type http and none is named.
const DEFAULT_INPUT: &str = "http";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    input: Option<String>,
    key: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Answer {
    /// Durable.
    accepted: u64,
    /// Longer than the log takes.
    rejected: u64,
}

/// Appends a body's lines to an input. An answer other than 200 means that some of them may be in the log all the
/// same: events sent again are other events.
pub async fn append(state: Data<State>, request: HttpRequest, payload: Payload) -> Result<Json<Answer>, ApiError> {
    // A page in the operator's browser can post to loopback without being asked; browsers say so.
    if request.headers().contains_key(header::ORIGIN) {
        return Err(ApiError::WebPage);
    }
    let query = web::Query::<Query>::from_query(request.query_string());
    let Query { input, key } = query.map_err(|error| ApiError::Query(error.to_string()))?.into_inner();
    let (input, intake) = state.intake(input)?;
    let sender = request.peer_addr().map(|address| address.ip().to_string());
    let key = key.filter(|key| !key.is_empty());
    let body = state.bodies.read(&request, payload).await?;
    let received = |bytes| Received { bytes, sender: sender.clone(), key: key.clone() };
    match intake.append(lines(&body.bytes).map(received).collect()).await {
        Ok(appended) => Ok(Json(Answer { accepted: appended.accepted, rejected: appended.rejected })),
        Err(error) => {
            state.telemetry.refused(input, &error.to_string());
            Err(ApiError::Log(error))
        }
    }
}

impl State {
    /// The input of that name; without a name the only one, or the one called `http`.
    fn intake(&self, name: Option<String>) -> Result<(&str, &Arc<Intake>), ApiError> {
        let known = || self.intakes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let found = match &name {
            Some(name) => self.intakes.get_key_value(name),
            None if self.intakes.len() == 1 => self.intakes.first_key_value(),
            None => self.intakes.get_key_value(DEFAULT_INPUT),
        };
        match (found, name) {
            (Some((name, intake)), _) => Ok((name, intake)),
            (None, _) if self.intakes.is_empty() => Err(ApiError::NoInput),
            (None, Some(found)) => Err(ApiError::UnknownInput { found, known: known() }),
            (None, None) => Err(ApiError::WhichInput { known: known() }),
        }
    }
}

/// Lines without their ends; they share the body's memory.
fn lines(body: &Bytes) -> impl Iterator<Item = Bytes> {
    body.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
        .map(|line| body.slice_ref(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_neither_ends_nor_gaps() {
        let body = Bytes::from_static(b"one\r\ntwo\n\n\r\nthree");
        let found: Vec<Bytes> = lines(&body).collect();
        assert_eq!(found, ["one", "two", "three"]);
    }
}
