//! E-mail over SMTP. With `starttls` a server that offers none gets no mail: nothing falls back to
//! plain text. The id of the alert is in the `Message-ID`, so that a mail sent twice is one to most programs.

use std::error::Error as _;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport};

use super::{Channel, ChannelError, Outcome};
use crate::config::{EmailParams, MailSecurity};
use crate::core::crc::crc32c_portable;
use crate::notify::alert::Alert;
use crate::notify::render::{Letterhead, plain_all, subject};
use crate::notify::secret::{Scrubber, Secret};

/// One sender and its receivers.
pub(super) struct Mail {
    transport: SmtpTransport,
    from: Mailbox,
    to: Vec<Mailbox>,
    head: Letterhead,
    scrubber: Scrubber,
}

impl Mail {
    pub(super) fn new(
        params: &EmailParams,
        password: Option<Secret>,
        head: &Letterhead,
        scrubber: &Scrubber,
    ) -> Result<Self, ChannelError> {
        let value = |message: String| ChannelError::Value { name: "email", message };
        let mailbox = |field: &str, text: &str| {
            let parsed = text.parse::<Mailbox>();
            parsed.map_err(|_| value(format!("{field}: expected an address such as me@example.org, found {text:?}")))
        };
        let tls = match params.security {
            MailSecurity::None => Tls::None,
            protected => {
                let mut tls = TlsParameters::builder(params.host.clone());
                if let Some(path) = &params.ca_file {
                    let pem = std::fs::read(path)
                        .map_err(|error| value(format!("ca_file: cannot read {}: {error}", path.display())))?;
                    let authority = Certificate::from_pem(&pem)
                        .map_err(|_| value(format!("ca_file: expected PEM certificates in {}", path.display())))?;
                    tls = tls.add_root_certificate(authority);
                }
                let tls = tls.build().map_err(|_| value("TLS cannot be set up; look at host and ca_file".into()))?;
                if protected == MailSecurity::Tls { Tls::Wrapper(tls) } else { Tls::Required(tls) }
            }
        };
        let mut transport = SmtpTransport::builder_dangerous(&params.host)
            .port(params.port)
            .tls(tls)
            .timeout(Some(Duration::from_secs(10)));
        if let Some(password) = password {
            transport = transport.credentials(Credentials::new(params.user.clone(), password.expose().to_owned()));
        }
        Ok(Self {
            transport: transport.build(),
            from: mailbox("from", &params.from)?,
            to: params.to.iter().map(|to| mailbox("to", to)).collect::<Result<_, _>>()?,
            head: head.clone(),
            scrubber: scrubber.clone(),
        })
    }

    fn message(&self, alerts: &[Alert]) -> Result<Message, lettre::error::Error> {
        let ids: Vec<String> = alerts.iter().map(|alert| format!("{}@{:x};", alert.id, alert.at_ns)).collect();
        let ids = ids.concat();
        let (left, right) = (crc32c_portable(ids.as_bytes()), crc32c_portable(format!("pawl {ids}").as_bytes()));
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(subject(alerts, &self.head))
            .message_id(Some(format!("<{left:08x}{right:08x}.alert@pawl>")))
            // Without it the text has no character set, and marks and dashes arrive as noise.
            .header(ContentType::TEXT_PLAIN)
            .date_now();
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        builder.body(plain_all(alerts, &self.head))
    }
}

impl Channel for Mail {
    fn send(&mut self, alerts: &[Alert]) -> Outcome {
        let Ok(message) = self.message(alerts) else {
            return Outcome::Refused("the mail cannot be put together".into());
        };
        match self.transport.send(&message) {
            Ok(_) => Outcome::Delivered,
            Err(error) => {
                // Server and library may echo what was sent: scrubbed like everything from outside.
                let said =
                    if is_slow(&error) { "no answer in time".into() } else { self.scrubber.clean(&error.to_string()) };
                let code = error.status().map(u16::from);
                match code {
                    Some(530 | 534 | 535) => Outcome::LockedOut(said),
                    Some(500..) => Outcome::Refused(said),
                    _ => Outcome::Failed(said),
                }
            }
        }
    }

    fn most(&self) -> usize {
        20
    }
}

/// A socket's timeout, which the system calls a lack of resources.
fn is_slow(error: &lettre::transport::smtp::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<std::io::Error>() {
            return matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
        }
        cause = inner.source();
    }
    false
}
