//! Mail against a real SMTP server.

use tripline::{
    alert::State,
    config::{Email, EmailTls, Retry, Sink, SinkKind},
};

use super::{
    alert, alerts,
    authority::Authority,
    deliver, deliver_until_it_failed_once, in_state, receiver, sink,
    smtp_server::{self, SmtpServer},
};

const LOGIN: &str = "tripline:correct horse";

/// To one recipient, without TLS and login.
fn email(port: u16) -> Email {
    Email {
        host: "localhost".to_owned(),
        port,
        tls: EmailTls::None,
        username: None,
        password: None,
        from: "Tripline <tripline@example.com>".to_owned(),
        to: vec!["soc@example.com".to_owned()],
        ca_file: None,
    }
}

fn to_three(port: u16) -> Email {
    let to = ["a@example.com", "b@example.com", "c@example.com"];
    Email { to: to.map(str::to_owned).to_vec(), ..email(port) }
}

fn with_login(email: Email, password: &str, authority: &Authority, tls: EmailTls) -> Sink {
    mail(Email {
        tls,
        username: Some("tripline".to_owned()),
        password: Some(password.into()),
        ca_file: Some(authority.ca_file()),
        ..email
    })
}

fn mail(email: Email) -> Sink {
    sink(SinkKind::Email(email))
}

#[tokio::test]
async fn a_mail_says_what_the_alert_says_and_the_connection_is_kept() {
    let server = SmtpServer::start(&[]);
    let batch = [in_state(State::Opened), in_state(State::Closed)];
    let delivered = deliver(&mut receiver(&mail(email(server.port))), &batch).await;
    assert_eq!((delivered.acknowledged(), delivered.failed_attempts), (2, 0));

    let mails = server.stop();
    assert_eq!(mails.len(), 2);
    let opened = &mails[0];
    assert_eq!(
        (opened.from.as_str(), opened.to.as_slice()),
        ("tripline@example.com", &["soc@example.com".to_owned()][..])
    );
    assert_eq!(opened.header("Subject"), "[HIGH] alert number 1");
    assert_eq!(opened.header("X-Tripline-Alert"), batch[0].id);
    assert!(opened.data.contains("multipart/alternative"), "{}", opened.data);
    assert!(opened.data.contains("source.ip"), "{}", opened.data);
    assert_eq!(mails[1].header("References"), opened.header("Message-ID"));
    assert_eq!(mails[0].peer, mails[1].peer);
}

#[tokio::test]
async fn starttls_with_a_login() {
    let authority = Authority::new();
    let server = SmtpServer::start_tls("starttls", &authority, &["--auth", LOGIN]);
    let sink = with_login(email(server.port), "correct horse", &authority, EmailTls::StartTls);
    let delivered = deliver(&mut receiver(&sink), &alerts(2)).await;
    assert_eq!((delivered.acknowledged(), delivered.failed_attempts), (2, 0), "{delivered:?}");
    for mail in server.stop() {
        assert_eq!((mail.tls, mail.user.as_deref()), (true, Some("tripline")));
    }
}

#[tokio::test]
async fn tls_from_the_first_byte_with_a_login() {
    let authority = Authority::new();
    let server = SmtpServer::start_tls("tls", &authority, &["--auth", LOGIN]);
    let sink = with_login(email(server.port), "correct horse", &authority, EmailTls::Tls);
    let delivered = deliver(&mut receiver(&sink), &alerts(1)).await;
    assert_eq!(delivered.acknowledged(), 1, "{delivered:?}");
    assert!(server.stop().iter().all(|mail| mail.tls));
}

#[tokio::test]
async fn an_unknown_authority_gets_no_mail_and_no_password() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = SmtpServer::start_tls("starttls", &authority, &["--auth", LOGIN]);
    let sink = with_login(email(server.port), "correct horse", &other, EmailTls::StartTls);
    let delivered = deliver(&mut receiver(&sink), &alerts(1)).await;
    assert!(delivered.given_up[0].reason.contains("certificate"), "{delivered:?}");
    assert!(server.stop().is_empty());
}

#[tokio::test]
async fn a_server_without_starttls_gets_no_mail() {
    let server = SmtpServer::start(&[]);
    let delivered =
        deliver(&mut receiver(&mail(Email { tls: EmailTls::StartTls, ..email(server.port) })), &alerts(1)).await;
    assert!(delivered.given_up[0].reason.contains("STARTTLS"), "{delivered:?}");
    assert!(server.stop().is_empty());
}

#[tokio::test]
async fn a_wrong_password_is_tried_again_and_never_told() {
    let authority = Authority::new();
    let server = SmtpServer::start_tls("starttls", &authority, &["--auth", LOGIN]);
    let sink = with_login(email(server.port), "wrong zebra", &authority, EmailTls::StartTls);
    let delivered = deliver(&mut receiver(&sink), &alerts(1)).await;
    let given_up = &delivered.given_up[0];
    assert_eq!(given_up.attempts, 4, "an operator may put it right meanwhile: {given_up:?}");
    assert!(given_up.reason.contains("535") && !given_up.reason.contains("zebra"), "{}", given_up.reason);
    assert!(server.stop().is_empty());
}

#[tokio::test]
async fn a_server_that_asks_for_a_login_is_tried_again() {
    let authority = Authority::new();
    let server = SmtpServer::start_tls("starttls", &authority, &["--auth", LOGIN]);
    let no_login = Email { tls: EmailTls::StartTls, ca_file: Some(authority.ca_file()), ..email(server.port) };
    let delivered = deliver(&mut receiver(&mail(no_login)), &alerts(1)).await;
    assert_eq!(delivered.given_up[0].attempts, 4, "{delivered:?}");
    assert!(delivered.given_up[0].reason.contains("530"), "{delivered:?}");
}

#[tokio::test]
async fn alerts_wait_for_a_server_that_is_down_and_arrive_when_it_is_up() {
    let port = smtp_server::port_for_restarts();
    let server = SmtpServer::start(&["--port", &port.to_string()]);
    let mut receiver =
        receiver(&Sink { retry: Retry { attempts_max: u32::MAX, ..mail(email(port)).retry }, ..mail(email(port)) });
    // A connection that was kept and has died since is noticed too.
    assert_eq!(deliver(&mut receiver, &[alert(7)]).await.acknowledged(), 1);
    server.stop();
    let batch = alerts(2);
    deliver_until_it_failed_once(&mut receiver, &batch).await;
    let server = SmtpServer::start(&["--port", &port.to_string()]);
    let delivered = deliver(&mut receiver, &batch).await;
    assert_eq!((delivered.acknowledged(), delivered.given_up.len()), (2, 0));
    assert_eq!(server.stop().len(), 2);
}

#[tokio::test]
async fn a_restart_between_two_alerts_costs_no_attempt() {
    let port = smtp_server::port_for_restarts();
    let server = SmtpServer::start(&["--port", &port.to_string()]);
    let mut receiver = receiver(&mail(email(port)));
    assert_eq!(deliver(&mut receiver, &[alert(1)]).await.acknowledged(), 1);
    assert_eq!(server.stop().len(), 1);
    let server = SmtpServer::start(&["--port", &port.to_string()]);
    let delivered = deliver(&mut receiver, &[alert(2)]).await;
    assert_eq!((delivered.acknowledged(), delivered.failed_attempts), (1, 0), "{delivered:?}");
    assert_eq!(server.stop().len(), 1);
}

#[tokio::test]
async fn greylisting_is_waited_out() {
    let server = SmtpServer::start(&["--defer", "2"]);
    let delivered = deliver(&mut receiver(&mail(email(server.port))), &alerts(1)).await;
    assert_eq!((delivered.acknowledged(), delivered.failed_attempts), (1, 2), "{delivered:?}");
    assert!(delivered.last_failure.unwrap().contains("greylisted"));
    assert_eq!(server.stop().len(), 1);
}

#[tokio::test]
async fn a_refused_message_is_given_up_at_once() {
    let server = SmtpServer::start(&["--refuse-data"]);
    let delivered = deliver(&mut receiver(&mail(email(server.port))), &alerts(2)).await;
    assert_eq!(delivered.given_up.len(), 2);
    for given_up in &delivered.given_up {
        assert_eq!(given_up.attempts, 1);
        assert!(given_up.reason.contains("554") && given_up.reason.contains("spam"), "{}", given_up.reason);
    }
}

#[tokio::test]
async fn one_refused_recipient_keeps_the_mail_from_no_other() {
    let server = SmtpServer::start(&["--refuse", "b@example.com"]);
    let delivered = deliver(&mut receiver(&mail(to_three(server.port))), &alerts(1)).await;
    let given_up = &delivered.given_up[0];
    assert_eq!(given_up.attempts, 1);
    let reason = &given_up.reason;
    assert!(reason.starts_with("1 of 3 recipients refused: b@example.com: "), "{reason}");
    assert!(reason.contains("550"), "{reason}");
    let mails = server.stop();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].to, ["a@example.com", "c@example.com"]);
}

#[tokio::test]
async fn a_recipient_who_has_the_mail_does_not_get_it_again() {
    let server = SmtpServer::start(&["--defer", "2", "--defer-address", "b@example.com"]);
    let delivered = deliver(&mut receiver(&mail(to_three(server.port))), &alerts(1)).await;
    assert_eq!((delivered.acknowledged(), delivered.failed_attempts), (1, 2), "{delivered:?}");
    let told: Vec<Vec<String>> = server.stop().into_iter().map(|mail| mail.to).collect();
    assert_eq!(told, [vec!["a@example.com", "c@example.com"], vec!["b@example.com"]]);
}
