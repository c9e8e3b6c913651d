//! A webhook: one POST for each alert, its JSON as the body. Proxies come from the environment (`HTTPS_PROXY`,
//! `NO_PROXY`); redirects are never followed.
//!
//! The URL and the headers may hold tokens: in every message of this file the webhook is its host, and what the other
//! side answers is cleaned of them.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use reqwest::{
    Certificate, Client, Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use secrecy::ExposeSecret;

use super::{Sink, read_ca};
use crate::{
    alert::Alert,
    clock::Clock,
    config,
    notify::{
        error::{Failure, SinkError, chain},
        render,
    },
};

const USER_AGENT: &str = concat!("tripline/", env!("CARGO_PKG_VERSION"));
/// What is read of an answer's body at most; a part of it goes into the reason.
const BODY_BYTES_MAX: usize = 4096;
const REASON_CHARS_MAX: usize = 200;
/// Shorter parts of the URL are words, not secrets.
const SECRET_LEN_MIN: usize = 6;

pub(super) struct Webhook {
    client: Client,
    url: Url,
    /// Host and port, for people.
    host: String,
    headers: HeaderMap,
    secrets: Vec<String>,
}

impl Webhook {
    pub fn new(sink: &str, webhook: &config::Webhook) -> Result<Self, SinkError> {
        let url = parse_url(sink, webhook.url.expose_secret())?;
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        Ok(Webhook {
            client: client(sink, webhook)?,
            host,
            headers: headers(sink, webhook)?,
            secrets: secrets(&url, webhook),
            url,
        })
    }

    async fn post(&self, alert: &Alert) -> Result<(), Failure> {
        let key = HeaderValue::from_str(&render::record_id(alert)).expect("a record id is plain ASCII");
        let request = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header("idempotency-key", key)
            .body(render::json(alert));
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(self.refusal(status, response).await),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> Failure {
        Failure::passing(format!("{}: {}", self.host, self.shown(&chain(&error.without_url()))))
    }

    async fn refusal(&self, status: StatusCode, response: Response) -> Failure {
        let after = response.headers().get(RETRY_AFTER).and_then(retry_after);
        let mut reason = format!("{} answered {status}", self.host);
        if status.is_redirection() {
            reason.push_str(", and redirects are not followed: configure the url where it leads");
        }
        let body = self.shown(&body_start(response).await);
        if !body.is_empty() {
            reason.push_str(": ");
            reason.push_str(&body);
        }
        if may_pass(status) { Failure::Passing { reason, after } } else { Failure::refused(reason) }
    }

    /// What the other side said, without our secrets, on one short line.
    fn shown(&self, text: &str) -> String {
        let scrubbed = self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"));
        render::clean(scrubbed.trim(), REASON_CHARS_MAX)
    }
}

impl Sink for Webhook {
    fn batch_max(&self) -> usize {
        1
    }

    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> BoxFuture<'a, Result<(), Failure>> {
        async move {
            for alert in alerts {
                self.post(alert).await?;
            }
            Ok(())
        }
        .boxed()
    }
}

fn parse_url(sink: &str, written: &str) -> Result<Url, SinkError> {
    let problem = |problem| SinkError::Url { sink: sink.to_owned(), problem };
    let url = Url::parse(written).map_err(|_| problem("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(problem("has to begin with https:// or http://"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(problem("names no host"));
    }
    Ok(url)
}

fn client(sink: &str, webhook: &config::Webhook) -> Result<Client, SinkError> {
    // Whoever came first has installed the same one.
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut builder = Client::builder().redirect(Policy::none()).user_agent(USER_AGENT);
    if let Some(path) = &webhook.ca_file {
        let pem = read_ca(sink, path)?;
        let refused = |problem: String| SinkError::CaFile { sink: sink.to_owned(), path: path.clone(), problem };
        for certificate in Certificate::from_pem_bundle(&pem).map_err(|error| refused(chain(&error)))? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(|error| SinkError::Tls { sink: sink.to_owned(), problem: chain(&error) })
}

fn headers(sink: &str, webhook: &config::Webhook) -> Result<HeaderMap, SinkError> {
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    for (name, value) in &webhook.headers {
        let refused = |problem| SinkError::Header { sink: sink.to_owned(), header: name.clone(), problem };
        let known = HeaderName::try_from(name.as_str()).map_err(|_| refused("is not a header name"))?;
        let mut value = HeaderValue::from_str(value.expose_secret())
            .map_err(|_| refused("has a value that can't stand in a header"))?;
        value.set_sensitive(true);
        headers.insert(known, value);
    }
    Ok(headers)
}

/// Everything configured that must not be repeated, should the other side send it back: the longest first, so that
/// none is hidden in part only.
fn secrets(url: &Url, webhook: &config::Webhook) -> Vec<String> {
    let path = url.path_segments().into_iter().flatten().map(str::to_owned);
    let raw = url.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let query = raw.map(|(_, value)| value.to_owned()).chain(url.query_pairs().map(|(_, value)| value.into_owned()));
    let whole = [url.query(), url.password(), Some(url.username())].into_iter().flatten().map(str::to_owned);
    let values = webhook.headers.values().map(|value| value.expose_secret().to_owned());
    // `Bearer abc` is repeated by some servers as `abc`.
    let words = webhook.headers.values().flat_map(|value| value.expose_secret().split_whitespace().map(str::to_owned));
    let mut secrets: Vec<String> = path.chain(query).chain(whole).chain(values).chain(words).collect();
    secrets.retain(|secret| secret.len() >= SECRET_LEN_MIN);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.dedup();
    secrets
}

/// Too slow, too early, too many, and the server's own troubles.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
}

/// RFC 9110, 10.2.3: seconds, or a date.
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let ahead_ms = date.timestamp().as_millisecond().saturating_sub(Clock::System.now_ms());
    Some(Duration::from_millis(u64::try_from(ahead_ms).unwrap_or(0)))
}

/// The first bytes of the body, as text. A body that breaks off is as good as it is.
async fn body_start(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(part)) = response.chunk().await {
        body.extend_from_slice(&part[..part.len().min(BODY_BYTES_MAX - body.len())]);
        if body.len() == BODY_BYTES_MAX {
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn webhook(url: &str, headers: &[(&str, &str)]) -> Result<Webhook, SinkError> {
        let headers: BTreeMap<_, _> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        Webhook::new("chat", &config::Webhook { url: url.into(), headers, ca_file: None })
    }

    fn refused(url: &str, headers: &[(&str, &str)]) -> String {
        match webhook(url, headers) {
            Ok(_) => panic!("it has to be refused"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_bad_url_is_refused_without_repeating_it() {
        for url in ["hooks.example.com/T0KEN-T0KEN", "ftp://hooks.example.com/T0KEN-T0KEN", "https:///", "mailto:a@b.c"]
        {
            let error = refused(url, &[]);
            assert!(error.contains("sink chat: url") && !error.contains("T0KEN"), "{error}");
        }
    }

    #[test]
    fn a_bad_header_is_refused_by_name_only() {
        let error = refused("https://h.example/", &[("x-key", "s3cret\nx: y")]);
        assert!(error.contains("\"x-key\"") && !error.contains("s3cret"), "{error}");
        assert!(refused("https://h.example/", &[("x key", "v")]).contains("\"x key\""));
    }

    #[test]
    fn what_the_other_side_repeats_of_our_secrets_is_hidden() {
        let hook = webhook(
            "https://user:passw0rd@h.example:8443/services/T0KEN-T0KEN?key=abcdef-%21",
            &[("authorization", "Bearer s3cret-s3cret")],
        )
        .unwrap();
        assert_eq!(hook.host, "h.example:8443");
        let shown = hook.shown(" no /T0KEN-T0KEN abcdef-! abcdef-%21 s3cret-s3cret passw0rd\u{1b}[2J\n");
        assert_eq!(shown, "no /*** *** *** *** ***\\u{1b}[2J");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let parse = |text: &'static str| retry_after(&HeaderValue::from_static(text));
        assert_eq!(parse("120"), Some(Duration::from_secs(120)));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(parse("Tue, 31 Dec 2199 23:59:59 GMT").unwrap() > Duration::from_secs(1 << 30));
        assert_eq!(parse("soon"), None);
    }
}
