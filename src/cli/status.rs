//! `tripline status`: how a running server is.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::args::{StatusArgs, StatusFormat};
use crate::telemetry::Status;

const TIMEOUT: Duration = Duration::from_secs(10);

pub fn run(args: &StatusArgs) -> Result<u8> {
    let body = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(ask(&args.url))?;
    match args.format {
        StatusFormat::Json => println!("{body}"),
        StatusFormat::Text => {
            let status: Status =
                serde_json::from_str(&body).with_context(|| format!("{} answered no status", args.url))?;
            print!("{status}");
        }
    }
    Ok(0)
}

async fn ask(url: &str) -> Result<String> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let url = format!("{}/v1/status", url.trim_end_matches('/'));
    let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
    let answer = client.get(&url).send().await.with_context(|| format!("no server answers at {url}"))?;
    if !answer.status().is_success() {
        bail!("{url} answered {}", answer.status());
    }
    answer.text().await.with_context(|| url.clone())
}
