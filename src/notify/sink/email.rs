//! Mail over SMTP: one message for each alert, a connection kept between them.
//!
//! A refusal counts against the alert only where it is about the message: MAIL, RCPT or DATA answered with 5xx. What
//! goes wrong before that (no connection, a certificate, a wrong password) is about the server or the configuration,
//! would be the same for every alert, and is tried again: a password is put right more often than an alert is worthless.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        commands::{Data, Mail, Rcpt, Rset},
        extension::ClientId,
    },
};
use secrecy::ExposeSecret;

use super::{Sink, read_ca};
use crate::{
    alert::{Alert, State},
    config::{self, EmailTls},
    notify::{
        error::{Failure, SinkError, chain},
        render,
    },
};

type SmtpError = lettre::transport::smtp::Error;

const REASON_CHARS_MAX: usize = 300;
/// RFC 4954, section 6: authentication required, mechanism too weak, credentials invalid, encryption required.
const ABOUT_US: [u16; 4] = [530, 534, 535, 538];
/// RFC 5321, section 4.2.2: the server closes the connection after this answer.
const CLOSING: u16 = 421;

pub(super) struct Email {
    server: Server,
    from: Mailbox,
    to: Vec<Mailbox>,
    connection: Option<AsyncSmtpConnection>,
    told: Told,
}

impl Email {
    pub fn new(sink: &str, email: &config::Email, timeout: Duration) -> Result<Self, SinkError> {
        let to = email.to.iter().map(|written| mailbox(sink, "to", written)).collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() {
            return Err(SinkError::NoRecipient { sink: sink.to_owned() });
        }
        Ok(Email {
            server: Server::new(sink, email, timeout)?,
            from: mailbox(sink, "from", &email.from)?,
            to,
            connection: None,
            told: Told::default(),
        })
    }

    async fn tell(&mut self, alert: &Alert) -> Result<(), Failure> {
        let record = render::record_id(alert);
        if self.told.record != record {
            let waiting = self.to.iter().map(|mailbox| mailbox.email.clone()).collect();
            self.told = Told { record, waiting, ..Told::default() };
        }
        let message = message(alert, &self.from, &self.to)
            .map_err(|error| Failure::refused(format!("the message can't be written: {error}")))?;
        // Taken out: a conversation that is cut off in the middle is never gone on with.
        let kept = self.connection.take();
        let connection = self.server.ready(kept).await;
        let mut connection = connection.map_err(|error| Failure::passing(self.server.reason(&error)))?;
        match self.told.converse(&mut connection, &self.from.email, &message).await {
            Ok(()) => {
                self.connection = Some(connection);
                let outcome = self.told.outcome(self.to.len());
                if self.told.waiting.is_empty() {
                    self.told = Told::default();
                }
                outcome
            }
            Err(error) => {
                if error.status().is_some_and(|code| u16::from(code) != CLOSING) {
                    self.connection = Some(connection);
                }
                let reason = self.server.reason(&error);
                Err(if is_refusal(&error) { Failure::refused(reason) } else { Failure::passing(reason) })
            }
        }
    }
}

impl Sink for Email {
    fn batch_max(&self) -> usize {
        1
    }

    fn send<'a>(&'a mut self, alerts: &'a [Alert]) -> BoxFuture<'a, Result<(), Failure>> {
        async move {
            for alert in alerts {
                self.tell(alert).await?;
            }
            Ok(())
        }
        .boxed()
    }
}

/// Whom the current alert has reached, kept over its attempts: a recipient who has it does not get it again because
/// another's mailbox was busy.
#[derive(Default)]
struct Told {
    record: String,
    waiting: Vec<Address>,
    /// Recipient and answer.
    refused: Vec<String>,
    /// The last answer that put a recipient off.
    deferral: String,
}

impl Told {
    /// One message to all who wait. `Err` when nobody was told; else `self` has what became of each.
    async fn converse(
        &mut self,
        connection: &mut AsyncSmtpConnection,
        from: &Address,
        message: &[u8],
    ) -> Result<(), SmtpError> {
        connection.command(Mail::new(Some(from.clone()), Vec::new())).await?;
        let (mut taken, mut deferred, mut refused) = (0, Vec::new(), Vec::new());
        for address in &self.waiting {
            match connection.command(Rcpt::new(address.clone(), Vec::new())).await {
                Ok(_) => taken += 1,
                Err(error) if is_refusal(&error) => refused.push(format!("{address}: {}", shown(&error))),
                Err(error) if error.is_transient() && !is_closing(&error) => {
                    deferred.push(address.clone());
                    self.deferral = format!("{address}: {}", shown(&error));
                }
                Err(error) => return Err(error),
            }
        }
        if taken > 0 {
            connection.command(Data).await?;
            connection.message(message).await?;
        }
        self.waiting = deferred;
        self.refused.append(&mut refused);
        Ok(())
    }

    fn outcome(&self, recipients: usize) -> Result<(), Failure> {
        let (waiting, refused) = (self.waiting.len(), self.refused.len());
        let mut parts = Vec::new();
        if waiting > 0 {
            parts.push(format!("{waiting} of {recipients} recipients put off: {}", self.deferral));
        }
        if refused > 0 {
            parts.push(format!("{refused} of {recipients} recipients refused: {}", self.refused.join("; ")));
        }
        match parts.join("; ") {
            reason if waiting > 0 => Err(Failure::passing(reason)),
            reason if refused > 0 => Err(Failure::refused(reason)),
            _ => Ok(()),
        }
    }
}

/// How the server is reached.
struct Server {
    host: String,
    port: u16,
    tls: EmailTls,
    /// `None` where `tls` is.
    parameters: Option<TlsParameters>,
    credentials: Option<Credentials>,
    /// For one of the host's addresses, so that a dead first one leaves time for the second.
    connect_timeout: Duration,
    hello: ClientId,
}

impl Server {
    fn new(sink: &str, email: &config::Email, timeout: Duration) -> Result<Self, SinkError> {
        let parameters = match email.tls {
            EmailTls::None => None,
            EmailTls::StartTls | EmailTls::Tls => Some(tls_parameters(sink, email)?),
        };
        let credentials = email.username.clone().zip(email.password.as_ref());
        Ok(Server {
            host: email.host.clone(),
            port: email.port,
            tls: email.tls,
            parameters,
            credentials: credentials
                .map(|(user, password)| Credentials::new(user, password.expose_secret().to_owned())),
            connect_timeout: timeout / 3,
            hello: ClientId::default(),
        })
    }

    /// The kept connection if it still lives, cleared of what an earlier message left; else a new one.
    async fn ready(&self, kept: Option<AsyncSmtpConnection>) -> Result<AsyncSmtpConnection, SmtpError> {
        if let Some(mut kept) = kept
            && kept.command(Rset).await.is_ok()
        {
            return Ok(kept);
        }
        self.connect().await
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SmtpError> {
        let at_once = self.parameters.clone().filter(|_| self.tls == EmailTls::Tls);
        let address = (self.host.as_str(), self.port);
        let timeout = Some(self.connect_timeout);
        let mut connection = AsyncSmtpConnection::connect_tokio1(address, timeout, &self.hello, at_once, None).await?;
        if let (EmailTls::StartTls, Some(parameters)) = (self.tls, &self.parameters) {
            connection.starttls(parameters.clone(), &self.hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }

    fn reason(&self, error: &SmtpError) -> String {
        format!("{}:{}: {}", self.host, self.port, shown(error))
    }
}

fn tls_parameters(sink: &str, email: &config::Email) -> Result<TlsParameters, SinkError> {
    // Whoever came first has installed the same one.
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut builder = TlsParameters::builder(email.host.clone());
    if let Some(path) = &email.ca_file {
        let pem = read_ca(sink, path)?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| SinkError::CaFile {
            sink: sink.to_owned(),
            path: path.clone(),
            problem: chain(&error),
        })?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|error| SinkError::Tls { sink: sink.to_owned(), problem: chain(&error) })
}

fn mailbox(sink: &str, key: &'static str, written: &str) -> Result<Mailbox, SinkError> {
    let refused =
        |problem: String| SinkError::Address { sink: sink.to_owned(), key, written: written.to_owned(), problem };
    let mailbox: Mailbox = written.parse().map_err(|error| refused(format!("{error}")))?;
    // They would need SMTPUTF8 of every server on the way.
    if !AsRef::<str>::as_ref(&mailbox.email).is_ascii() {
        return Err(refused("only ASCII addresses can be delivered everywhere".to_owned()));
    }
    Ok(mailbox)
}

/// The whole message. `closed` refers to its `opened`, so mail programs show them as one thread.
fn message(alert: &Alert, from: &Mailbox, to: &[Mailbox]) -> Result<Vec<u8>, lettre::error::Error> {
    let message_id = |record: &str| format!("<{record}@{}>", from.email.domain());
    let raw = |name, value: String| HeaderValue::new(HeaderName::new_from_ascii_str(name), value);
    let mut builder = Message::builder()
        .from(from.clone())
        .message_id(Some(message_id(&render::record_id(alert))))
        .subject(render::subject(alert))
        .raw_header(raw("X-Tripline-Alert", render::token(&alert.id)))
        .raw_header(raw("Auto-Submitted", "auto-generated".to_owned()));
    for mailbox in to {
        builder = builder.to(mailbox.clone());
    }
    if alert.state == State::Closed {
        let opened = message_id(&format!("{}-opened", render::token(&alert.id)));
        builder = builder.in_reply_to(opened.clone()).references(opened);
    }
    let body = MultiPart::alternative_plain_html(render::text(alert, false), render::html(alert));
    Ok(builder.multipart(body)?.formatted())
}

/// 5xx, and about the message rather than about how we logged in.
fn is_refusal(error: &SmtpError) -> bool {
    error.is_permanent() && error.status().is_none_or(|code| !ABOUT_US.contains(&u16::from(code)))
}

fn is_closing(error: &SmtpError) -> bool {
    error.status().is_some_and(|code| u16::from(code) == CLOSING)
}

fn shown(error: &SmtpError) -> String {
    render::clean(&chain(error), REASON_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::render::samples;

    fn email() -> config::Email {
        config::Email {
            host: "mail.example.com".to_owned(),
            port: 587,
            tls: EmailTls::StartTls,
            username: None,
            password: None,
            from: "Tripline <tripline@example.com>".to_owned(),
            to: vec!["soc@example.com".to_owned()],
            ca_file: None,
        }
    }

    fn refused(email: &config::Email) -> String {
        match Email::new("mail", email, Duration::from_secs(9)) {
            Ok(_) => panic!("it has to be refused"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_bad_address_is_named() {
        let error = refused(&config::Email { to: vec!["soc".to_owned()], ..email() });
        assert!(error.contains("sink mail: to = \"soc\""), "{error}");
        let error = refused(&config::Email { from: "ünder@example.com".to_owned(), ..email() });
        assert!(error.contains("sink mail: from") && error.contains("ASCII"), "{error}");
        assert!(refused(&config::Email { to: Vec::new(), ..email() }).contains("no recipient"));
    }

    #[test]
    fn a_missing_or_empty_authority_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let error = refused(&config::Email { ca_file: Some(path.clone()), ..email() });
        assert!(error.contains("ca.pem"), "{error}");
        std::fs::write(&path, "no certificate\n").unwrap();
        let error = refused(&config::Email { ca_file: Some(path), ..email() });
        assert!(error.contains("there is no certificate in it"), "{error}");
    }

    #[test]
    fn closed_threads_under_opened() {
        let parse = |state| {
            let alert = Alert { state, ..samples::alert() };
            let from = "t@example.com".parse().unwrap();
            String::from_utf8(message(&alert, &from, &["soc@example.com".parse().unwrap()]).unwrap()).unwrap()
        };
        let opened = "<00112233445566778899aabbccddeeff-opened@example.com>";
        assert!(parse(State::Opened).contains(&format!("Message-ID: {opened}\r\n")));
        let closed = parse(State::Closed);
        assert!(closed.contains(&format!("References: {opened}\r\n")), "{closed}");
        assert!(closed.contains(&format!("In-Reply-To: {opened}\r\n")), "{closed}");
    }

    #[test]
    fn an_attacker_cannot_add_headers_or_recipients() {
        let evil = Alert {
            id: "x\r\nBcc: all@example.com".to_owned(),
            ..samples::hostile("a\r\nBcc: all@example.com\r\n\r\nb")
        };
        let from = "t@example.com".parse().unwrap();
        let message = message(&evil, &from, &["soc@example.com".parse().unwrap()]).unwrap();
        let message = String::from_utf8(message).unwrap();
        let head = message.split("\r\n\r\n").next().unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        assert!(head.contains("Subject: [HIGH] a\\r\\nBcc"), "{head}");
    }
}
