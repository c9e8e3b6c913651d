//! Asking a server over HTTP, for the commands that are its clients.

use std::time::Duration;

use anyhow::{Context, Result, bail};

/// For one request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one server.
pub struct Client {
    client: reqwest::Client,
    url: String,
}

impl Client {
    /// `url` is the server's, without a path.
    ///
    /// # Errors
    /// When there is no TLS to be had.
    pub fn new(url: &str) -> Result<Self> {
        // Another provider that is installed already does as well.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        Ok(Client { client, url: url.trim_end_matches('/').to_owned() })
    }

    /// # Errors
    /// When nobody answers, or the answer is no success.
    pub async fn get(&self, path: &str) -> Result<String> {
        self.send(self.client.get(format!("{}{path}", self.url)), path).await
    }

    /// # Errors
    /// When nobody answers, or the answer is no success.
    pub async fn post(&self, path: &str, body: &'static str) -> Result<String> {
        self.send(self.client.post(format!("{}{path}", self.url)).body(body), path).await
    }

    async fn send(&self, request: reqwest::RequestBuilder, path: &str) -> Result<String> {
        let url = format!("{}{path}", self.url);
        let answer = request.send().await.with_context(|| format!("no server answers at {url}"))?;
        let status = answer.status();
        let body = answer.text().await.with_context(|| url.clone())?;
        if !status.is_success() {
            bail!("{url} answered {status}: {body}");
        }
        Ok(body)
    }
}
