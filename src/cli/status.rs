//! `tripline status`: how a running server is.

use anyhow::{Context, Result};

use super::{
    args::{AnswerFormat, StatusArgs},
    http::Client,
    output::Output,
};
use crate::telemetry::Status;

pub fn run(args: &StatusArgs) -> Result<u8> {
    let ask = async { Client::new(&args.url)?.get("/v1/status").await };
    let body = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(ask)?;
    let mut out = Output::stdout();
    match args.format {
        AnswerFormat::Json => out.line(body)?,
        AnswerFormat::Text => {
            let status: Status =
                serde_json::from_str(&body).with_context(|| format!("{} answered no status", args.url))?;
            out.text(status)?;
        }
    }
    out.finish()?;
    Ok(0)
}
